"""Synthetic clips and pairs for metrics with known results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from postsync.evaluation.networks import Networks
from postsync.evaluation.observation import Decoded, Observation, Pair
from postsync.evaluation.sides import ClipFiles
from postsync.protocols.clip import Event

RATE = 16000
LATE_S = 0.03  # of the generated sounds in the tests of evaluation


def clicks(*times: float, duration_s: float = 2.0, level: float = 0.5) -> torch.Tensor:
    """Short decaying noises at `times`, (1, N) at 16 kHz."""
    sound = np.zeros(round(duration_s * RATE), np.float32)
    noise = np.random.default_rng(0).standard_normal(800) * np.exp(-np.arange(800) / 200)
    for time in times:
        first = round(time * RATE)
        part = noise[:len(sound) - first]
        sound[first:first + len(part)] += level * part / np.abs(noise).max()
    return torch.from_numpy(sound)[None]


def late(sound: np.ndarray, seconds: float = LATE_S) -> np.ndarray:
    """The sound, later by some silence, of the same length."""
    return np.concatenate([np.zeros(round(seconds * RATE), np.float32), sound])[:len(sound)]


def observed(waveform: torch.Tensor, frames: torch.Tensor | None = None, fps: float = 10.0, rate: int = RATE,
             duration_s: float = 60.0) -> Observation:
    """A decoded clip that never was a file."""
    times = None if frames is None else torch.arange(len(frames), dtype=torch.float64) / fps
    length = 0.0 if frames is None else len(frames) / fps
    decoded = Decoded(ClipFiles("a", Path("a.wav"), None), waveform, rate, frames, times, length)
    return Observation(decoded, Networks(), duration_s)


def pair_of(made: torch.Tensor, real: torch.Tensor | None = None, events: tuple[tuple[float, bool], ...] = (),
            clip_id: str = "a", label: str | None = None, captions: tuple[str, ...] = ()) -> Pair:
    """A pair with events (seconds, visible)."""
    facts = ClipFiles(clip_id, Path("a.wav"), None, label=label, captions=captions,
                      events=tuple(Event(t, t + 0.1, "hit", visible) for t, visible in events))
    reference = None if real is None else observed(real)
    return Pair(clip_id, observed(made), reference, None, facts, 60.0, Networks())
