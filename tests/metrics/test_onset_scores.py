"""Onset matching on hand-made cases whose answer is plain."""

from __future__ import annotations

import itertools

import pytest
import torch

from postsync.metrics.onsets import (
    OnsetF1,
    OnsetLag,
    OnsetPrecision,
    OnsetRecall,
    match_onsets,
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
        assert int(whole.num_true) == 0


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
