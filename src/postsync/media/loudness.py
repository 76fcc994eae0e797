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

from .audio import blocks_of
from .meter import LoudnessProfile, decibels, measured

if TYPE_CHECKING:
    from torch import Tensor

Waveform = TypeVar("Waveform", np.ndarray, "Tensor")

_LOOK_AHEAD_S = 0.01  # half the width of the limiter's gain dips
_GUARD_DB = 0.1  # the gain curve bends between its nodes


@dataclass(frozen=True)
class LoudnessTarget:
    """The target loudness of a soundtrack. -20 LUFS leaves foley room under speech at the web's usual -16 to -14."""

    lufs: float = -20.0
    true_peak_dbtp: float = -1.0
    fade_s: float = 0.01
    max_gain_db: float = 40.0  # near-silence is not amplified to full noise
    max_limiting_db: float = 18.0  # where peaks need more, the gain is lowered and the loudness falls short


@dataclass(frozen=True)
class LoudnessReport:
    """The outcome: input and expected output loudness (LUFS, -inf for silence), gain, deepest limiting (dB)."""

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
    """Normalise (C, N) to the loudness, below the true peak, with short fades at both ends; silence stays silence.

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
    """`normalise_loudness` for sound too long for memory: `source()` is called twice and must give the same blocks (C,
    n)."""
    plan = plan_gain(measured(source(), sample_rate), target or LoudnessTarget())

    def levelled() -> Iterator[np.ndarray]:
        position = 0
        for block in source():
            yield plan.apply(block, position)
            position += block.shape[1]

    return levelled(), plan.report


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
        first = position // self.hop  # only the nodes around the block, not the whole curve
        nodes = self.nodes[first : at[-1] // self.hop + 2]
        gains = np.interp(at, (first + np.arange(len(nodes))) * self.hop, nodes)
        return (block * gains * _fade(at, self.num_samples, self.fade_samples)).astype(np.float32)


def plan_gain(profile: LoudnessProfile, target: LoudnessTarget) -> GainPlan:
    """The gain that brings the limited soundtrack to the target, found iteratively on the profile alone."""
    fade_samples = min(round(target.fade_s * profile.sample_rate), profile.num_samples // 2)
    before = profile.lufs()
    if math.isinf(before):  # silence, or all of it below the absolute gate: unchanged
        nodes = np.ones(len(profile.peaks) + 1)
        return GainPlan(profile.hop, profile.num_samples, fade_samples, nodes, LoudnessReport(before, before, 0.0, 0.0))
    centres = (np.arange(len(profile.peaks)) + 0.5) * profile.hop
    fade = _fade(centres, profile.num_samples, fade_samples)
    reach = _around(profile.peaks, max(1, round(_LOOK_AHEAD_S * profile.sample_rate / profile.hop)))
    ceiling_db = target.true_peak_dbtp - _GUARD_DB
    highest_db = min(target.max_gain_db, ceiling_db + target.max_limiting_db - decibels(float(reach.max()) ** 2))
    gain_db = min(target.lufs - before, highest_db)
    for _ in range(20):
        nodes = _limited(reach, gain_db, ceiling_db, profile)
        after = profile.lufs(0.5 * (nodes[1:] + nodes[:-1]) * fade)
        step = min(target.lufs - after, highest_db - gain_db) if math.isfinite(after) else 0.0
        if abs(step) < 0.005:
            break
        gain_db += step
    limiting = gain_db - decibels(float(nodes.min()) ** 2)
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
