"""Nuisances are as frequent and as strong as asked for."""

from dataclasses import fields, replace

import numpy as np
import pytest

from postsync.scenes.nuisances import (
    PRESENCE,
    Camera,
    NuisanceConfig,
    add_grain,
    background,
    clean,
    compress,
    draw_strengths,
    exposure_gain,
    full,
    photographic_noise,
)

NONE = dict.fromkeys(PRESENCE, 0.0)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_each_is_in_a_sixth_of_the_full_clips_and_in_no_clean_one() -> None:
    drawn = [draw_strengths(full(), rng(k)) for k in range(1500)]
    for name in PRESENCE:
        assert np.mean([d[name] > 0 for d in drawn]) > 0.15, name
    assert not any(d["texture"] and d["photo"] for d in drawn)
    assert set(draw_strengths(clean(), rng()).values()) == {0.0}
    assert {field.name for field in fields(NuisanceConfig)} == {*PRESENCE, "swings"}
    assert full().swings == 0.0


def test_grades_weaken_and_thin_out_without_moving_the_others() -> None:
    half = [draw_strengths(replace(full(), shake=0.5), rng(k)) for k in range(400)]
    whole = [draw_strengths(full(), rng(k)) for k in range(400)]
    assert 0 < np.mean([d["shake"] > 0 for d in half]) < np.mean([d["shake"] > 0 for d in whole])
    assert max(d["shake"] for d in half) <= 0.5
    assert [{**d, "shake": 0} for d in half] == [{**d, "shake": 0} for d in whole]


@pytest.mark.parametrize("grade", [-0.1, 1.5])
def test_grades_outside_their_range_are_refused(grade: float) -> None:
    with pytest.raises(ValueError, match="blur"):
        NuisanceConfig(blur=grade)


def test_backgrounds_are_plain_textured_or_like_photographs() -> None:
    plain = background(NONE, rng(), 96)
    textured = background({**NONE, "texture": 1.0}, rng(), 96)
    photo = background({**NONE, "photo": 1.0}, rng(), 96)
    detail = [np.abs(np.diff(b, axis=2)).mean() for b in (plain, textured, photo)]
    assert detail[0] < 1e-3
    assert min(detail[1:]) > 5e-3
    assert all(b.shape == (3, 96, 96) and b.min() >= 0 and b.max() <= 1 for b in (plain, textured, photo))


def test_photographic_noise_falls_off_like_one_over_f() -> None:
    rows = np.concatenate([photographic_noise(rng(k), 96)[1] for k in range(20)])
    power = (np.abs(np.fft.rfft(rows, axis=1)) ** 2).mean(0)
    slope = np.polyfit(np.log(np.arange(2, 30)), np.log(power[2:30]), 1)[0]
    assert -2.3 < slope < -0.7  # of a row of a picture whose amplitude falls as 1/f


def test_the_camera_stands_still_unless_told_to_move() -> None:
    times = np.linspace(0, 4, 50)
    x, y, zoom = Camera.draw_from(NONE, 4.0, rng()).view(times, 4.0)
    assert np.ptp(x) == np.ptp(y) == np.ptp(zoom) == 0
    for name, moved in (("shake", 0), ("pan", 0), ("zoom", 2)):
        view = Camera.draw_from({**NONE, name: 1.0}, 4.0, rng()).view(times, 4.0)
        assert np.ptp(view[moved]) > 0.01, name


def test_exposure_varies_with_its_strength() -> None:
    times = np.linspace(0, 4, 100)
    assert np.ptp(exposure_gain(0.0, rng(), 4.0)(times)) == 0
    assert np.ptp(exposure_gain(1.0, rng(), 4.0)(times)) > np.ptp(exposure_gain(0.3, rng(), 4.0)(times)) > 0


def test_grain_has_its_strength_and_changes_from_frame_to_frame() -> None:
    pixels = np.full((3, 4, 32, 32), 0.5, np.float32)
    add_grain(pixels, 1.0, rng())
    assert pixels.std() == pytest.approx(0.07, rel=0.1)
    assert np.abs(pixels[:, 0] - pixels[:, 1]).mean() > 0.03


def test_compression_keeps_the_picture_and_loses_detail_with_strength() -> None:
    axis = np.linspace(0, 1, 30, dtype=np.float32)
    smooth = np.broadcast_to(axis[:, None] * axis, (3, 2, 30, 30))
    noisy = np.clip(smooth + 0.1 * rng().standard_normal(smooth.shape).astype(np.float32), 0, 1)
    weak, strong = (np.abs(compress(noisy, s) - noisy).mean() for s in (0.0, 1.0))
    assert compress(noisy, 0.5).shape == noisy.shape
    assert 0 < weak < strong < 0.1
    assert np.abs(compress(smooth, 0.0) - smooth).mean() < 0.02


def test_flat_pictures_survive_compression() -> None:
    flat = np.full((3, 1, 16, 16), 0.4, np.float32)
    np.testing.assert_allclose(compress(flat, 0.0), flat, atol=0.005)
