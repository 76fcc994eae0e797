"""Curves stop where it sounds, and know nothing of what is not seen."""

import numpy as np
import pytest

from postsync.protocols.clip import Event
from postsync.scenes.events import Score
from postsync.scenes.kinetics import FAR_S, Timeline, triangle, wobble

EVENTS = (Event(0.5, 0.6, "x", strength=1.0), Event(1.2, 1.5, "x", strength=0.5), Event(2.0, 2.2, "x", visible=False))


def timeline(activity: np.ndarray | None = None) -> Timeline:
    return Timeline(Score("wood_strike", 3.0, EVENTS, np.zeros(300, np.float32) if activity is None else activity))


def test_tools_touch_at_each_visible_onset_and_only_there() -> None:
    line = timeline()
    height = line.height(np.array([0.5, 1.2, 0.85, 2.0, 0.1]))
    np.testing.assert_allclose(height[:2], 0, atol=1e-9)
    assert (height[2:] > 0.3).all()


def test_contact_is_reached_fast_and_left_slowly() -> None:
    line = timeline()
    before, at, after = line.height(np.array([1.19, 1.2, 1.21]))
    assert before - at > 5 * (after - at) > 0
    assert np.abs(np.diff(line.height(np.arange(0, 3, 0.001)))).max() < 0.02  # no jumps


def test_a_strong_hit_comes_from_higher_up() -> None:
    line = timeline()
    strong, weak = line.height(np.array([0.5 - 0.16, 1.2 - 0.16]))
    assert strong > weak


def test_last_and_next_know_their_distance_strength_and_absence() -> None:
    since, strength, index = timeline().last(np.array([0.4, 0.5, 1.3, 2.5]))
    np.testing.assert_allclose(since, [FAR_S, 0.0, 0.1, 1.3])
    np.testing.assert_allclose(strength, [0, 1, 0.5, 0.5])
    assert index.tolist() == [-1, 0, 1, 1]
    until, coming = timeline().next(np.array([0.4, 0.5, 1.3]))
    np.testing.assert_allclose(until, [0.1, 0.7, FAR_S])
    np.testing.assert_allclose(coming, [1.0, 0.5, 0.0])


def test_gate_is_open_while_an_event_lasts() -> None:
    gate = timeline().gate(np.array([0.49, 0.55, 0.8, 1.4, 1.8]))
    assert gate[0] == gate[2] == gate[4] == 0
    assert gate[1] == pytest.approx(1.0)
    assert gate[3] == pytest.approx(0.75)


def test_the_beat_clock_reads_whole_numbers_at_onsets_and_never_stops() -> None:
    line = timeline()
    np.testing.assert_allclose(line.beats(np.array([0.5, 0.85, 1.2, 1.9])), [0, 0.5, 1, 2])
    np.testing.assert_allclose(np.diff(line.beats(np.arange(0, 3, 0.1))), 0.1 / 0.7)


def test_hidden_activity_does_not_move_anything() -> None:
    line = timeline(np.ones(300, np.float32))
    np.testing.assert_allclose(line.level(np.array([1.0, 2.1])), [1, 0])
    np.testing.assert_allclose(line.travel(np.array([1.0, 2.0, 2.2, 3.0])), [1.0, 2.0, 2.0, 2.8], atol=1e-6)


def test_a_score_without_visible_events_stands_still() -> None:
    line = Timeline(Score("wood_strike", 3.0, EVENTS[2:], np.zeros(300, np.float32)))
    times = np.linspace(0, 3, 50)
    for curve in (line.height, line.ringing, line.burst, line.gate, line.beats, line.level, line.travel):
        assert np.ptp(curve(times)) == pytest.approx(0, abs=1e-9)


def test_triangle_runs_at_constant_speed() -> None:
    np.testing.assert_allclose(triangle(np.array([0.0, 0.25, 0.5, 0.75, 1.0])), [0, -1, 0, 1, 0], atol=1e-12)


def test_wobble_is_smooth_bounded_and_reproducible() -> None:
    times = np.arange(0, 4, 0.01)
    curve = wobble(np.random.default_rng(0), 0.5, 2)(times)
    np.testing.assert_array_equal(curve, wobble(np.random.default_rng(0), 0.5, 2)(times))
    assert 0.3 < np.abs(curve).max() < 2.1
    assert np.abs(np.diff(curve)).max() < 0.3
