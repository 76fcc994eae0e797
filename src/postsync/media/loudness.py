"""Loudness of a soundtrack: ITU-R BS.1770 measurement, gain, true-peak limiting and fades, streamed.

Pass one (`LoudnessMeter`) keeps two numbers per millisecond: K-weighted power and true peak. From them `plan_gain`
finds the gain curve without touching the sound again. Pass two (`GainPlan.apply`) multiplies block by block.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import soxr

from postsync.media.audio import blocks_of
from postsync.media.k_weighting import KWeighting

if TYPE_CHECKING:
    from torch import Tensor

Waveform = TypeVar("Waveform", np.ndarray, "Tensor")

_BLOCK_S = 0.4  # gating block of BS.1770, 75 % overlap: a new one every 0.1 s
_ABSOLUTE_GATE = -70.0
_CHANNEL_WEIGHTS = np.array([1.0, 1.0, 1.0, 1.41, 1.41])
_OVERSAMPLING = 4
_LOOK_AHEAD_S = 0.01  # half the width of the limiter's gain dips
_GUARD_DB = 0.1  # the gain curve bends between its nodes


@dataclass(frozen=True)
class LoudnessTarget:
    """What the soundtrack is brought to. -20 LUFS leaves foley room under speech at the web's usual -16 to -14."""

    lufs: float = -20.0
    true_peak_dbtp: float = -1.0
    fade_s: float = 0.01
    max_gain_db: float = 40.0  # near-silence is not blown up to full noise
    max_limiting_db: float = 18.0  # where peaks ask for more, the gain is lowered and the loudness falls short


@dataclass(frozen=True)
class LoudnessReport:
    """What was done: input and expected output loudness (LUFS, -inf for silence), gain, deepest limiting (dB)."""

    input_lufs: float
    output_lufs: float
    gain_db: float
    limiting_db: float


def normalise_loudness(
    waveform: Waveform,
    sample_rate: int,
    target_lufs: float = -20.0,
    true_peak_dbtp: float = -1.0,
    fade_s: float = 0.01,
) -> tuple[Waveform, LoudnessReport]:
    """Bring (C, N) to the loudness and under the true peak, with short fades at both ends; silence stays silence.

    Returns the new waveform (C, N) float32 (a tensor on the CPU if it was one) and what was done. Raises MediaError for
    samples that are not finite.
    """
    target = LoudnessTarget(target_lufs, true_peak_dbtp, fade_s)
    blocks, report = normalise_blocks(lambda: blocks_of(waveform), sample_rate, target)
    pieces = list(blocks)
    levelled = np.concatenate(pieces, axis=1) if pieces else np.zeros(tuple(waveform.shape), np.float32)
    if isinstance(waveform, np.ndarray):
        return levelled, report
    import torch

    return torch.from_numpy(levelled), report


def normalise_blocks(
    source: Callable[[], Iterable[np.ndarray]], sample_rate: int, target: LoudnessTarget | None = None
) -> tuple[Iterator[np.ndarray], LoudnessReport]:
    """`normalise_loudness` for sound too long to hold: `source()` is called twice and gives the same blocks (C, n)."""
    plan = plan_gain(_measured(source(), sample_rate), target or LoudnessTarget())

    def levelled() -> Iterator[np.ndarray]:
        position = 0
        for block in source():
            yield plan.apply(block, position)
            position += block.shape[1]

    return levelled(), plan.report


def integrated_lufs(waveform: np.ndarray | Tensor, sample_rate: int) -> float:
    """Integrated loudness of (C, N) in LUFS: gated from 0.4 s on, below that the plain mean; -inf for silence."""
    return _measured(blocks_of(waveform), sample_rate).lufs()


def true_peak_dbtp(waveform: np.ndarray | Tensor, sample_rate: int) -> float:
    """Largest absolute value of (C, N) after 4-fold oversampling, in dB; -inf for silence."""
    peaks = _measured(blocks_of(waveform), sample_rate).peaks
    return _db(float(peaks.max(initial=0.0)) ** 2)


def _measured(blocks: Iterable[np.ndarray], sample_rate: int) -> LoudnessProfile:
    meter: LoudnessMeter | None = None
    for block in blocks:
        meter = meter or LoudnessMeter(sample_rate, len(block))
        meter.update(block)
    return (meter or LoudnessMeter(sample_rate, 1)).finish()


