"""Bootstrap over clips: how much a figure would vary with other clips of the same kind.

A draw states how often each clip is taken. The same draws serve all metrics and all systems of a run, so that
differences are paired: what is hard for both systems cancels out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

RESAMPLES = 1000
CONFIDENCE = 0.95
SET_RESAMPLES = (10, 50)  # fewest and most for metrics where each resample costs as much as the metric
_SET_WIDTH = 320  # features up to which the most are drawn; the cost grows with the third power

Statistic = Callable[[np.ndarray], np.ndarray]  # draws (R, N) -> values (R,)


def draw_clips(num_clips: int, resamples: int, seed: int) -> np.ndarray:
    """(R, N) int64: how often each of N clips is taken in each of R resamples of N clips, with replacement."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(num_clips, np.full(num_clips, 1 / max(num_clips, 1)), size=resamples)


def set_resamples(num_features: int) -> int:
    """Number of resamples for a set metric with this many features."""
    fewest, most = SET_RESAMPLES
    return max(fewest, round(most * min(1.0, _SET_WIDTH / num_features)))


def percentile_interval(values: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """The middle `confidence` of resampled values (R,); None if none of them is finite."""
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def centred_interval(value: float, values: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """The spread of resampled values (R,) about their median, laid around `value`, in proportion if all are > 0.

    For distances of sets: a resample repeats clips, which by itself moves a Frechet distance, so that the plain
    percentiles would miss the value.
    """
    found = percentile_interval(values, confidence)
    if found is None:
        return None
    median = float(np.median(values[np.isfinite(values)]))
    if min(value, found[0]) > 0:
        return found[0] * value / median, found[1] * value / median
    return found[0] + value - median, found[1] + value - median


def paired_difference(first: Statistic, second: Statistic, draws: np.ndarray,
                      confidence: float = CONFIDENCE) -> tuple[tuple[float, float] | None, float | None]:
    """Interval of first - second over shared draws (R, N), and the share of draws in which first is the greater.

    Equal values count half. None if no draw gives both a value.
    """
    differences = first(draws) - second(draws)
    differences = differences[np.isfinite(differences)]
    if not len(differences):
        return None, None
    greater = float(np.mean(differences > 0) + 0.5 * np.mean(differences == 0))
    return percentile_interval(differences, confidence), greater
