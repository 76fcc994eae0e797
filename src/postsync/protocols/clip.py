"""The clip: frames with their timestamps, and its sound and annotations. Scenes and data-set readers both yield it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Event:
    """One thing that sounds, from `t` to `end` (seconds). `t` is its onset."""

    t: float
    end: float
    label: str
    visible: bool = True  # its cause is visible in the picture
    strength: float = 1.0  # loudness relative to the loudest event, 0..1


@dataclass(frozen=True)
class Clip:
    """A clip. Parts that were not requested, or that do not exist, are None."""

    clip_id: str
    duration_s: float
    frames: Tensor | None = None  # (F, 3, H, W) uint8 RGB
    times: Tensor | None = None  # (F,) float64 seconds, the first is 0
    waveform: Tensor | None = None  # (C, N) float32 in -1..1
    sample_rate: int | None = None
    envelope: Tensor | None = None  # (M,) linear RMS 0..1 at 100 Hz, centred
    label: str | None = None
    captions: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()


def hits_at_frames(clip: Clip, count: int, fps: float) -> Tensor:
    """(count, 2): whether the onset of a visible event is nearest to each of so many frames a second, and how far from
    it, in -0.5..0.5 frames."""
    told = torch.zeros(count, 2)
    for event in clip.events:
        frame = round(event.t * fps)
        if event.visible and frame < count:
            told[frame] = torch.tensor([1.0, event.t * fps - frame])
    return told


def frames_at(frames: Tensor, times_s: Tensor, asked_s: Tensor) -> Tensor:
    """The pictures (K, ...) that are shown at `asked_s` (K,), of frames (F, ...) shown from times_s (F,) on."""
    index = torch.searchsorted(times_s.double(), asked_s.double() + 1e-6, right=True) - 1
    return frames[index.clamp(min=0)]