@dataclass(frozen=True)
class LoudnessProfile:
    """A soundtrack in steps of `hop` samples, about a millisecond: summed K-weighted energy and true peak per step."""

    sample_rate: int
    hop: int
    num_samples: int
    energy: np.ndarray  # (K,) sum over samples and weighted channels of the K-weighted signal squared
    peaks: np.ndarray  # (K,) largest oversampled magnitude over channels

    def lufs(self, gains: np.ndarray | None = None) -> float:
        """Loudness, with the energy of each step scaled by `gains` (K,) squared. BS.1770-4, equations 2 to 7."""
        energy = self.energy if gains is None else self.energy * gains**2
        if not len(energy) or not self.num_samples:
            return -math.inf
        seconds = self.num_samples / self.sample_rate
        if seconds < _BLOCK_S:
            return _lufs(energy.sum() / self.num_samples)
        per_step = round(self.sample_rate / 10) // self.hop  # steps in 0.1 s
        num_blocks = int(np.round((seconds - _BLOCK_S) / 0.1)) + 1
        needed = (num_blocks + 3) * per_step
        energy = np.pad(energy, (0, max(0, needed - len(energy))))[:needed]
        tenths = energy.reshape(-1, per_step).sum(axis=1)
        power = np.convolve(tenths, np.ones(4), mode="valid") / (_BLOCK_S * self.sample_rate)
        power = power[power >= 10 ** ((_ABSOLUTE_GATE + 0.691) / 10)]
        if not len(power):
            return -math.inf
        return _lufs(power[power > power.mean() / 10].mean())


class LoudnessMeter:
    """Measures blocks (C, n) as they come; `finish()` gives the profile. Memory: 16 bytes per millisecond."""

    def __init__(self, sample_rate: int, num_channels: int) -> None:
        tenth = round(sample_rate / 10)
        divisors = [d for d in range(1, tenth + 1) if tenth % d == 0]
        self.sample_rate, self.hop = sample_rate, min(divisors, key=lambda d: abs(d - sample_rate / 1000))
        weights = np.ones(num_channels)
        weights[: len(_CHANNEL_WEIGHTS)] = _CHANNEL_WEIGHTS[:num_channels]
        self._weights = weights[:, None]
        self._filter = KWeighting(sample_rate, num_channels)
        self._oversample = soxr.ResampleStream(1, _OVERSAMPLING, num_channels, dtype="float32", quality="HQ")
        self._energy = _Steps(self.hop, np.add)
        self._peaks = _Steps(self.hop * _OVERSAMPLING, np.maximum)
        self._num_samples, self._num_channels = 0, num_channels

    def update(self, block: np.ndarray) -> None:
        """Add (C, n) float32."""
        self._num_samples += block.shape[1]
        self._energy.add((self._weights * self._filter(block) ** 2).sum(axis=0))
        self._add_peaks(np.ascontiguousarray(block.T, dtype=np.float32), last=False)

    def finish(self) -> LoudnessProfile:
        """The profile of all that was added."""
        self._add_peaks(np.zeros((0, self._num_channels), np.float32), last=True)
        energy, peaks = self._energy.finish(), self._peaks.finish()
        peaks = np.pad(peaks, (0, max(0, len(energy) - len(peaks))))[: len(energy)]
        return LoudnessProfile(self.sample_rate, self.hop, self._num_samples, energy, peaks)

    def _add_peaks(self, samples: np.ndarray, last: bool) -> None:
        fine = self._oversample.resample_chunk(samples, last=last).reshape(-1, self._num_channels)
        self._peaks.add(np.abs(fine).max(axis=1, initial=0.0))


