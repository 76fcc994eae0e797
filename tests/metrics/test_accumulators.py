"""Sums and means over clips."""

from __future__ import annotations

import pytest
import torch

from postsync.metrics.accumulators import ClipMean, ClipSums


def test_clips_without_a_value_are_counted_apart():
    metric = ClipMeanOfNumbers()
    assert metric.compute().isnan()
    metric.update(torch.tensor([1.0, torch.nan, 3.0]))
    metric.update(torch.tensor(5.0))
    other = ClipMeanOfNumbers()
    other.update(torch.nan)
    metric.merge_state(other)
    assert (float(metric.compute()), int(metric.count), int(metric.num_undefined)) == (3.0, 3, 2)
    metric.reset()
    assert int(metric.num_undefined) == 0


class ClipMeanOfNumbers(ClipMean):
    def values(self, values: torch.Tensor | float) -> torch.Tensor | float:
        return values


class Spread(ClipSums):
    """Variance of numbers, from their sum, their squares' and how many they are."""

    num_terms = 3

    def terms(self, values: torch.Tensor) -> torch.Tensor:
        return torch.stack([values.sum(), values.square().sum(), torch.tensor(float(len(values)))])

    def value(self, sums: torch.Tensor) -> torch.Tensor:
        return sums[..., 1] / sums[..., 2] - (sums[..., 0] / sums[..., 2]).square()


def test_a_figure_of_added_terms_is_that_of_all_clips():
    numbers = torch.arange(12.0).square().split(3)
    metric = Spread()
    assert metric.compute().isnan()
    for part in numbers:
        metric.update(part)
    whole = torch.cat(numbers).double()
    torch.testing.assert_close(metric.compute(), whole.var(correction=0))
    terms = torch.stack([metric.terms(part) for part in numbers]).double()
    draws = torch.tensor([[1.0, 1, 1, 1], [2, 0, 0, 1]], dtype=torch.float64)
    drawn = torch.cat([numbers[0], numbers[0], numbers[3]]).double()
    torch.testing.assert_close(metric.value(draws @ terms), torch.stack([whole.var(correction=0),
                                                                         drawn.var(correction=0)]))


def test_a_metric_that_defines_nothing_says_so():
    class Nothing(ClipMean):
        pass

    with pytest.raises(NotImplementedError, match="Nothing does not define a clip's value"):
        Nothing().update(1.0)
