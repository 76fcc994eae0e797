"""Materials can be told apart, and each clip's object is its own."""

import itertools

import numpy as np
import pytest

from postsync.scenes.canvas import Canvas
from postsync.scenes.families import MATERIALS
from postsync.scenes.looks import MaterialObject, dark, material_texture, smooth_noise, varied


def picture(material: str, seed: int = 0, dent: float = 0.0) -> np.ndarray:
    half = np.full(1, 24, np.float32)
    canvas = Canvas(np.full((3, 1, 48, 48), 0.5, np.float32), half, half, half)
    MaterialObject.draw_from(material, np.random.default_rng(seed)).paint(canvas, dent=dent)
    return canvas.pixels[:, 0]


def test_every_two_materials_differ_more_than_two_of_the_same() -> None:
    shown = {m: [picture(m, seed) for seed in range(3)] for m in MATERIALS}
    for one, other in itertools.combinations(MATERIALS, 2):
        apart = np.mean([np.abs(a - b).mean() for a in shown[one] for b in shown[other]])
        assert apart > 0.022, (one, other)
    same = np.mean([np.abs(a[0] - a[1]).mean() for a in shown.values()])
    apart = np.mean([np.abs(shown[a][0] - shown[b][0]).mean() for a, b in itertools.combinations(MATERIALS, 2)])
    assert apart > 1.5 * same


@pytest.mark.parametrize("material", MATERIALS)
def test_looks_are_reproducible_and_varied(material: str) -> None:
    np.testing.assert_array_equal(picture(material, 1), picture(material, 1))
    assert np.abs(picture(material, 1) - picture(material, 2)).max() > 0.02
    tile = material_texture(material, np.random.default_rng(0)).tile
    assert tile.shape[0] == 3
    assert 0 <= tile.min() < tile.max() <= 1


def test_glass_is_seen_through() -> None:
    half = np.full(1, 24, np.float32)
    bright, black = (Canvas(np.full((3, 1, 48, 48), v, np.float32), half, half, half) for v in (1.0, 0.0))
    for canvas in (bright, black):
        MaterialObject.draw_from("glass", np.random.default_rng(0)).paint(canvas)
    assert bright.pixels[1, 0, 30, 24] - black.pixels[1, 0, 30, 24] > 0.1


@pytest.mark.parametrize("material", ["drum", "water", "cloth"])
def test_soft_matter_gives_way(material: str) -> None:
    assert np.abs(picture(material, dent=1.0) - picture(material)).mean() > 1e-3


def test_smooth_noise_interpolates_its_grid() -> None:
    noise = smooth_noise(np.random.default_rng(3), 33, 5)
    np.testing.assert_allclose(noise[::8, ::8], np.random.default_rng(3).random((5, 5), dtype=np.float32), atol=1e-6)


def test_shades_stay_colours() -> None:
    for seed in range(50):
        assert all(0 <= c <= 1 for c in varied((0.95, 0.05, 0.5), np.random.default_rng(seed), 0.4))
    assert dark((0.4, 0.2, 1.0), 0.5) == (0.2, 0.1, 0.5)
