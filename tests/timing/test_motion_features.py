"""Motion statistics: silent where nothing moves, blind to camera, cuts and repeats, right about time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from postsync.timing.motion_features import CELL_CHANNELS, FEATURE_RATE, GLOBAL_CHANNELS, MotionFeatures

CHANGE, LEFT, SIGN, FLOW_X, FLOW_Y, AWAY = range(CELL_CHANNELS)


def ground(seed: int = 0, size: int = 128) -> np.ndarray:
    """A smooth texture (size, size) of grey levels."""
    rng = np.random.default_rng(seed)
    picture = rng.uniform(60, 190, (size // 8, size // 8))
    for axis in (0, 1):
        picture = np.apply_along_axis(
            lambda row: np.interp(np.arange(size) / 8, np.arange(size // 8), row), axis, picture)
    return picture


def features(frames, duration_s=None):
    reader = MotionFeatures()
    for frame, time_s in frames:
        reader.push(frame, time_s)
    return reader.finish(duration_s)


def block(place: float, pan: float = 0.0, noise: np.ndarray | None = None) -> np.ndarray:
    """A bright block with its left edge at `place` over a ground that has panned by `pan` pixels."""
    left = round(pan)
    picture = ground()[16:112, left : left + 96].copy()
    picture[40:56, int(place) : int(place) + 16] = 250
    if noise is not None:
        picture += noise
    return picture.clip(0, 255).astype(np.uint8)


def moving(fps: float, duration_s: float = 2.0):
    """Still for a second, then the block moves at 40 pixels a second."""
    return [(block(20 + 40 * max(0.0, t - 1)), float(t)) for t in np.arange(0, duration_s, 1 / fps)]


def test_shapes_and_kinds():
    result = features(moving(25), 2.0)
    assert result.cells.shape == (round(2 * FEATURE_RATE), CELL_CHANNELS, 144)
    assert result.cells.dtype == torch.float16
    assert result.whole.shape == (round(2 * FEATURE_RATE), GLOBAL_CHANNELS)


@pytest.mark.parametrize("fps", [12, 25, 50, 60])
def test_energy_starts_when_motion_does_and_hardly_depends_on_the_rate(fps):
    energy = features(moving(fps), 2.0).cells[:, LEFT].float().amax(1)
    assert energy[: round((1 - 1.1 / fps) * FEATURE_RATE)].max() == 0
    assert energy[round((1 + 2 / fps) * FEATURE_RATE) :].min() > 0.02
    assert 0.05 < energy[80:].mean() < 0.6
    reference = features(moving(25), 2.0).cells[80:, LEFT].float().mean()
    assert features(moving(fps), 2.0).cells[80:, LEFT].float().mean() == pytest.approx(float(reference), rel=0.35)


def test_time_is_the_middle_between_the_frames():
    frames = [(block(20 if k < 10 else 30), k / 10) for k in range(20)]
    energy = features(frames, 2.0).cells[:, CHANGE].float().sum(1)
    assert int(energy.argmax()) / FEATURE_RATE == pytest.approx(0.95, abs=1 / FEATURE_RATE)


@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_nothing_moves_nothing_is_felt(noise):
    rng = np.random.default_rng(1)
    frames = [(block(20, noise=noise * rng.standard_normal((96, 96))), k / 25) for k in range(50)]
    cells = features(frames, 2.0).cells.float()
    assert cells[:, LEFT].max() < 0.002
    if not noise:
        assert cells.abs().max() == 0


def test_the_camera_is_taken_out():
    still = [(block(20), k / 25) for k in range(40)]
    panned = [(block(20, pan=0.5 * k), k / 25) for k in range(40)]
    assert features(still).cells.float().abs().max() == 0
    cells = features(panned).cells.float()
    assert cells[:, LEFT].mean() < 0.3 * cells[:, CHANGE].mean()
    assert features(panned).whole[5:, 0].mean() == pytest.approx(-0.5 * 25 / 30, abs=0.25)


def test_flow_and_brightness_have_signs():
    result = features([(block(20 + k), k / 30) for k in range(30)])
    flow = result.cells[:, FLOW_X].float()
    assert flow.amax() > 0.5
    assert flow.amax() > 3 * flow.amin().abs()
    flash = [(block(20) if k != 10 else np.minimum(block(20).astype(int) + np.pad(np.full((16, 16), 60), 40), 255)
              .astype(np.uint8), k / 25) for k in range(20)]
    sign = features(flash).cells[:, SIGN].float().sum(1)
    assert int(sign.argmax()) < int(sign.argmin())
    assert sign.max() > 0.1 > -0.1 > sign.min()


def test_exposure_and_cuts_are_not_motion():
    light = [(np.uint8(ground(1)[:96, :96] + (0 if k < 10 else 20)), k / 25) for k in range(20)]
    assert features(light).cells[:, CHANGE].float().max() < 0.01
    assert features(light).whole[:, 2].max() > 0.5
    cut = [(ground(1 if k < 10 else 2)[:96, :96].astype(np.uint8), k / 25) for k in range(20)]
    assert features(cut).cells.float().abs().max() == 0


def test_repeated_pictures_are_one():
    slow = moving(12.5)
    doubled = [(frame, time + part) for frame, time in slow for part in (0.0, 0.04)]
    once, twice = features(slow, 2.0).cells.float(), features(doubled, 2.0).cells.float()
    torch.testing.assert_close(once[70:115, LEFT].sum(1), twice[70:115, LEFT].sum(1), atol=0.02, rtol=0.1)


def test_colour_and_size_do_not_matter():
    grey = moving(25)
    plain = features(grey, 2.0).cells.float()
    colour = [(torch.from_numpy(frame)[None].expand(3, -1, -1), time) for frame, time in grey]
    large = [(np.kron(frame, np.ones((2, 3), np.uint8)), time) for frame, time in grey]
    floats = [(torch.from_numpy(frame) / 255, time) for frame, time in grey]
    for other in (colour, large, floats):
        torch.testing.assert_close(features(other, 2.0).cells.float()[:, :3], plain[:, :3], atol=5e-3, rtol=0.02)


def test_only_small_numbers_are_kept():
    reader = MotionFeatures()
    for k in range(200):
        reader.push(block(20 + k % 10), k / 25)
    kept = len(reader._cells) + len(reader._whole)
    assert kept < 200 * 2000
    assert len(reader._previous) == 3  # one picture, in three sizes


def test_edges_of_input():
    reader = MotionFeatures()
    assert reader.finish().cells.shape == (0, CELL_CHANNELS, 144)
    reader.push(np.zeros((8, 8), np.uint8), 0.0)
    assert reader.finish(0.8).cells.abs().sum() == 0
    with pytest.raises(ValueError, match="order of display"):
        reader.push(np.zeros((8, 8), np.uint8), 0.0)
    with pytest.raises(ValueError, match="one size"):
        reader.push(np.zeros((8, 9), np.uint8), 0.1)
    with pytest.raises(ValueError, match="luma or"):
        reader.push(np.zeros((4, 8, 9), np.uint8), 0.1)
