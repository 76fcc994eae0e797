"""Pictures are functions of their seed and of continuous time."""

from dataclasses import replace

import numpy as np
import pytest

from postsync.protocols.clip import Event
from postsync.scenes.events import Score, plan_score
from postsync.scenes.nuisances import NuisanceConfig, clean, full
from postsync.scenes.pictures import draw_stage, render_picture


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


SCORE = plan_score("drum_strike", 2.0, rng(4))
TIMES = np.arange(20) / 10


def film(config: NuisanceConfig, seed: int = 0, times: np.ndarray = TIMES, size: int = 32, score: Score = SCORE):
    return render_picture(score, rng(seed), size, times, config).astype(int)


@pytest.mark.parametrize("config", [clean(), full()], ids=["clean", "full"])
def test_the_same_seed_gives_the_same_frames(config: NuisanceConfig) -> None:
    frames = render_picture(SCORE, rng(1), 48, TIMES, config)
    assert frames.shape == (20, 48, 48, 3)
    assert frames.dtype == np.uint8
    np.testing.assert_array_equal(frames, render_picture(SCORE, rng(1), 48, TIMES, config))
    assert not np.array_equal(frames, render_picture(SCORE, rng(2), 48, TIMES, config))


def test_a_frame_depends_on_its_own_time_alone() -> None:
    film_all = film(NuisanceConfig(shake=1, pan=1, zoom=1, cuts=1, exposure=1, occlusion=1, movers=1), seed=3)
    some = [0, 3, 4, 11, 19]
    np.testing.assert_array_equal(
        film(NuisanceConfig(shake=1, pan=1, zoom=1, cuts=1, exposure=1, occlusion=1, movers=1), 3, TIMES[some]),
        film_all[some])


def test_default_frame_rate_and_odd_sizes() -> None:
    assert render_picture(SCORE, rng(), 33).shape == (50, 33, 33, 3)
    assert render_picture(SCORE, rng(), 33, np.array([0.5]), full()).shape == (1, 33, 33, 3)


def test_switching_one_nuisance_leaves_the_scene_alone() -> None:
    seed = shown("grain")
    plain, same, grainy = film(clean(), seed + 1), film(clean(), seed), film(NuisanceConfig(grain=1.0), seed)
    assert 1 < np.abs(grainy - same).mean() < 20
    assert np.abs((grainy - same).mean()) < 1.5  # the same picture under noise
    assert np.abs(plain - same).mean() > 2  # another seed, another picture


def shows(name: str, seed: int) -> bool:
    """Whether a seed's picture shows a nuisance at grade 1."""
    return draw_stage(SCORE, rng(seed), 16, NuisanceConfig(**{name: 1.0})).strengths[name] > 0


def shown(name: str) -> int:
    return next(seed for seed in range(100) if shows(name, seed))


@pytest.mark.parametrize("name", ["texture", "photo", "grain", "shake", "pan", "zoom", "cuts", "blur", "exposure",
                                  "compression", "occlusion", "movers"])
def test_each_nuisance_shows(name: str) -> None:
    seed = shown(name)
    difference = np.abs(film(NuisanceConfig(**{name: 1.0}), seed) - film(clean(), seed)).mean((1, 2, 3))
    assert difference.max() > 0.3


def test_a_cut_changes_everything_at_once() -> None:
    seed = shown("cuts")
    stage = draw_stage(SCORE, rng(seed), 32, NuisanceConfig(cuts=1.0))
    cut = stage.shots[1].start_s
    before, early, after = film(NuisanceConfig(cuts=1.0), seed, np.array([cut - 0.02, cut - 0.01, cut + 0.01]))
    assert np.abs(after - early).mean() > 5 * np.abs(early - before).mean() + 3


def test_motion_blur_averages_over_the_exposure() -> None:
    seed = shown("blur")
    moving = Score("drum_strike", 2.0, (Event(1.0, 1.1, "drum_strike"),), np.zeros(200, np.float32))
    times = np.array([0.9, 0.94, 0.98])
    config = NuisanceConfig(blur=1.0)
    shutter = draw_stage(moving, rng(seed), 32, config).shutter
    sharp = [film(clean(), seed, times + 0.04 * shutter * k / 3, score=moving) for k in range(3)]
    np.testing.assert_allclose(film(config, seed, times, score=moving), np.mean(sharp, axis=0), atol=1.5)


def test_unseen_events_leave_the_picture_alone() -> None:
    hidden = replace(SCORE, events=tuple(replace(e, visible=False) for e in SCORE.events))
    still = film(clean(), score=hidden)
    assert np.abs(np.diff(still, axis=0)).max() == 0
    assert np.abs(np.diff(film(clean()), axis=0)).max() > 50


def test_recorded_values() -> None:
    frames = render_picture(plan_score("bell", 2.0, rng(7)), rng(7), 64, TIMES, clean())
    np.testing.assert_allclose(frames.mean((0, 1, 2)), RECORDED_MEANS, atol=0.5)


RECORDED_MEANS = [149.8, 125.11, 60.72]
