"""Loudness measured: the K filter, gating and true peak of ITU-R BS.1770, streamed, at any sample rate, numpy only.

Both stages of the K filter (a high shelf for the head, then a high pass) are second-order sections from R.
Bristow-Johnson's "Cookbook formulae for audio EQ biquad filter coefficients", with the settings that pyloudnorm's meter
uses, so that both give the same values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import soxr

from .audio import blocks_of

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK_S = 0.4  # gating block of BS.1770, 75 % overlap: a new one every 0.1 s
_ABSOLUTE_GATE = -70.0
_CHANNEL_WEIGHTS = np.array([1.0, 1.0, 1.0, 1.41, 1.41])
_OVERSAMPLING = 4
SHELF = (1500.0, 1 / math.sqrt(2), 4.0)  # Hz, quality, dB
HIGH_PASS = (38.0, 0.5)
Biquad = tuple[np.ndarray, np.ndarray]  # numerator and denominator in powers of z**-1, the latter starting with 1


def high_shelf(sample_rate: float, frequency: float, quality: float, gain_db: float) -> Biquad:
    """Boosts frequencies above `frequency` (Hz) by `gain_db`."""
    root = 10 ** (gain_db / 40)
    angle = 2 * math.pi * frequency / sample_rate
    cosine, slope = math.cos(angle), math.sqrt(root) * math.sin(angle) / quality
    b = root * np.array([root + 1 + (root - 1) * cosine + slope, -2 * (root - 1 + (root + 1) * cosine),
                         root + 1 + (root - 1) * cosine - slope])
    a = np.array([root + 1 - (root - 1) * cosine + slope, 2 * (root - 1 - (root + 1) * cosine),
                  root + 1 - (root - 1) * cosine - slope])
    return b / a[0], a / a[0]


def high_pass(sample_rate: float, frequency: float, quality: float) -> Biquad:
    """Removes frequencies below `frequency` (Hz)."""
    angle = 2 * math.pi * frequency / sample_rate
    cosine, alpha = math.cos(angle), math.sin(angle) / (2 * quality)
    b = (1 + cosine) / 2 * np.array([1.0, -2.0, 1.0])
    a = np.array([1 + alpha, -2 * cosine, 1 - alpha])
    return b / a[0], a / a[0]


class KWeighting:
    """The filter on a stream of blocks (C, n), as FIR: its response has died away (-500 dB) after 0.25 s."""

    def __init__(self, sample_rate: int, num_channels: int) -> None:
        length = 1 << math.ceil(math.log2(0.25 * sample_rate))
        z = np.exp(-2j * np.pi * np.arange(length // 2 + 1) / length)[:, None] ** np.arange(3)
        response = np.ones(length // 2 + 1, dtype=complex)
        for b, a in (high_shelf(sample_rate, *SHELF), high_pass(sample_rate, *HIGH_PASS)):
            response *= (z @ b) / (z @ a)
        self._taps = np.fft.irfft(response, length)
        self._past = np.zeros((num_channels, length - 1))

    def __call__(self, block: np.ndarray) -> np.ndarray:
        signal = np.concatenate([self._past, block], axis=1)
        self._past = signal[:, signal.shape[1] - len(self._taps) + 1 :].copy()
        size = 1 << (signal.shape[1] - 1).bit_length()  # wrap-around affects the history only, which is cut off
        filtered = np.fft.irfft(np.fft.rfft(signal, size) * np.fft.rfft(self._taps, size), size)
        return filtered[:, len(self._taps) - 1 : signal.shape[1]]


def integrated_lufs(waveform: np.ndarray | Tensor, sample_rate: int) -> float:
    """Integrated loudness of (C, N) in LUFS: gated from 0.4 s on, below that the plain mean; -inf for silence."""
    return measured(blocks_of(waveform), sample_rate).lufs()


def true_peak_dbtp(waveform: np.ndarray | Tensor, sample_rate: int) -> float:
    """Largest absolute value of (C, N) after 4-fold oversampling, in dB; -inf for silence."""
    peaks = measured(blocks_of(waveform), sample_rate).peaks
    return decibels(float(peaks.max(initial=0.0)) ** 2)


def measured(blocks: Iterable[np.ndarray], sample_rate: int) -> LoudnessProfile:
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
    """Measures blocks (C, n) one by one; `finish()` returns the profile. Memory: 16 bytes per millisecond."""

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
        """The profile of everything added."""
        self._add_peaks(np.zeros((0, self._num_channels), np.float32), last=True)
        energy, peaks = self._energy.finish(), self._peaks.finish()
        peaks = np.pad(peaks, (0, max(0, len(energy) - len(peaks))))[: len(energy)]
        return LoudnessProfile(self.sample_rate, self.hop, self._num_samples, energy, peaks)

    def _add_peaks(self, samples: np.ndarray, last: bool) -> None:
        fine = self._oversample.resample_chunk(samples, last=last).reshape(-1, self._num_channels)
        self._peaks.add(np.abs(fine).max(axis=1, initial=0.0))


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
    return -0.691 + decibels(power)


def decibels(power: float) -> float:
    return 10 * math.log10(power) if power > 1e-20 else -math.inf
