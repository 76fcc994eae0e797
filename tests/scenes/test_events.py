"""The score: sorted events within the clip, and timings that belong to the family."""

from __future__ import annotations

import numpy as np
import pytest

from postsync.scenes.events import LENGTHS_S, Score, plan_score
from postsync.scenes.families import KNOWN


def scores(family: str, count: int = 40, duration_s: float = 4.0) -> list[Score]:
    return [plan_score(family, duration_s, np.random.default_rng(seed)) for seed in range(count)]


@pytest.mark.parametrize("family", KNOWN)
@pytest.mark.parametrize("duration_s", [0.7, 4.0, 8.16])
def test_events_are_sorted_and_within_the_clip(family: str, duration_s: float) -> None:
    for score in scores(family, 15, duration_s):
        onsets = [event.t for event in score.events]
        assert onsets
        assert onsets == sorted(onsets)
        assert all(0 <= e.t < e.end <= duration_s + 1e-9 and 0 < e.strength <= 1 for e in score.events)
        assert {e.label for e in score.events} == {family}
        assert score.activity.shape == (round(100 * duration_s),)
        assert score.activity.min() >= 0
        assert score.activity.max() <= 1
        if KNOWN[family].kind in ("strike", "event"):
            assert not score.activity.any()


def test_every_separate_sound_has_a_length() -> None:
    assert set(LENGTHS_S) == {f.name for f in KNOWN.values() if f.kind in ("strike", "event")}


def test_the_same_seed_gives_the_same_score_and_another_seed_another() -> None:
    first, again, other = (plan_score("wood_scrape", 4.0, np.random.default_rng(s)) for s in (5, 5, 6))
    assert first.events == again.events
    assert np.array_equal(first.activity, again.activity)
    assert first.events != other.events


def test_strikes_come_one_to_a_dozen_or_so_with_plausible_gaps() -> None:
    counts = [len(s.events) for s in scores("stone_strike", 200)]
    assert min(counts) <= 2
    assert 9 <= max(counts) <= 17
    gaps = np.concatenate([np.diff([e.t for e in s.events]) for s in scores("stone_strike")])
    assert gaps.min() > 0.2


def test_clock_ticks_are_regular() -> None:
    for score in scores("clock_tick"):
        gaps = np.diff([e.t for e in score.events])
        assert gaps.size == 0 or np.ptp(gaps) < 1e-6


def test_a_bounce_shrinks_in_gap_and_strength() -> None:
    score = next(s for s in scores("ball_bounce") if len(s.events) > 5)
    onsets, strengths = [e.t for e in score.events][:4], [e.strength for e in score.events][:4]
    gaps = np.diff(onsets)
    assert np.all(np.diff(gaps) < 0)
    assert np.all(np.diff(strengths) < 0)
    assert gaps[1] / gaps[0] == pytest.approx(strengths[1] / strengths[0])  # both fall with the restitution


def test_knocks_come_in_groups() -> None:
    gaps = np.concatenate([np.diff([e.t for e in s.events]) for s in scores("door_knock")])
    assert np.mean(gaps < 0.35) > 0.4
    assert np.mean(gaps > 0.6) > 0.15
    assert not np.any((gaps > 0.4) & (gaps < 0.55))


def test_a_scrape_is_at_rest_between_strokes_and_moves_within() -> None:
    for score in scores("metal_scrape"):
        time = np.arange(len(score.activity)) / 100
        within = np.any([(time >= e.t) & (time <= e.end) for e in score.events], axis=0)
        assert not score.activity[~within].any()
        for event in score.events:
            stroke = score.activity[(time >= event.t) & (time <= event.end)]
            assert 0.4 * event.strength < stroke.max() <= event.strength + 1e-6


def test_textures_swell_and_at_times_start_suddenly() -> None:
    drawn = scores("rain", 100)
    sudden = [s for s in drawn if s.events[0].t > 0]
    assert 25 <= len(sudden) <= 65
    for score in sudden:
        assert not score.activity[: int(score.events[0].t * 100)].any()
    steady = [s for s in drawn if s.events[0].t == 0]
    assert all(np.ptp(s.activity) > 0.2 for s in steady)


def test_about_one_clip_in_ten_has_one_unseen_event() -> None:
    unseen = [sum(not e.visible for e in s.events) for s in scores("bell", 400)]
    assert set(unseen) == {0, 1}
    assert 0.05 < np.mean(unseen) < 0.15


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="duration_s is 0"):
        plan_score("bell", 0, np.random.default_rng(0))
    with pytest.raises(KeyError):
        plan_score("theremin", 4.0, np.random.default_rng(0))
