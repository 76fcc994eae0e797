"""Sums and sets over clips, and what is left out with its reason."""

import numpy as np
import pytest
import torch

from postsync.evaluation.sides import Skipped
from postsync.evaluation.tally import ClipMetric, SetMetric, tally_of
from postsync.metrics.accumulators import ClipMean
from postsync.metrics.class_scores import InceptionScore
from postsync.metrics.frechet import FrechetDistance
from postsync.metrics.onsets import OnsetPrecision
from synthetic_clips import clicks, pair_of


class Mean(ClipMean):
    higher_is_better = True

    def values(self, value: float) -> float:
        return value


class Difference(FrechetDistance):
    higher_is_better = False

    def value(self, made: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        return made.mean() - real.mean() + 100 * len(made)


class Count(InceptionScore):
    higher_is_better = True
    two_sides = False

    def value(self, made: torch.Tensor) -> torch.Tensor:
        return torch.tensor(float(len(made)))


def length_or_refusal(pair, limit: float) -> tuple[float]:
    seconds = pair.generated.duration_s
    if seconds > limit:
        raise Skipped("is too long")
    return (seconds,)


def filled(metric, *seconds: float):
    tally = tally_of(metric)
    for number, duration_s in enumerate(seconds):
        tally.add(pair_of(clicks(0.1, duration_s=duration_s), clip_id=str(number)))
    return tally


def test_a_mean_is_taken_over_the_clips_that_a_draw_holds():
    tally = filled(ClipMetric("length", Mean(), length_or_refusal, settings={"limit": 5.0}), 1.0, 2.0, 4.0)
    ids = ["0", "1", "2", "never measured"]
    assert tally.count == 3
    assert tally.values(ids, np.array([[1, 1, 1, 1], [2, 0, 1, 0], [0, 0, 0, 3]]))[:2].tolist() == [7 / 3, 2.0]
    assert np.isnan(tally.values(ids, np.array([[0, 0, 0, 3]]))[0])
    assert tally.per_clip() == {"0": 1.0, "1": 2.0, "2": 4.0}


def test_clips_that_cannot_be_measured_keep_their_reason():
    tally = filled(ClipMetric("length", Mean(), length_or_refusal, settings={"limit": 3.0}), 1.0, 4.0)
    assert tally.skipped == {("1", "generated"): "is too long"}
    for value in (float("nan"), float("inf")):
        broken = filled(ClipMetric("broken", Mean(), lambda pair, value=value: (value,)), 1.0)
        assert broken.count == 0
        assert "not a number" in broken.skipped["0", "generated"]


def test_clips_that_give_no_value_together_say_why():
    nothing = filled(ClipMetric("precision", OnsetPrecision(), lambda pair: ([], [1.0])), 1.0, 2.0)
    assert nothing.value(["0", "1"]) is None
    assert "nothing in the 2 measured clips" in nothing.without_value()
    few = tally_of(SetMetric("distance", FrechetDistance(), one_row))
    few.add(pair_of(clicks(0.1), clicks(0.1), clip_id="0"))
    assert few.value(["0"]) is None
    assert few.without_value() == "too few clips: 1 against 1"


def test_a_side_that_is_not_there_is_not_told_again():
    tally = filled(ClipMetric("length", Mean(), lambda pair: (pair.reference.duration_s,)), 1.0)
    assert (tally.count, tally.skipped) == (0, {})


def rows_of(pair, side: str) -> torch.Tensor:
    observation = pair.generated if side == "generated" else pair.reference
    return torch.full((2, 3), observation.duration_s)


def one_row(pair, side: str) -> torch.Tensor:
    return rows_of(pair, side)[:1]


def test_each_side_of_a_set_says_why_it_was_left_out():
    def refuse(pair, side: str) -> torch.Tensor:
        raise Skipped(f"{side} is too short")

    tally = tally_of(SetMetric("distance", FrechetDistance(), refuse))
    tally.add(pair_of(clicks(0.1), clicks(0.1), clip_id="0"))
    assert tally.skipped == {("0", side): f"{side} is too short" for side in ("generated", "reference")}


def test_sets_are_pooled_by_clip_and_a_draw_repeats_all_rows_of_a_clip():
    tally = tally_of(SetMetric("difference", Difference(), rows_of))
    for number in range(3):
        tally.add(pair_of(clicks(0.1, duration_s=2.0 + number), clicks(0.1, duration_s=1.0), clip_id=str(number)))
    tally.add(pair_of(clicks(0.1), clip_id="3"))
    ids = ["0", "1", "2", "3"]
    assert tally.count == 4
    assert tally.values(ids, np.array([[1, 1, 1, 0], [2, 0, 0, 0]])).tolist() == pytest.approx([602.0, 401.0])
    assert tally.values(ids, np.array([[1, 1, 1, 1]]))[0] == pytest.approx(801.75)
    assert np.isnan(tally.values(ids, np.array([[0, 0, 0, 1]]))[0])  # no reference among the clips that were drawn


def test_a_metric_of_one_set_asks_for_no_reference():
    tally = filled(SetMetric("rows", Count(), rows_of), 1.0, 2.0)
    assert tally.metric.higher_is_better
    assert tally.values(["0", "1"], np.array([[1, 1]])).tolist() == [4.0]
    assert tally.interval(["0", "1"], np.ones((10, 2), int), 4.0) == (4.0, 4.0)
