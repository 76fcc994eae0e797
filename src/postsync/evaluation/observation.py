"""A decoded clip as metrics see it: every resampling and every network runs once, when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import gcd
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..data.clip import Event
from ..features.resampling import kaiser_resample, sinc_resample
from ..media.audio import resample
from .decoding import Decoded
from .networks import Networks
from .sides import Absent, ClipFiles, LeftOut

Value = TypeVar("Value")
Resampler = Literal["soxr", "sinc", "kaiser"]
MAX_PHASES = 2000  # of torchaudio's resampler, whose filters grow with their square; 44.1 to 48 kHz has 160


class Observation:
    """One decoded file, its first `duration_s` seconds."""

    def __init__(self, decoded: Decoded, networks: Networks, duration_s: float) -> None:
        self.decoded, self.networks = decoded, networks
        self.duration_s = min(duration_s, decoded.duration_s)
        self._known: dict[object, Any] = {}

    def once(self, key: object, compute: Callable[[], Value]) -> Value:
        """`compute()`, remembered under `key` for as long as the clip is looked at."""
        if key not in self._known:
            self._known[key] = compute()
        return self._known[key]

    def sound(self, sample_rate: int, resampler: Resampler = "soxr") -> Tensor:
        """(N,) float32, the mean of the channels: soxr (HQ), or torchaudio's sinc or long Kaiser window, with which
        published networks were evaluated. Raises Absent where there is none, LeftOut for a rate of which those cannot.
        """
        return self.once(("sound", sample_rate, resampler), partial(self._sound, sample_rate, resampler))

    def channels(self) -> tuple[Tensor, int]:
        """(C, N) float32 as the file has it, and its sample rate. Raises Absent where there is none."""
        if self.decoded.waveform is None:
            raise Absent("; ".join(self.decoded.problems))
        return self.decoded.waveform[:, :round(self.duration_s * self.decoded.sample_rate)], self.decoded.sample_rate

    def _sound(self, sample_rate: int, resampler: Resampler) -> Tensor:
        waveform, rate = self.channels()
        mono = waveform.mean(0)
        if resampler == "soxr":
            return torch.from_numpy(resample(mono[None].numpy(), rate, sample_rate))[0]
        if max(rate, sample_rate) // gcd(rate, sample_rate) > MAX_PHASES:
            raise LeftOut(f"is sampled at {rate} Hz, which torchaudio's resampler cannot bring to {sample_rate} Hz in "
                          "memory; resample it first")
        return (sinc_resample if resampler == "sinc" else kaiser_resample)(mono, rate, sample_rate)

    def pictures(self, fps: float | None = None) -> Tensor:
        """(F, 3, H, W) uint8 RGB: every picture, or those shown at k / fps. Raises LeftOut where there are none."""
        decoded = self.decoded
        if decoded.frames is None or decoded.times is None:
            raise LeftOut("has no picture")
        length_s = min(self.duration_s, decoded.picture_s)
        if fps is None:
            return decoded.frames[decoded.times < length_s - 1e-9]
        at = np.arange(max(1, int(np.ceil(length_s * fps - 1e-6)))) / fps
        shown = np.searchsorted(decoded.times.numpy(), at + 1e-3, side="right") - 1  # mkv and webm round times to 1 ms
        return decoded.frames[torch.from_numpy(shown).clamp_min(0)]

    def fps(self) -> float:
        """Pictures a second, on average. Raises LeftOut where there are none."""
        return len(self.pictures()) / min(self.duration_s, self.decoded.picture_s)

    def heard(self, network: str) -> dict[str, Tensor]:
        """What the network makes of the sound, (1, ...) each. Raises LeftOut for what is too short."""
        return self.once(("heard", network), lambda: self.networks[network].hear(self))

    def seen(self, network: str) -> dict[str, Tensor]:
        """What the network makes of the pictures. Raises LeftOut for what is too short."""
        return self.once(("seen", network), lambda: self.networks[network].see(self))


@dataclass(frozen=True)
class Pair:
    """All that one system's measurement of a clip can draw on."""

    clip_id: str
    made: Observation | None  # the generated side
    real: Observation | None  # the reference side
    shown: Observation | None  # whose picture the sound belongs to
    facts: ClipFiles  # label, captions and events, of the reference where there is one
    duration_s: float  # up to where events count
    networks: Networks

    @property
    def generated(self) -> Observation:
        """The generated side; Absent where it is missing."""
        return _there(self.made, Absent("is not among the generated clips"))

    @property
    def reference(self) -> Observation:
        """The reference side; Absent where it is missing."""
        return _there(self.real, Absent("is not among the reference clips"))

    @property
    def picture(self) -> Observation:
        """The side whose picture counts; LeftOut where there is none."""
        return _there(self.shown, LeftOut("has no picture"))

    @property
    def caption(self) -> str:
        """The first caption; LeftOut where there is none."""
        if not self.facts.captions:
            raise LeftOut("has no caption")
        return self.facts.captions[0]

    def events(self, visible: bool) -> list[Event]:
        """Events within the time that is measured, seen or unseen ones; LeftOut where nobody wrote them down."""
        if self.facts.events is None:
            raise LeftOut("has no written events")
        return [e for e in self.facts.events if e.visible == visible and e.t < self.duration_s]

    def read(self, network: str) -> Tensor:
        """The caption as the network reads it, (1, D)."""
        return self.networks[network].read(self.caption)


def _there(observation: Observation | None, otherwise: LeftOut) -> Observation:
    if observation is None:
        raise otherwise
    return observation
