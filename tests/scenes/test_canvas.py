"""Shapes cover what geometry says, wherever and however they are seen."""

import numpy as np
import pytest

from postsync.scenes.canvas import Canvas, Texture

WHITE = (1.0, 1.0, 1.0)


def blank(frames: int = 1, size: int = 64) -> Canvas:
    half = np.full(frames, size / 2, np.float32)
    return Canvas(np.zeros((3, frames, size, size), np.float32), half, half, half)


def area(canvas: Canvas) -> np.ndarray:
    """Covered area a frame, in square units."""
    size = canvas.pixels.shape[-1]
    return canvas.pixels[0].sum((1, 2)) * (2 / size) ** 2


@pytest.mark.parametrize(("draw", "expected"), [
    (lambda c: c.ellipse(0.1, -0.2, 0.5, 0.5, WHITE), np.pi * 0.25),
    (lambda c: c.ellipse(0.0, 0.0, 0.6, 0.4, WHITE, angle=0.7), np.pi * 0.24),
    (lambda c: c.box(0.0, 0.1, 0.5, 0.25, WHITE, angle=0.4), 0.5),
    (lambda c: c.box(0.0, 0.0, 0.5, 0.5, WHITE, corner=0.5), np.pi * 0.25),
    (lambda c: c.capsule(-0.3, 0.0, 0.3, 0.2, 0.1, WHITE), 2 * np.hypot(0.3, 0.1) * 0.2 + np.pi * 0.01),
    (lambda c: c.convex(0.0, 0.0, np.array([[-0.5, -0.5], [0.5, -0.5], [0.0, 0.5]]), WHITE), 0.5),
    (lambda c: c.ellipse(0.0, 0.0, 0.5, 0.5, WHITE, ring=0.05), 2 * np.pi * 0.5 * 0.1),
    (lambda c: c.box(1.0, 0.0, 0.5, 0.5, WHITE), 0.5),  # half of it lies outside
    (lambda c: c.box(3.0, 0.0, 0.5, 0.5, WHITE), 0.0),
])
def test_shapes_cover_their_area(draw, expected) -> None:
    canvas = blank()
    draw(canvas)
    assert area(canvas)[0] == pytest.approx(expected, abs=0.012)


def test_edges_are_soft_and_move_by_parts_of_a_pixel() -> None:
    canvas = blank(2)
    canvas.box(np.array([0.0, 0.25 / 32]), 0.0, 0.5, 0.5, WHITE)
    first, second = canvas.pixels[0, :, 32]
    assert second[16] == pytest.approx(0.75, abs=0.02)
    assert first[16] == pytest.approx(1.0, abs=0.02)
    assert first.sum() == pytest.approx(second.sum(), abs=0.05)


def test_each_frame_has_its_own_place_and_opacity() -> None:
    canvas = blank(3)
    canvas.ellipse(np.array([-0.5, 0.0, 0.5]), 0.0, 0.2, 0.2, WHITE, alpha=np.array([1.0, 0.0, 0.5]))
    full, none, half = area(canvas)
    assert none == 0
    assert half == pytest.approx(full / 2, rel=1e-3)
    assert canvas.pixels[0, 0, 32, 16] == 1
    assert canvas.pixels[0, 2, 32, 48] == pytest.approx(0.5)


def test_placed_squares_nest_and_mirror() -> None:
    direct, nested, mirrored = blank(), blank(), blank()
    direct.ellipse(0.5 + 0.25 * 0.4, -0.1, 0.05, 0.05, WHITE)
    nested.placed(0.5, -0.1, 0.5).placed(0.0, 0.0, 0.5).ellipse(0.4, 0.0, 0.2, 0.2, WHITE)
    mirrored.placed(-0.5, -0.1, 0.25, mirror=True).ellipse(0.4, 0.0, 0.2, 0.2, WHITE)
    np.testing.assert_allclose(nested.pixels, direct.pixels, atol=1e-4)
    np.testing.assert_allclose(mirrored.pixels[..., ::-1], direct.pixels, atol=1e-4)


def test_textures_stretch_over_the_shape_and_turn_with_it() -> None:
    tile = np.zeros((3, 8, 8), np.float32)
    tile[0, :, 4:] = 1  # the right half is red
    canvas = blank(2)
    canvas.box(0.0, 0.0, 0.5, 0.5, Texture(tile), angle=np.array([0.0, np.pi]))
    assert canvas.pixels[0, 0, 32, 40] == 1
    assert canvas.pixels[0, 0, 32, 24] == 0
    assert canvas.pixels[0, 1, 32, 40] == 0
    assert canvas.pixels[0, 1, 32, 24] == pytest.approx(1)


def test_wash_blends_everything() -> None:
    canvas = blank(2)
    canvas.wash((1.0, 0.5, 0.0), np.array([0.0, 0.5]))
    np.testing.assert_allclose(canvas.pixels[:, 1, 0, 0], [0.5, 0.25, 0.0])
    assert canvas.pixels[:, 0].max() == 0
