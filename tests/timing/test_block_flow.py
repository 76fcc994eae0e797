"""Flow of cells and of the camera on pictures that were moved by a known amount."""

from __future__ import annotations

import numpy as np
import pytest

from postsync.timing.block_flow import CELLS, SIDE, camera_motion, cell_means, pyramid, shifted


def landscape(seed: int = 0) -> np.ndarray:
    """A smooth random picture (160, 160)."""
    rng = np.random.default_rng(seed)
    picture = rng.uniform(0, 1, (20, 20))
    for axis in (0, 1):
        picture = np.apply_along_axis(lambda row: np.interp(np.arange(160) / 8, np.arange(20), row), axis, picture)
    return picture.astype(np.float32)


def view(dx: float, dy: float) -> np.ndarray:
    """The landscape as seen when the picture has moved right by dx and down by dy."""
    return np.ascontiguousarray(shifted(landscape(), dx, dy)[32 : 32 + SIDE, 32 : 32 + SIDE])


@pytest.mark.parametrize(("dx", "dy"), [(0.0, 0.0), (0.4, -0.7), (2.5, 1.0), (-4.0, 3.0)])
def test_the_camera_is_followed(dx, dy):
    found_x, found_y, flow = camera_motion(pyramid(view(0, 0)), pyramid(view(dx, dy)))
    assert abs(found_x - dx) < 0.25
    assert abs(found_y - dy) < 0.25
    assert flow.shape == (2, CELLS, CELLS)


def test_what_moves_by_itself_is_not_the_camera():
    before, after = view(0, 0), view(0, 0)
    before[40:56, 40:56] += 0.8
    after[40:56, 42:58] += 0.8
    dx, dy, flow = camera_motion(pyramid(before), pyramid(after))
    assert abs(dx) < 0.05
    assert abs(dy) < 0.05
    assert flow[0, 5:7, 5:7].max() > 1


def test_an_object_before_a_plain_wall_leaves_the_camera_still():
    wall = np.full((2, SIDE, SIDE), 0.5, np.float32)
    wall[0, 30:50, 30:50] = 0.9
    wall[1, 32:52, 31:51] = 0.9
    dx, dy, _ = camera_motion(pyramid(wall[0]), pyramid(wall[1]))
    assert (dx, dy) == (0.0, 0.0)


def test_shifts_are_exact_for_whole_pixels_and_blend_between_them():
    picture = view(0, 0)
    np.testing.assert_array_equal(shifted(picture, 3, 0)[:, 3:], picture[:, :-3])
    np.testing.assert_array_equal(shifted(picture, 0, -2)[:-2], picture[2:])
    half = shifted(picture, 0.5, 0)[:, 1:]
    np.testing.assert_allclose(half, 0.5 * (picture[:, 1:] + picture[:, :-1]), atol=1e-6)


def test_cell_means():
    picture = np.arange(SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE) / SIDE**2
    means = cell_means(picture)
    assert means.shape == (CELLS, CELLS)
    np.testing.assert_allclose(means[2, 3], picture[16:24, 24:32].mean(), rtol=1e-5)