@dataclass(frozen=True)
class GainPlan:
    """A gain curve: `nodes` (K + 1,) at every `hop` samples, straight lines between them, times the fades."""

    hop: int
    num_samples: int
    fade_samples: int
    nodes: np.ndarray
    report: LoudnessReport

    def apply(self, block: np.ndarray, position: int) -> np.ndarray:
        """(C, n) whose first sample is number `position` of the soundtrack -> (C, n) float32."""
        at = np.arange(position, position + block.shape[1])
        if not len(at):
            return block.astype(np.float32)
        first = position // self.hop  # only the nodes around the block: a long curve is not gone through every time
        nodes = self.nodes[first : at[-1] // self.hop + 2]
        gains = np.interp(at, (first + np.arange(len(nodes))) * self.hop, nodes)
        return (block * gains * _fade(at, self.num_samples, self.fade_samples)).astype(np.float32)


def plan_gain(profile: LoudnessProfile, target: LoudnessTarget) -> GainPlan:
    """The gain that brings the limited soundtrack to the target: found by repetition on the profile alone."""
    fade_samples = min(round(target.fade_s * profile.sample_rate), profile.num_samples // 2)
    before = profile.lufs()
    if math.isinf(before):  # silence, or all of it under the absolute gate: left as it is
        nodes = np.ones(len(profile.peaks) + 1)
        return GainPlan(profile.hop, profile.num_samples, fade_samples, nodes, LoudnessReport(before, before, 0.0, 0.0))
    centres = (np.arange(len(profile.peaks)) + 0.5) * profile.hop
    fade = _fade(centres, profile.num_samples, fade_samples)
    reach = _around(profile.peaks, max(1, round(_LOOK_AHEAD_S * profile.sample_rate / profile.hop)))
    ceiling_db = target.true_peak_dbtp - _GUARD_DB
    highest_db = min(target.max_gain_db, ceiling_db + target.max_limiting_db - _db(float(reach.max()) ** 2))
    gain_db = min(target.lufs - before, highest_db)
    for _ in range(20):
        nodes = _limited(reach, gain_db, ceiling_db, profile)
        after = profile.lufs(0.5 * (nodes[1:] + nodes[:-1]) * fade)
        step = min(target.lufs - after, highest_db - gain_db) if math.isfinite(after) else 0.0
        if abs(step) < 0.005:
            break
        gain_db += step
    limiting = gain_db - _db(float(nodes.min()) ** 2)
    report = LoudnessReport(before, after, gain_db, max(0.0, limiting))
    return GainPlan(profile.hop, profile.num_samples, fade_samples, nodes, report)


def _around(peaks: np.ndarray, radius: int) -> np.ndarray:
    """(K,) peaks -> (K + 1 + 2 radius,): the largest peak within `radius` steps of a node."""
    padded = np.pad(peaks, 2 * radius + 1)
    count = len(peaks) + 1 + 2 * radius
    highest = np.zeros(count)
    for shift in range(2 * radius + 2):  # node k lies between the steps k - 1 and k
        np.maximum(highest, padded[shift : shift + count], out=highest)
    return highest


def _limited(reach: np.ndarray, gain_db: float, ceiling_db: float, profile: LoudnessProfile) -> np.ndarray:
    """(K + 1,) gains: every node a Hann-weighted mean of gains that each are low enough for the peaks around it."""
    gain, ceiling = 10 ** (gain_db / 20), 10 ** (ceiling_db / 20)
    allowed = np.minimum(gain, ceiling / np.maximum(reach, 1e-12))
    width = len(reach) - len(profile.peaks)  # 2 radius + 1
    return np.convolve(allowed, np.hanning(width + 2)[1:-1] / np.hanning(width + 2).sum(), mode="valid")


def _fade(at: np.ndarray, num_samples: int, fade_samples: int) -> np.ndarray:
    """Raised-cosine fades at both ends, by sample number."""
    if fade_samples == 0:
        return np.ones(len(at))
    from_end = np.minimum(at + 0.5, num_samples - at - 0.5)
    return 0.5 - 0.5 * np.cos(np.pi * np.clip(from_end / fade_samples, 0.0, 1.0))


class _Steps:
    """Reduces a stream of values to one value a step; the last, shorter step counts too."""

    def __init__(self, hop: int, ufunc: np.ufunc) -> None:
        self.hop, self.ufunc = hop, ufunc
        self.rest = np.zeros(0)
        self.done: list[np.ndarray] = []

    def add(self, values: np.ndarray) -> None:
        values = np.concatenate([self.rest, values])
        whole = len(values) // self.hop * self.hop
        self.done.append(self.ufunc.reduce(values[:whole].reshape(-1, self.hop), axis=1))
        self.rest = values[whole:].copy()

    def finish(self) -> np.ndarray:
        last = [self.ufunc.reduce(self.rest, keepdims=True)] if len(self.rest) else []
        return np.concatenate([*self.done, *last]) if self.done or last else np.zeros(0)


def _lufs(power: float) -> float:
    return -0.691 + _db(power)


def _db(power: float) -> float:
    return 10 * math.log10(power) if power > 1e-20 else -math.inf
