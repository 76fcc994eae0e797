"""Onset accuracy and average precision of CondFoleyGen: does the generated sound start as often and when the real does?

Rules of XYPB/CondFoleyGen `predict_onset.py` (metrics.md section 13): 2 s at 22050 Hz, onsets of librosa with delta
0.3, each with a confidence; every real onset takes the strongest unused generated one near it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..features.onsets import librosa_onsets
from .mean import ClipMean
from .retrieval import average_precision

SAMPLE_RATE = 22050
DELTA = 0.3  # librosa's threshold
NEIGHBOURHOOD_S = 0.05  # of the confidence and of the suppression
TOLERANCE_S = 0.1


@dataclass(frozen=True)
class OnsetHits:
    """One clip: NaN where neither side has an onset, 0 where only one has (SyncFusion's reading)."""

    same_count: bool
    accuracy: float  # hits / real onsets, 0..1
    average_precision: float  # 0..1
    hits: tuple[bool, ...]  # of each real onset


def onset_hits(target: Tensor, generated: Tensor, sample_rate: int = SAMPLE_RATE) -> OnsetHits:
    """Compare the onsets of mono waveforms (N,) and (M,). Raises PostsyncError without librosa."""
    truth = librosa_onsets(target, sample_rate, DELTA).tolist()
    found = librosa_onsets(generated, sample_rate, DELTA).tolist()
    level = _normalised(generated)
    confidences = onset_confidences(level, found, sample_rate)
    kept = suppress_weaker(found, confidences, NEIGHBOURHOOD_S)
    found, confidences = [found[i] for i in kept], [confidences[i] for i in kept]
    strengths = [float(level[round(time * sample_rate)]) for time in found]
    return score_hits(truth, found, confidences, strengths)


def score_hits(truth: Sequence[float], found: Sequence[float], confidences: Sequence[float],
               strengths: Sequence[float]) -> OnsetHits:
    """Score onsets in seconds, (T,) and (F,); `strengths` (F,) decide which of several near onsets is taken.

    Real onsets that come after the last generated one was taken are missing from the average precision, as published.
    """
    same = len(truth) == len(found)
    if not truth or not found:
        value = float("nan") if same else 0.0
        return OnsetHits(same, value, value, (False,) * len(truth))
    taken = take_strongest(truth, found, strengths, TOLERANCE_S)
    spurious = set(range(len(found))) - set(taken)
    labels = [1] * len(taken) + [0] * len(spurious)
    scores = [0.0 if index is None else confidences[index] for index in taken]
    scores += [confidences[index] for index in sorted(spurious)]
    precision = average_precision(torch.tensor(labels), torch.tensor(scores, dtype=torch.float64))
    hits = tuple(index is not None for index in taken) + (False,) * (len(truth) - len(taken))
    return OnsetHits(same, sum(hits) / len(truth), float(precision), hits)


def onset_confidences(level: Tensor, onsets_s: Sequence[float], sample_rate: int) -> list[float]:
    """Greatest level (N,) within 50 ms of each onset."""
    reach = int(NEIGHBOURHOOD_S * sample_rate)
    positions = [round(time * sample_rate) for time in onsets_s]
    return [float(level[max(0, p - reach) : p + reach].max()) for p in positions]


def suppress_weaker(times: Sequence[float], confidences: Sequence[float], distance: float) -> list[int]:
    """Indices that stay, ascending, when each onset by falling confidence removes what is nearer than `distance`."""
    kept: list[int] = []
    for index in sorted(range(len(times)), key=lambda i: -confidences[i]):
        if all(abs(times[index] - times[other]) >= distance for other in kept):
            kept.append(index)
    return sorted(kept)


def take_strongest(truth: Sequence[float], found: Sequence[float], strengths: Sequence[float],
                   tolerance: float) -> list[int | None]:
    """For each true onset in turn the strongest unused found one nearer than `tolerance`, or None.

    Ends early, with a shorter list, when all found ones are used: an oddity of the published code that is kept.
    """
    unused, taken = set(range(len(found))), list[int | None]()
    for time in truth:
        if not unused:
            break
        near = [index for index in sorted(unused) if abs(found[index] - time) < tolerance]
        best = max(near, key=lambda index: strengths[index], default=None)
        taken.append(best)
        unused.discard(-1 if best is None else best)
    return taken


def _normalised(waveform: Tensor) -> Tensor:
    """|waveform| (N,) brought to 0..1; a constant becomes 0."""
    level = waveform.abs().double()
    span = level.max() - level.min()
    return (level - level.min()) / span if span > 0 else torch.zeros_like(level)


class OnsetCountAccuracy(ClipMean):
    """Share of the clips with as many generated as real onsets (CondFoleyGen's "# onset accuracy")."""

    higher_is_better = True

    def update(self, hits: OnsetHits) -> None:
        """Add one clip."""
        self.add_values(float(hits.same_count))


class OnsetAccuracy(ClipMean):
    """Share of the real onsets that are hit, averaged over clips."""

    higher_is_better = True

    def update(self, hits: OnsetHits) -> None:
        """Add one clip."""
        self.add_values(hits.accuracy)


class OnsetAveragePrecision(ClipMean):
    """Average precision of the generated onsets, averaged over clips."""

    higher_is_better = True

    def update(self, hits: OnsetHits) -> None:
        """Add one clip."""
        self.add_values(hits.average_precision)
