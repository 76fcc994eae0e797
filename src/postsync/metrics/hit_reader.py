"""A small network that sees when things hit each other in pictures of scenes, at 8 a second; and its training.

It evaluates generated clips: whether a sound starts when the generated picture shows a hit. It was told how the hits of
scenes look, so it counts them at a rate at which readers of motion cannot; it knows nothing of other pictures.
"""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional

from ..codecs.pictures import CLIP_S, FRAME_RATE, SIZE, even_frames
from ..errors import ConditionError
from ..protocols.clip import Clip, hits_at_frames
from ..protocols.objective import Batch, ClipRequest, FrameRequest, Objective

UNDECIDED = (0.2, 0.8)  # probabilities between which a frame is neither a hit nor none


class HitReader(ModelMixin, ConfigMixin):
    """Pictures with their differences to both neighbours -> convolutions -> maximum and mean over space -> convolutions
    over time -> for each frame whether a hit is nearest to it, and how far from it, in frames."""

    @register_to_config
    def __init__(self, widths: tuple[int, int, int] = (24, 48, 64), hidden: int = 96, fps: float = FRAME_RATE) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for previous, width, stride in zip((9, *widths), widths, (4, 2, 2), strict=False):
            layers += [nn.Conv2d(previous, width, 5 if stride == 4 else 3, stride, 5 // 2 if stride == 4 else 1),
                       nn.GroupNorm(8, width), nn.SiLU()]
        self.frames = nn.Sequential(*layers)
        self.times = nn.Sequential(nn.Conv1d(2 * widths[-1], hidden, 5, padding=2), nn.SiLU(),
                                   nn.Conv1d(hidden, hidden, 3, padding=1), nn.SiLU(), nn.Conv1d(hidden, 2, 1))

    def forward(self, frames: Tensor) -> Tensor:
        """Pictures (B, T, 3, H, W) in 0..1 -> (B, T, 2): the logit of a hit, and its place in -0.5..0.5 frames."""
        x = 2 * frames - 1
        steps = x.diff(dim=1)
        still = torch.zeros_like(x[:, :1])
        seen = torch.cat([x, torch.cat([still, steps], dim=1), torch.cat([steps, still], dim=1)], dim=2)
        maps = self.frames(seen.flatten(0, 1)).unflatten(0, seen.shape[:2])
        told = self.times(torch.cat([maps.amax((-1, -2)), maps.mean((-1, -2))], dim=-1).mT).mT
        return torch.stack([told[..., 0], 0.5 * told[..., 1].tanh()], dim=-1)

    @torch.no_grad()
    def hits(self, frames: Tensor) -> list[list[float]]:
        """When something hits in each clip of pictures (B, T, 3, H, W) in 0..1, seconds: frames that are likelier than
        not, and than their neighbours."""
        told = self.forward(frames)
        chance = told[..., 0].sigmoid()
        peaks = (chance > 0.5) & (chance == functional.max_pool1d(chance[:, None], 3, 1, 1)[:, 0])
        return [[max(0.0, (k + float(told[row, k, 1])) / self.config["fps"]) for k in
                 peaks[row].nonzero()[:, 0].tolist()] for row in range(len(frames))]

    @torch.no_grad()
    def undecided(self, frames: Tensor) -> Tensor:
        """The share of each clip's frames of which it cannot say whether something hits, (B,) in 0..1."""
        chance = self.forward(frames)[..., 0].sigmoid()
        return ((chance > UNDECIDED[0]) & (chance < UNDECIDED[1])).float().mean(1)


class HitReaderObjective(Objective):
    """Cross-entropy of each frame's hit, and the distance to it where there is one. A batch holds `frames` (B, T, 3, H,
    W) uint8 and `hits` (B, T, 2): whether one is nearest to the frame, and its place in frames.

    Brightness and noise of the pictures are varied, so that it also reads those that a codec returns.
    """

    def __init__(self, reader: HitReader | None = None, *, noise: float = 0.05, gain: float = 0.2) -> None:
        super().__init__()
        self.reader: HitReader = reader if reader is not None else HitReader()
        self.noise, self.gain = noise, gain

    @property
    def wants(self) -> ClipRequest:
        """Pictures alone."""
        return ClipRequest(FrameRequest(SIZE, FRAME_RATE), None, CLIP_S)

    def prepare(self, clip: Clip) -> Batch:
        """A clip's pictures and hits. Raises ConditionError for a clip without pictures, or whose events are not known.
        """
        if not clip.events:
            raise ConditionError(f"clip {clip.clip_id} has no events; the reader learns from known hits.")
        frames = even_frames(clip, CLIP_S, FRAME_RATE)
        return {"frames": frames, "hits": hits_at_frames(clip, len(frames), FRAME_RATE)}

    def forward(self, batch: Batch, *, step: int, teacher: nn.Module | None = None,
                generator: torch.Generator | None = None) -> Batch:
        """`loss`, and `accuracy`: the share of frames that are told right."""
        frames, hits = batch["frames"].float() / 255, batch["hits"].float()
        if self.training:
            gain = 1 + self.gain * (2 * torch.rand(len(frames), 1, 1, 1, 1, generator=generator).to(frames) - 1)
            noise = self.noise * torch.rand(len(frames), 1, 1, 1, 1, generator=generator).to(frames)
            frames = frames * gain + noise * torch.randn(frames.shape, generator=generator).to(frames)
        told = self.reader.forward(frames)
        wrong = functional.binary_cross_entropy_with_logits(told[..., 0], hits[..., 0])
        far = ((told[..., 1] - hits[..., 1]).abs() * hits[..., 0]).sum() / hits[..., 0].sum().clamp_min(1)
        right = ((told[..., 0] > 0).float() == hits[..., 0]).float().mean()
        return {"loss": wrong + 0.2 * far, "accuracy": right}

    def export(self, folder: Path) -> None:
        """Write the network as float16."""
        copy.deepcopy(self.reader).half().save_pretrained(folder)


def hit_reader(preset: str) -> HitReaderObjective:
    """Objective of the untrained reader, which has one size."""
    return HitReaderObjective()
