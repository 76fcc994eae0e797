"""Toy's pipeline: written against `postsync.protocols` alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from postsync.errors import ConditionError
from postsync.features.envelope import Envelope
from postsync.protocols.guide import AfterStep, Step
from postsync.protocols.pipeline import Origin, Pictures, SoundOutput
from postsync.protocols.system import checked_options

from . import SYSTEM


class ToyPipeline:
    """Stereo noise in the learnt colour, times the envelope. Its latents are the noise itself."""

    system = "toy"
    accepts = frozenset({"duration_s", "num_inference_steps", "generator", "envelope", "guides",
                         "callback_on_step_end"})
    options = SYSTEM.options
    origin: Origin | None = None
    sampling_rate, channels, native_s, num_inference_steps, knows_film = 16000, 2, 1.0, 3, True

    def __init__(self, bands: Tensor, folder: Path) -> None:
        self.colour = nn.Module()
        self.colour.register_parameter("bands", nn.Parameter(bands.float()))
        self.folder = folder

    @classmethod
    def from_pretrained(cls, folder: Path, *, torch_dtype: torch.dtype) -> ToyPipeline:
        return cls(load_file(Path(folder) / "toy.safetensors")["bands"], Path(folder))

    @property
    def weights(self) -> Mapping[str, Path]:
        return {self.folder.name: self.folder}

    def pictures_wanted(self, duration_s: float, asked: Mapping[str, Any]) -> Pictures | None:
        return None

    def __call__(self, duration_s: float | None = None, num_inference_steps: int | None = None,
                 generator: torch.Generator | None = None, envelope: Tensor | Envelope | None = None,
                 guides: Sequence[AfterStep] = (), callback_on_step_end: Any = None, **options: Any) -> SoundOutput:
        own = checked_options(options, self.options, self.system)
        if envelope is None:
            raise ConditionError("toy needs an envelope.")
        curve = envelope.values if isinstance(envelope, Envelope) else envelope
        num_samples = round((duration_s or len(curve) / 100) * self.sampling_rate)
        latents = torch.randn((1, 2, num_samples), generator=generator)
        gains = self._gains(num_samples, own.get("tilt", 0.0))

        def decode(clean: Tensor, start_s: float = 0.0, end_s: float | None = None) -> Tensor:
            spectrum = torch.fft.rfft(clean) * gains
            loudness = functional.interpolate(curve[None, None].float(), clean.shape[-1], mode="linear")
            return torch.fft.irfft(spectrum, n=clean.shape[-1]) * loudness * 0.1

        steps = num_inference_steps or self.num_inference_steps
        for i in range(steps):
            for guide in guides:
                latents = guide.after_step(Step(i, steps, 1 - i / steps, 1.0, 0.0, 1.0, 0.0, latents, latents, latents,
                                                lambda state: state, decode, num_samples / self.sampling_rate))
            if callback_on_step_end is not None:
                latents = (callback_on_step_end(self, i, 1 - i / steps, {"latents": latents}) or {}).get("latents",
                                                                                                     latents)
        return SoundOutput(decode(latents), captions=("noise",))

    def _gains(self, num_samples: int, tilt_db: float) -> Tensor:
        bands = self.colour.bands
        assert isinstance(bands, Tensor)
        bands = bands - bands.mean() + tilt_db / 20 * torch.linspace(-1, 1, len(bands))
        return functional.interpolate(bands[None, None], num_samples // 2 + 1, mode="linear")[0, 0].exp().clamp(max=10)
