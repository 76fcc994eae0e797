"""CAVP's training loss: match sounds with pictures, and with moments of them.

Source: Diff-Foley, arXiv 2306.17203 (semantic and temporal contrast); luosiallen/Diff-Foley `training/open_cavp_main`
(read, not copied). Both are the same InfoNCE over pooled stretches of a few seconds: the first over all of the batch,
the second over the stretches of one clip.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ConditionError
from ..features.resize import resize_pictures
from ..features.spectrogram import cavp_mel
from ..protocols.clip import Clip, frames_at
from ..protocols.objective import Batch, ClipRequest, Objective
from ..scenes.render import NATIVE_S, SPARSE_FRAMES
from .cavp import FPS, SAMPLE_RATE, Cavp

MEL_PER_STEP = 16  # mel frames to one vector
MAX_LOGIT_SCALE = math.log(100)


@dataclass(frozen=True)
class CavpTraining:
    """Sizes of the encoders, and how clips are cut. Lengths in steps of a quarter of a second."""

    sizes: dict[str, Any]  # constructor arguments of `Cavp`
    clip_steps: int = 40  # of each clip
    segment_steps: int = 16
    segments: int = 3  # of each clip at a step
    min_gap: int = 8  # between the starts of two segments of one clip
    temporal_weight: float = 1.0


def paper() -> CavpTraining:
    """The published size and cut: three stretches of 4 s from 10 s."""
    return CavpTraining(sizes={})


def mini() -> CavpTraining:
    """The bundled size, on scenes of 8 s; stretches of 1.5 s, so that its vectors distinguish moments."""
    return CavpTraining(sizes={"embed_dim": 128, "video_width": 12, "video_blocks": (1, 1, 1, 1), "image_size": 64,
                               "audio_widths": (8, 16, 32, 64, 128, 128)},
                        clip_steps=32, segment_steps=6, segments=4, min_gap=5)


def tiny() -> CavpTraining:
    """Random weights for tests, on 2 s."""
    return CavpTraining(sizes={"embed_dim": 12, "video_width": 2, "video_blocks": (1, 1, 1, 1), "image_size": 32,
                               "audio_widths": (2, 2, 4, 4, 8, 8)},
                        clip_steps=8, segment_steps=3, segments=2, min_gap=2)


class CavpObjective(Objective):
    """A batch holds `pictures` (B, S, 3, side, side) uint8, four a second, and `mel` (B, 16 S, 128) of the sound."""

    def __init__(self, settings: CavpTraining) -> None:
        super().__init__()
        self.settings = settings
        self.cavp = Cavp(**settings.sizes)

    @property
    def wants(self) -> ClipRequest:
        """A few pictures, and sound."""
        return ClipRequest(SPARSE_FRAMES, SAMPLE_RATE, NATIVE_S)

    def forward(self, batch: Batch, *, step: int, teacher: nn.Module | None = None,
                generator: torch.Generator | None = None) -> Batch:
        """Both contrasts over drawn segments; `teacher` is not used. Without a generator the draws are those of the
        seed `step`. `loss` is their weighted sum; `found` is the share of segments whose sound is retrieved in the
        batch.
        """
        generator = torch.Generator().manual_seed(step) if generator is None else generator
        length = self.settings.segment_steps
        starts = self._starts(len(batch["mel"]), generator).tolist()
        pictures = torch.stack([clip[k:k + length] for clip, row in zip(batch["pictures"], starts) for k in row])
        mel = torch.stack([clip[k * MEL_PER_STEP:(k + length) * MEL_PER_STEP]
                           for clip, row in zip(batch["mel"], starts) for k in row])
        video = F.normalize(self.cavp.encode_video(pictures.float() / 255).amax(1).float(), dim=-1)
        audio = F.normalize(self.cavp.encode_audio(mel.float()).amax(1).float(), dim=-1)
        scale = self.cavp.logit_scale.clamp(0, MAX_LOGIT_SCALE).exp()
        logits = scale * video @ audio.T
        per_clip = (-1, self.settings.segments)
        semantic = info_nce(logits[None])
        temporal = info_nce(scale * video.unflatten(0, per_clip) @ audio.unflatten(0, per_clip).mT)
        found = logits.argmax(1).eq(torch.arange(len(logits), device=logits.device)).float().mean()
        return {"loss": semantic + self.settings.temporal_weight * temporal, "semantic": semantic.detach(),
                "temporal": temporal.detach(), "found": found}

    @torch.no_grad()
    def prepare(self, clip: Clip) -> Batch:
        """One training sample (see the class): a clip's first `clip_steps`.

        Raises ConditionError for a clip that is shorter, without pictures, or without sound at 16 kHz.
        """
        steps = self.settings.clip_steps
        if clip.frames is None or clip.times is None or clip.waveform is None or clip.sample_rate != SAMPLE_RATE:
            raise ConditionError(f"clip {clip.clip_id} needs both pictures and sound at {SAMPLE_RATE} Hz; resample "
                                 "it, or drop it.")
        if clip.duration_s * FPS + 1e-6 < steps:
            raise ConditionError(f"clip {clip.clip_id} lasts {clip.duration_s:.2f} s; CAVP is trained on "
                                 f"{steps / FPS:g} s here. Drop it, or shorten `clip_steps`.")
        frames = frames_at(clip.frames, clip.times, torch.arange(steps, dtype=torch.float64) / FPS)
        sound = clip.waveform.float().mean(0)[:round(steps / FPS * SAMPLE_RATE)]
        sound = F.pad(sound, (0, round(steps / FPS * SAMPLE_RATE) - len(sound)))
        size = (self.cavp.image_size, self.cavp.image_size)
        return {"pictures": resize_pictures(frames, size), "mel": cavp_mel(sound[None])[0].half()}

    def export(self, folder: Path) -> None:
        """Write float16 weights and configuration."""
        copy.deepcopy(self.cavp).half().save_pretrained(folder)

    def _starts(self, size: int, generator: torch.Generator) -> Tensor:
        """First steps (B, segments) of each clip's segments, ascending, at least `min_gap` apart.

        Raises ValueError where a clip is too short for them.
        """
        settings = self.settings
        taken = (settings.segments - 1) * settings.min_gap
        free = settings.clip_steps - settings.segment_steps - taken
        if free < 0:
            raise ValueError(f"{settings.segments} segments of {settings.segment_steps} steps, {settings.min_gap} "
                             f"apart, do not fit into {settings.clip_steps}")
        drawn = torch.rand((size, settings.segments), generator=generator) * (free + 1)
        return drawn.long().sort(dim=1).values + torch.arange(settings.segments) * settings.min_gap


def info_nce(logits: Tensor) -> Tensor:
    """Mean cross-entropy of (..., N, N) logits in which entry i, i is true, over rows and over columns."""
    target = torch.arange(logits.shape[-1], device=logits.device).expand(logits.shape[:-1]).reshape(-1)
    return (F.cross_entropy(logits.flatten(0, -2), target) + F.cross_entropy(logits.mT.flatten(0, -2), target)) / 2
