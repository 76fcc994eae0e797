"""Onset matching on hand-made cases whose answer is plain."""

from __future__ import annotations

import itertools

import pytest
import torch

from postsync.metrics.onsets import (
    InventedOnsets,
    MissedOnsets,
    OnsetDistance,
    OnsetF1,
    OnsetLag,
    OnsetPrecision,
    OnsetRecall,
    match_onsets,
    onset_counts,
    onset_lags_ms,
    onset_scores,
    onset_scores_at,
)


def test_counts_of_a_plain_case():
    scores = onset_scores([0.10, 0.52, 1.0, 2.0], [0.12, 0.50, 1.2])
    assert (scores.num_matched, scores.num_found, scores.num_true) == (2, 4, 3)
    assert scores.precision == pytest.approx(0.5)
    assert scores.recall == pytest.approx(2 / 3)
    assert scores.f1 == pytest.approx(4 / 7)


def test_each_onset_is_used_once():
    assert onset_scores([1.0, 1.01, 1.02], [1.0]).num_matched == 1
    assert onset_scores([1.0], [0.97, 1.0, 1.03]).num_matched == 1


def test_matching_is_the_largest_possible():
    """Taking the nearest first would pair 0.04 with 0.05 and leave two alone."""
    assert len(match_onsets([0.04, 0.09], [0.0, 0.05])) == 2
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        found, truth = torch.rand(4, generator=generator) * 0.4, torch.rand(4, generator=generator) * 0.4
        largest = max(sum(abs(f - t) <= 0.05 for f, t in zip(found.tolist(), order))
                      for order in itertools.permutations(truth.tolist()))
        assert len(match_onsets(found, truth)) == largest


def test_of_the_largest_matchings_the_closest_is_taken():
    assert match_onsets([0.92, 1.0], [1.0], 0.1) == [(1, 0)]
    assert onset_lags_ms([0.92, 1.0, 1.07], [1.0], 0.1).tolist() == [0.0]
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        found, truth = (torch.rand(5, generator=generator).mul(0.6).sort()[0].tolist() for _ in "ft")
        pairs = match_onsets(found, truth, 0.1)
        least = min(sum(abs(found[i] - truth[j]) for i, j in zip(chosen, order))
                    for chosen in itertools.combinations(range(5), len(pairs))
                    for order in itertools.permutations(range(5), len(pairs))
                    if all(abs(found[i] - truth[j]) <= 0.1 for i, j in zip(chosen, order)))
        assert sum(abs(found[i] - truth[j]) for i, j in pairs) == pytest.approx(least)
        assert pairs == sorted(pairs)


def test_tolerance_is_inclusive_and_order_does_not_matter():
    assert onset_scores([1.05], [1.0]).f1 == 1
    assert onset_scores([1.0501], [1.0]).f1 == 0
    assert onset_scores([1.08], [1.0], tolerance_s=0.1).f1 == 1
    assert onset_scores([2.0, 1.0], [1.0, 2.0]).f1 == 1


def test_nothing_to_find():
    assert onset_scores([], []).f1 == 1
    assert onset_scores([1.0], []).f1 == 0
    empty = onset_scores([], [1.0])
    assert (empty.f1, empty.precision, empty.recall) == (0, 0, 0)


def test_metric_pools_counts_and_merges():
    clips = [([0.1, 0.5], [0.1]), ([1.0], [1.0, 2.0]), ([], [0.3])]
    for metric_class, value in ((OnsetF1, 4 / 7), (OnsetPrecision, 2 / 3), (OnsetRecall, 0.5)):
        whole, first, second = metric_class(), metric_class(), metric_class()
        for found, truth in clips:
            whole.update(torch.tensor(found), torch.tensor(truth))
        first.update(*clips[0])
        second.update(*clips[1])
        second.update(*clips[2])
        first.merge_state(second)
        assert float(whole.compute()) == pytest.approx(value)
        assert float(first.compute()) == pytest.approx(value)
        whole.reset()
        assert whole.compute().isnan()


def test_missed_and_invented_under_each_tolerance():
    scores = onset_scores_at([0.11, 0.54, 1.08, 2.0], [0.1, 0.5, 1.0])
    assert {t: (s.num_matched, s.num_missed, s.num_invented) for t, s in scores.items()} == {
        0.025: (1, 2, 3), 0.05: (2, 1, 2), 0.1: (3, 0, 1)}


def test_lag_of_what_matches():
    lags = onset_lags_ms([1.02, 0.49, 3.0], [0.5, 1.0, 2.0])
    torch.testing.assert_close(lags, torch.tensor([-10.0, 20.0], dtype=torch.float64))
    assert onset_lags_ms([1.0], []).shape == (0,)
    first, second = OnsetLag(), OnsetLag()
    first.update([1.02, 0.49], [0.5, 1.0])
    second.update(torch.tensor([0.52]), torch.tensor([0.5]))
    second.update([], [1.0])
    assert second.compute() == pytest.approx(20, abs=1e-4)
    first.merge_state(second)
    assert first.compute() == pytest.approx(10, abs=1e-4)
    assert OnsetLag().compute().isnan()


def test_a_sound_at_an_excused_time_is_neither_wanted_nor_invented():
    assert onset_counts([0.3, 1.0], [0.3], excused=[1.0]).tolist() == [1, 1, 1]
    assert onset_counts([0.3], [0.3], excused=[1.0]).tolist() == [1, 1, 1]
    assert onset_counts([0.3, 1.0, 1.5], [0.3], excused=[1.0]).tolist() == [1, 2, 1]
    assert onset_counts([0.3], [0.3], excused=[0.3]).tolist() == [1, 1, 1]  # matched before it could be excused


def test_missed_invented_and_distance_are_means_over_clips_and_matches():
    missed, invented, distance = MissedOnsets(0.1), InventedOnsets(0.1), OnsetDistance(0.1)
    for found, truth in (([0.3, 0.84, 1.7], [0.3, 0.8, 1.2]), ([0.48], [0.5])):
        for metric in (missed, invented, distance):
            metric.update(found, truth)
    assert [float(metric.compute()) for metric in (missed, invented)] == [0.5, 0.5]
    assert float(distance.compute()) == pytest.approx((0 + 40 + 20) / 3)


def test_ratios_of_pooled_counts_are_taken_along_the_last_axis():
    counts = torch.tensor([[2.0, 4.0, 3.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    for metric, expected in ((OnsetPrecision(), 0.5), (OnsetRecall(), 2 / 3), (OnsetF1(), 4 / 7)):
        values = metric.value(counts)
        assert float(values[0]) == pytest.approx(expected)
        assert values[1].isnan()
