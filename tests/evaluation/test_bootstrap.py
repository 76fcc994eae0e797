"""Bootstrap over clips: draws, intervals, paired differences."""

import numpy as np
import pytest

from postsync.evaluation.bootstrap import (
    SET_RESAMPLES,
    centred_interval,
    draw_clips,
    paired_difference,
    percentile_interval,
    set_resamples,
)


def test_every_draw_takes_as_many_clips_as_there_are_and_the_seed_decides():
    draws = draw_clips(7, 100, seed=3)
    assert draws.shape == (100, 7)
    assert (draws.sum(1) == 7).all()
    assert (draws == draw_clips(7, 100, seed=3)).all()
    assert (draws != draw_clips(7, 100, seed=4)).any()


def test_the_interval_of_a_mean_is_as_wide_as_theory_says():
    values = np.random.default_rng(0).normal(5.0, 2.0, 400)
    low, high = percentile_interval(draw_clips(400, 2000, 1) @ values / 400)
    error = values.std() / 20
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_values_that_are_no_numbers_are_not_counted():
    assert percentile_interval(np.array([np.nan, 1.0, 1.0])) == (1.0, 1.0)
    assert percentile_interval(np.array([np.nan])) is None


def test_the_interval_of_a_distance_lies_around_it_though_resampling_moves_it():
    resampled = np.array([8.0, 9.0, 10.0, 11.0, 12.0])  # about twice the value
    low, high = centred_interval(5.0, resampled)
    assert 0 < low < 5.0 < high
    assert low == pytest.approx(4.05)
    low, high = centred_interval(-1.0, np.array([-2.0, 0.0, 2.0]))
    assert (low, high) == pytest.approx((-2.9, 0.9))


def test_differences_are_paired_so_a_constant_one_is_certain():
    first = np.random.default_rng(0).normal(0, 10, 50)
    second = first - 0.5
    draws = draw_clips(50, 200, 0)
    interval, greater = paired_difference(lambda d: d @ first / 50, lambda d: d @ second / 50, draws)
    assert interval == pytest.approx((0.5, 0.5))
    assert greater == 1.0
    assert paired_difference(lambda d: d @ first, lambda d: d @ first, draws)[1] == 0.5


def test_costly_metrics_are_given_fewer_resamples():
    assert set_resamples(128) == SET_RESAMPLES[1]
    assert SET_RESAMPLES[0] <= set_resamples(2048) < set_resamples(512) < SET_RESAMPLES[1]
