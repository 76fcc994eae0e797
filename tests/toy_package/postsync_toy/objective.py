"""What Toy learns: the mean spectrum of the sounds it is trained on."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from postsync.errors import ConditionError
from postsync.protocols.clip import Clip
from postsync.protocols.objective import Batch, ClipRequest, Objective

RATE = 16000


def colour(preset: str, bands: int = 8) -> Objective:
    """The objective of `postsync train toy_colour`."""
    return ColourObjective(bands)


class ColourObjective(Objective):
    """Trains log magnitudes of `bands` bands."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.bands = nn.Parameter(torch.zeros(bands))

    @property
    def wants(self) -> ClipRequest:
        return ClipRequest(frames=None, sample_rate=RATE, duration_s=0.5)

    def prepare(self, clip: Clip) -> Batch:
        if clip.waveform is None:
            raise ConditionError(f"clip {clip.clip_id} has no sound; leave it out.")
        spectrum = torch.fft.rfft(clip.waveform.float().mean(0), n=RATE // 2).abs()[1:]
        parts = spectrum[: len(spectrum) // len(self.bands) * len(self.bands)].reshape(len(self.bands), -1)
        return {"level": parts.mean(1).clamp(min=1e-4).log()}

    def forward(self, batch: Batch, *, step: int, teacher: nn.Module | None = None,
                generator: torch.Generator | None = None) -> Batch:
        return {"loss": (self.bands - batch["level"]).square().mean()}

    def export(self, folder: Path) -> None:
        bands: Tensor = self.bands.detach().half()
        save_file({"bands": bands}, folder / "toy.safetensors")
