"""Onset F1, precision and recall, and the lag of what matches: how many sounds start when they should.

One-to-one matching within a tolerance (50 ms unless said otherwise); counts are pooled over clips. Onsets of audio come
from `features.onsets` with its published settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics import Metric

from .mean import ClipMean

TOLERANCE_S = 0.05
TOLERANCES_S = (0.025, 0.05, 0.1)
_ROUNDING_S = 1e-9  # a distance of exactly the tolerance counts


@dataclass(frozen=True)
class OnsetScores:
    """Onset agreement, each 0..1, and the counts behind it."""

    f1: float
    precision: float
    recall: float
    num_matched: int
    num_found: int
    num_true: int

    @property
    def num_missed(self) -> int:
        """True onsets without a sound."""
        return self.num_true - self.num_matched

    @property
    def num_invented(self) -> int:
        """Sounds where nothing starts."""
        return self.num_found - self.num_matched


def match_onsets(found: Tensor | Sequence[float], truth: Tensor | Sequence[float],
                 tolerance_s: float = TOLERANCE_S) -> list[tuple[int, int]]:
    """Pairs (index in found, index in truth) at most `tolerance_s` apart, each onset used once, as many as possible.

    Both are walked in order of time; the earlier of two that do not reach each other can reach nothing later, so no
    other matching has more pairs. Indices refer to the onsets sorted by time.
    """
    first, second = sorted(float(t) for t in found), sorted(float(t) for t in truth)
    pairs, i, j = [], 0, 0
    while i < len(first) and j < len(second):
        if abs(first[i] - second[j]) <= tolerance_s + _ROUNDING_S:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif first[i] < second[j]:
            i += 1
        else:
            j += 1
    return pairs


def onset_scores(found: Tensor | Sequence[float], truth: Tensor | Sequence[float],
                 tolerance_s: float = TOLERANCE_S) -> OnsetScores:
    """F1, precision and recall of one clip; all 1 where there is nothing to find and nothing was found."""
    return _scores(len(match_onsets(found, truth, tolerance_s)), len(found), len(truth))


def onset_scores_at(found: Tensor | Sequence[float], truth: Tensor | Sequence[float],
                    tolerances_s: Sequence[float] = TOLERANCES_S) -> dict[float, OnsetScores]:
    """`onset_scores` of one clip under each tolerance."""
    return {tolerance: onset_scores(found, truth, tolerance) for tolerance in tolerances_s}


def onset_lags_ms(found: Tensor | Sequence[float], truth: Tensor | Sequence[float],
                  tolerance_s: float = TOLERANCE_S) -> Tensor:
    """How late each matched onset is in ms, (number matched,) float64; negative: early."""
    first, second = sorted(float(t) for t in found), sorted(float(t) for t in truth)
    pairs = match_onsets(first, second, tolerance_s)
    return torch.tensor([1000 * (first[i] - second[j]) for i, j in pairs], dtype=torch.float64)


def _scores(matched: int, found: int, truth: int) -> OnsetScores:
    if found + truth == 0:
        return OnsetScores(1.0, 1.0, 1.0, 0, 0, 0)
    precision = matched / found if found else 0.0
    recall = matched / truth if truth else 0.0
    return OnsetScores(2 * matched / (found + truth), precision, recall, matched, found, truth)


class _OnsetMetric(Metric):
    """Counts of matched, found and true onsets over all clips."""

    higher_is_better = True
    is_differentiable = False
    full_state_update = False
    num_matched: Tensor
    num_found: Tensor
    num_true: Tensor

    def __init__(self, tolerance_s: float = TOLERANCE_S) -> None:
        super().__init__()
        self.tolerance_s = tolerance_s
        for name in ("num_matched", "num_found", "num_true"):
            self.add_state(name, default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, found: Tensor | Sequence[float], truth: Tensor | Sequence[float]) -> None:
        """Add one clip: onset times in seconds, (F,) and (T,)."""
        self.num_matched += len(match_onsets(found, truth, self.tolerance_s))
        self.num_found += len(found)
        self.num_true += len(truth)

    def scores(self) -> OnsetScores:
        """All figures over the clips seen so far."""
        return _scores(int(self.num_matched), int(self.num_found), int(self.num_true))


class OnsetF1(_OnsetMetric):
    """Onset F1 pooled over clips."""

    def compute(self) -> Tensor:
        """Scalar 0..1."""
        return torch.tensor(self.scores().f1)


class OnsetPrecision(_OnsetMetric):
    """Share of the found onsets that are true."""

    def compute(self) -> Tensor:
        """Scalar 0..1."""
        return torch.tensor(self.scores().precision)


class OnsetRecall(_OnsetMetric):
    """Share of the true onsets that are found."""

    def compute(self) -> Tensor:
        """Scalar 0..1."""
        return torch.tensor(self.scores().recall)


class OnsetLag(ClipMean):
    """Mean lag in ms of the matched onsets of all clips; positive: late. NaN where nothing matched; the best is 0."""

    higher_is_better = None

    def __init__(self, tolerance_s: float = TOLERANCE_S) -> None:
        super().__init__()
        self.tolerance_s = tolerance_s

    def update(self, found: Tensor | Sequence[float], truth: Tensor | Sequence[float]) -> None:
        """Add one clip: onset times in seconds, (F,) and (T,)."""
        self.add_values(onset_lags_ms(found, truth, self.tolerance_s))
