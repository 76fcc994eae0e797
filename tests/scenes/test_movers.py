"""Every family moves with its sound: impacts stop, textures stir, and nothing moves for what is not seen."""

import numpy as np
import pytest

from postsync.protocols.clip import Event
from postsync.scenes.canvas import Array, Canvas
from postsync.scenes.events import Score, plan_score
from postsync.scenes.families import FAMILIES
from postsync.scenes.kinetics import Mover
from postsync.scenes.movers import drifter, fidget, make_mover

STRIKES = [name for name, family in FAMILIES.items() if family.kind == "strike"]
ACTIVE = [name for name, family in FAMILIES.items() if family.kind in ("scrape", "texture")]


def film(mover: Mover, times: Array, size: int = 32) -> Array:
    """(3, F, size, size) on grey."""
    half = np.full(len(times), size / 2, np.float32)
    canvas = Canvas(np.full((3, len(times), size, size), 0.5, np.float32), half, half, half)
    mover(canvas, times)
    return canvas.pixels


def score(family: str, onset: float = 1.0, visible: bool = True) -> Score:
    events = (Event(onset, onset + 0.2, family, visible=visible),)
    return Score(family, 2.0, events, np.zeros(200, np.float32))


def change(mover: Mover, first: float, last: float) -> float:
    """Mean change from frame to frame at 100 frames a second."""
    return float(np.abs(np.diff(film(mover, np.arange(first, last, 0.01)), axis=1)).mean())


@pytest.mark.parametrize("family", [*STRIKES, "clap", "door_knock"])
def test_an_impact_is_where_motion_stops(family: str) -> None:
    mover = make_mover(score(family), np.random.default_rng(0))
    splashes = FAMILIES[family].material in ("water", "gravel", "leaves", "cardboard", "cloth", "plastic")
    assert change(mover, 0.94, 0.995) > (1.2 if splashes else 2) * change(mover, 1.03, 1.09)


@pytest.mark.parametrize("family", ["bang", "bark", "engine_start", "splash", "whistle", "bell", "cymbal"])
def test_separate_sounds_change_the_picture_at_their_onset(family: str) -> None:
    mover = make_mover(score(family), np.random.default_rng(0))
    before, after = film(mover, np.array([0.99, 1.06])).swapaxes(0, 1)
    assert np.abs(after - before).mean() > 0.004


@pytest.mark.parametrize("family", ACTIVE)
def test_textures_and_scrapes_move_as_much_as_they_sound(family: str) -> None:
    activity = np.r_[np.full(100, 0.02), np.full(100, 1.0)].astype(np.float32)
    mover = make_mover(Score(family, 2.0, (Event(0.0, 2.0, family),), activity), np.random.default_rng(0))
    assert change(mover, 1.2, 1.5) > 2 * change(mover, 0.4, 0.7)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_not_seen_moves_nothing(family: str) -> None:
    hidden = Score(family, 2.0, (Event(0.0, 2.0, family, visible=False),), np.ones(200, np.float32))
    mover = make_mover(hidden, np.random.default_rng(0))
    silent = Score(family, 2.0, (), np.zeros(200, np.float32))
    still = make_mover(silent, np.random.default_rng(0))
    times = np.array([0.3, 1.1])
    np.testing.assert_array_equal(film(mover, times), film(still, times))


def test_families_look_different_and_the_same_seed_alike() -> None:
    times = np.array([0.2, 1.0, 1.5])
    shown = {f: film(make_mover(plan_score(f, 2.0, np.random.default_rng(1)), np.random.default_rng(1)), times)
             for f in FAMILIES}
    names = list(FAMILIES)
    for k, name in enumerate(names):
        for other in names[k + 1:]:
            assert np.abs(shown[name] - shown[other]).mean() > 0.01, (name, other)
    again = film(make_mover(plan_score("bell", 2.0, np.random.default_rng(1)), np.random.default_rng(1)), times)
    np.testing.assert_array_equal(again, shown["bell"])


def test_a_ball_touches_the_floor_at_each_onset() -> None:
    onsets = (0.3, 0.8, 1.2, 1.5)
    bounces = Score("ball_bounce", 2.0, tuple(Event(t, t + 0.1, "ball_bounce") for t in onsets), np.zeros(200))
    mover = make_mover(bounces, np.random.default_rng(0))
    touching, flying = film(mover, np.array(onsets)), film(mover, np.array([0.55, 1.0]))
    low = slice(22, 26)  # rows just above the floor: the ball is there only when it touches

    def filled(pixels: Array) -> Array:
        return np.abs(pixels[:, :, low] - 0.5).mean((0, 2, 3))

    assert filled(touching).min() > 1.3 * filled(flying).max()


def test_silent_movers_move() -> None:
    for mover in (drifter(np.random.default_rng(2)), fidget(np.random.default_rng(2), 2.0)):
        assert change(mover, 0.0, 2.0) > 1e-4
