"""Onset F1, precision and recall, and the lag of the matches: how many sounds start when they should.

One-to-one matching within a tolerance (50 ms unless said otherwise); counts are pooled over clips. Onsets of audio come
from `features.onsets` with its published settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .accumulators import ClipMean, ClipSums

Times = Tensor | Sequence[float]

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


def match_onsets(found: Times, truth: Times,
                 tolerance_s: float = TOLERANCE_S) -> list[tuple[int, int]]:
    """Pairs (index in found, index in truth) at most `tolerance_s` apart, each onset used once, as many as possible.

    Of the largest matchings the one whose distances add up to the least, so that lags are those of the sounds that
    belong to the events. Indices refer to the onsets sorted by time; pairs come in that order.
    """
    first, second = sorted(float(t) for t in found), sorted(float(t) for t in truth)
    reach = tolerance_s + _ROUNDING_S
    pairs, i, j = [], 0, 0
    while i < len(first) and j < len(second):
        until_i, until_j = _group_end(first, second, i, j, reach)
        pairs += [(i + a, j + b) for a, b in _closest_pairs(first[i:until_i], second[j:until_j], reach)]
        i, j = until_i, until_j
    return pairs


def _group_end(first: Sequence[float], second: Sequence[float], i: int, j: int, reach: float) -> tuple[int, int]:
    """Where the onsets from i and j on leave a gap wider than `reach`, over which no pair can go."""
    last = min(first[i], second[j])
    while True:
        if i < len(first) and first[i] <= last + reach and (j == len(second) or first[i] <= second[j]):
            last, i = first[i], i + 1
        elif j < len(second) and second[j] <= last + reach:
            last, j = second[j], j + 1
        else:
            return i, j


def _closest_pairs(first: Sequence[float], second: Sequence[float], reach: float) -> list[tuple[int, int]]:
    """The largest matching with the least distance. Crossed pairs are never closer, so a table over the onsets so far
    finds it: entry [i][j] is (pairs, minus their distance) of the first i and the first j."""
    best = [[(0, 0.0)] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, x in enumerate(first):
        for j, y in enumerate(second):
            best[i + 1][j + 1] = max(best[i][j + 1], best[i + 1][j])
            if abs(x - y) <= reach:
                count, distance = best[i][j]
                best[i + 1][j + 1] = max(best[i + 1][j + 1], (count + 1, distance - abs(x - y)))
    pairs, i, j = [], len(first), len(second)
    while i and j:
        if best[i][j] == best[i - 1][j]:
            i -= 1
        elif best[i][j] == best[i][j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((i, j))
    return pairs[::-1]


def onset_scores(found: Times, truth: Times,
                 tolerance_s: float = TOLERANCE_S) -> OnsetScores:
    """F1, precision and recall of one clip; all 1 where there is nothing to find and nothing was found."""
    return _scores(onset_counts(found, truth, tolerance_s))


def onset_scores_at(found: Times, truth: Times,
                    tolerances_s: Sequence[float] = TOLERANCES_S) -> dict[float, OnsetScores]:
    """`onset_scores` of one clip under each tolerance."""
    return {tolerance: onset_scores(found, truth, tolerance) for tolerance in tolerances_s}


def onset_lags_ms(found: Times, truth: Times,
                  tolerance_s: float = TOLERANCE_S) -> Tensor:
    """How late each matched onset is in ms, (number matched,) float64; negative: early."""
    first, second = sorted(float(t) for t in found), sorted(float(t) for t in truth)
    pairs = match_onsets(first, second, tolerance_s)
    return torch.tensor([1000 * (first[i] - second[j]) for i, j in pairs], dtype=torch.float64)


def onset_counts(found: Times, truth: Times, tolerance_s: float = TOLERANCE_S, excused: Times = ()) -> Tensor:
    """(matched, found, true) of one clip, (3,) float64: what precision, recall and F1 are read from.

    `excused`: times at which a sound is neither wanted nor wrong, such as those of events that are not seen; what is
    left of `found` after matching and lies at one of them does not count.
    """
    sounds, wanted = sorted(float(t) for t in found), sorted(float(t) for t in truth)
    pairs = match_onsets(sounds, wanted, tolerance_s)
    left = sorted(set(range(len(sounds))) - {i for i, _ in pairs})
    excuses = match_onsets([sounds[i] for i in left], excused, tolerance_s)
    return torch.tensor([len(pairs), len(sounds) - len(excuses), len(wanted)], dtype=torch.float64)


def _precision(counts: Tensor) -> Tensor:
    return counts[..., 0] / counts[..., 1]


def _recall(counts: Tensor) -> Tensor:
    return counts[..., 0] / counts[..., 2]


def _f1(counts: Tensor) -> Tensor:
    return 2 * counts[..., 0] / (counts[..., 1] + counts[..., 2])


def _scores(counts: Tensor) -> OnsetScores:
    """Ratios without a denominator are 0, or 1 where nothing was to be found and nothing was."""
    matched, found, truth = (int(count) for count in counts)
    undefined = 0.0 if found + truth else 1.0
    f1, precision, recall = (float(ratio(counts).nan_to_num(undefined)) for ratio in (_f1, _precision, _recall))
    return OnsetScores(f1, precision, recall, matched, found, truth)


class _OnsetMetric(ClipSums):
    """Counts of matched, found and true onsets over all clips; figures without a denominator are NaN."""

    higher_is_better = True
    num_terms = 3

    def __init__(self, tolerance_s: float = TOLERANCE_S) -> None:
        super().__init__()
        self.tolerance_s = tolerance_s

    def terms(self, found: Times, truth: Times, excused: Times = ()) -> Tensor:
        """`onset_counts` of one clip: onset times in seconds, (F,), (T,) and (E,)."""
        return onset_counts(found, truth, self.tolerance_s, excused)

    def scores(self) -> OnsetScores:
        """All figures over the clips seen so far."""
        return _scores(self.sums)


class OnsetF1(_OnsetMetric):
    """Onset F1 pooled over clips, 0..1."""

    def value(self, sums: Tensor) -> Tensor:
        """2 matched / (found + true) of counts (..., 3)."""
        return _f1(sums)


class OnsetPrecision(_OnsetMetric):
    """Share of the found onsets that are true, 0..1."""

    def value(self, sums: Tensor) -> Tensor:
        """matched / found of counts (..., 3)."""
        return _precision(sums)


class OnsetRecall(_OnsetMetric):
    """Share of the true onsets that are found, 0..1."""

    def value(self, sums: Tensor) -> Tensor:
        """matched / true of counts (..., 3)."""
        return _recall(sums)


class _OnsetMean(ClipMean):
    """A mean that depends on a tolerance."""

    def __init__(self, tolerance_s: float = TOLERANCE_S) -> None:
        super().__init__()
        self.tolerance_s = tolerance_s


class MissedOnsets(_OnsetMean):
    """True onsets without a sound, a clip."""

    higher_is_better = False

    def values(self, found: Times, truth: Times, excused: Times = ()) -> Tensor:
        """Of one clip; arguments of `onset_counts`."""
        matched, _, wanted = onset_counts(found, truth, self.tolerance_s, excused)
        return wanted - matched


class InventedOnsets(_OnsetMean):
    """Sounds where nothing starts, a clip."""

    higher_is_better = False

    def values(self, found: Times, truth: Times, excused: Times = ()) -> Tensor:
        """Of one clip; arguments of `onset_counts`."""
        matched, counted, _ = onset_counts(found, truth, self.tolerance_s, excused)
        return counted - matched


class OnsetLag(_OnsetMean):
    """Mean lag in ms of the matched onsets of all clips; positive: late. NaN where nothing matched; the best is 0."""

    higher_is_better = None

    def values(self, found: Times, truth: Times) -> Tensor:
        """Of the matches of one clip: onset times in seconds, (F,) and (T,)."""
        return onset_lags_ms(found, truth, self.tolerance_s)


class OnsetDistance(_OnsetMean):
    """Mean absolute lag in ms of the matched onsets of all clips."""

    higher_is_better = False

    def values(self, found: Times, truth: Times) -> Tensor:
        """Of the matches of one clip: onset times in seconds, (F,) and (T,)."""
        return onset_lags_ms(found, truth, self.tolerance_s).abs()
