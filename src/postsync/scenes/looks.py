"""Appearance: textures of the materials, and the objects made of them.

Every material has a colour, a texture and a shape of its own, so that a family can be recognised from a still;
each clip varies them a little.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .canvas import Array, Canvas, Colour, Texture, Value

TILE = 40
SKINS: tuple[Colour, ...] = ((0.93, 0.76, 0.62), (0.78, 0.56, 0.40), (0.55, 0.37, 0.25), (0.36, 0.24, 0.17))
COLOURS: dict[str, Colour] = {
    "wood": (0.66, 0.42, 0.20), "metal": (0.60, 0.64, 0.70), "glass": (0.62, 0.88, 0.90),
    "ceramic": (0.95, 0.94, 0.90), "plastic": (0.95, 0.30, 0.55), "cardboard": (0.76, 0.60, 0.38),
    "stone": (0.40, 0.36, 0.31), "drum": (0.80, 0.10, 0.12), "water": (0.15, 0.42, 0.80),
    "gravel": (0.62, 0.58, 0.52), "leaves": (0.30, 0.52, 0.14), "cloth": (0.48, 0.25, 0.62),
}


def smooth_noise(rng: np.random.Generator, side: int, cells: int) -> Array:
    """(side, side) float32 in 0..1: random values on a grid of `cells` squared, interpolated."""
    position = np.linspace(0, cells - 1, side)
    lower = np.minimum(position.astype(int), cells - 2)
    weights = np.zeros((side, cells), np.float32)
    weights[np.arange(side), lower] = 1 - (position - lower)
    weights[np.arange(side), lower + 1] += position - lower
    return weights @ rng.random((cells, cells), dtype=np.float32) @ weights.T


def skin(rng: np.random.Generator) -> Colour:
    """A skin colour."""
    return SKINS[int(rng.integers(len(SKINS)))]


def varied(colour: Colour, rng: np.random.Generator, amount: float = 0.05) -> Colour:
    """The colour, a little lighter, darker or shifted."""
    shifted = np.clip(np.asarray(colour) * rng.uniform(0.88, 1.1) + rng.uniform(-amount, amount, 3), 0, 1)
    return float(shifted[0]), float(shifted[1]), float(shifted[2])


def dark(colour: Colour, share: float = 0.55) -> Colour:
    """A darker shade of a colour."""
    return colour[0] * share, colour[1] * share, colour[2] * share


def material_texture(material: str, rng: np.random.Generator, colour: Colour | None = None) -> Texture:
    """The texture of one of the MATERIALS, in its own colour (varied) or the one given."""
    base = np.asarray(colour or varied(COLOURS[material], rng), np.float32)[:, None, None]
    axis = np.linspace(-1, 1, TILE, dtype=np.float32)
    u, v = np.broadcast_arrays(axis[None, :], axis[:, None])
    tile = base * _PATTERNS[material](u, v, rng)
    return Texture(np.ascontiguousarray(np.clip(tile, 0, 1), dtype=np.float32))


def _wood(u: Array, v: Array, rng: np.random.Generator) -> Array:
    bend = smooth_noise(rng, TILE, 4)
    return 0.85 + 0.25 * np.sin(9 * v + 7 * bend + rng.uniform(0, 6)) + 0.06 * np.sin(40 * v + 3 * u)


def _metal(u: Array, v: Array, rng: np.random.Generator) -> Array:
    sheen = np.exp(-np.square((u - v * 0.6 + rng.uniform(-0.4, 0.4)) / 0.18))
    return 0.75 - 0.25 * v + 0.55 * sheen


def _glass(u: Array, v: Array, rng: np.random.Generator) -> Array:
    return 0.8 + 0.5 * (np.abs(u + 0.55) < 0.12) - 0.35 * (np.abs(u) > 0.88)


def _ceramic(u: Array, v: Array, rng: np.random.Generator) -> Array:
    light = 1.02 - 0.22 * u * u - 0.1 * v
    band = (np.abs(v + 0.35) < 0.13) | (np.abs(v - 0.45) < 0.07)
    blue = np.array([0.22, 0.38, 0.85], np.float32)[:, None, None]
    return np.where(band, blue, light[None])


def _plastic(u: Array, v: Array, rng: np.random.Generator) -> Array:
    return 0.85 + 0.3 * np.exp(-(np.square(u + 0.4) + np.square(v + 0.3)) / 0.2) - 0.12 * (np.abs(v - 0.6) < 0.1)


def _cardboard(u: Array, v: Array, rng: np.random.Generator) -> Array:
    tape = np.abs(u + rng.uniform(-0.1, 0.1)) < 0.14
    return 0.9 + 0.05 * np.sin(45 * u) + 0.3 * tape - 0.35 * (np.maximum(np.abs(u), np.abs(v)) > 0.93)


def _stone(u: Array, v: Array, rng: np.random.Generator) -> Array:
    return 0.55 + 0.55 * smooth_noise(rng, TILE, 7) + 0.3 * smooth_noise(rng, TILE, 18) - 0.25 * v


def _drum(u: Array, v: Array, rng: np.random.Generator) -> Array:
    zigzag = np.abs(v - 1.6 * (np.abs((u * 2.5) % 1 - 0.5) * 2 - 0.5)) < 0.3
    gold = np.array([1.2, 6.5, 1.5], np.float32)[:, None, None]
    return np.where(zigzag, gold, (1.0 - 0.35 * u * u)[None])


def _water(u: Array, v: Array, rng: np.random.Generator) -> Array:
    return 0.9 + 0.28 * np.sin(14 * v + 5 * smooth_noise(rng, TILE, 5) + 4 * u) + 0.2 * (v < -0.8)


def _dots(u: Array, v: Array, rng: np.random.Generator) -> Array:
    cells = 11
    shade = rng.uniform(0.5, 1.35, (cells, cells))
    column, row = ((u + 1) * cells / 2), ((v + 1) * cells / 2)
    i, j = np.minimum(row, cells - 1).astype(int), np.minimum(column, cells - 1).astype(int)
    inside = np.hypot(column % 1 - 0.5, row % 1 - 0.5) < 0.46
    return np.where(inside, shade[i, j], 0.35)


def _foliage(u: Array, v: Array, rng: np.random.Generator) -> Array:
    patches = smooth_noise(rng, TILE, 12) * 1.2 + smooth_noise(rng, TILE, 5) * 0.4
    autumn = np.array([1.0 + rng.uniform(0, 0.6), 1.0, 0.8], np.float32)[:, None, None]
    return (0.25 + patches)[None] * autumn


def _folds(u: Array, v: Array, rng: np.random.Generator) -> Array:
    return 0.85 + 0.35 * np.sin(11 * u + 2.5 * np.sin(2 * v + rng.uniform(0, 6)) + rng.uniform(0, 6))


_PATTERNS: dict[str, Callable[[Array, Array, np.random.Generator], Array]] = {
    "wood": _wood, "metal": _metal, "glass": _glass, "ceramic": _ceramic, "plastic": _plastic,
    "cardboard": _cardboard, "stone": _stone, "drum": _drum, "water": _water, "gravel": _dots, "leaves": _foliage,
    "cloth": _folds,
}


@dataclass(frozen=True)
class MaterialObject:
    """A thing of one material. Its struck surface lies at 0, 0; it fills about -0.7..0.7 by 0..0.75 below."""

    material: str
    texture: Texture
    colour: Colour
    parts: Array  # (K, 4) random numbers 0..1 for stones, leaves and dots

    @classmethod
    def draw_from(cls, material: str, rng: np.random.Generator) -> MaterialObject:
        """Draw the appearance of this clip's object."""
        colour = varied(COLOURS[material], rng)
        if material == "plastic":  # bright, of any hue of a toy
            colour = varied(((0.95, 0.25, 0.55), (0.98, 0.55, 0.1), (0.95, 0.35, 0.75))[int(rng.integers(3))], rng)
        return cls(material, material_texture(material, rng, colour), colour, rng.random((16, 4)))

    def paint(self, canvas: Canvas, dx: Value = 0.0, dy: Value = 0.0, dent: Value = 0.0) -> None:
        """Paint it displaced by dx, dy; `dent` 0..1 is how far soft matter is pressed in."""
        _OBJECTS[self.material](self, canvas, dx, dy, dent)


def _plank(o: MaterialObject, c: Canvas, dx: Value, dy: Value, dent: Value) -> None:
    for side in (-0.48, 0.48):
        c.box(side + dx * 0.3, 0.48, 0.07, 0.32, dark(o.colour), angle=side * 0.25)
    c.box(dx, 0.13 + dy, 0.72, 0.15, o.texture, corner=0.03)


def _anvil(o: MaterialObject, c: Canvas, dx: Value, dy: Value, dent: Value) -> None:
    c.box(dx, 0.68 + dy * 0.2, 0.38, 0.08, dark(o.colour))
    c.box(dx, 0.42 + dy * 0.5, 0.17, 0.24, o.texture)
    c.convex(dx, 0.14 + dy, np.array([[-0.75, -0.12], [0.55, -0.14], [0.55, 0.12], [-0.35, 0.12]]), o.texture)


def _tumbler(o: MaterialObject, c: Canvas, dx: Value, dy: Value, dent: Value) -> None:
    c.convex(dx, 0.36 + dy, np.array([[-0.45, -0.36], [0.45, -0.36], [0.3, 0.36], [-0.3, 0.36]]), o.texture, 0.55)
    c.convex(dx, 0.5 + dy, np.array([[-0.38, -0.18], [0.38, -0.18], [0.29, 0.2], [-0.29, 0.2]]),
             (0.45, 0.75, 0.85), 0.45)
    c.ellipse(dx, 0.02 + dy, 0.45, 0.07, (0.97, 1.0, 1.0), ring=0.022)


def _plate(o: MaterialObject, c: Canvas, dx: Value, dy: Value, dent: Value) -> None:
    c.convex(dx, 0.32 + dy, np.array([[-0.6, -0.3], [0.6, -0.3], [0.42, 0.12], [0.2, 0.3], [-0.2, 0.3], [-0.42, 0.12]]),
             o.texture)
    c.ellipse(dx, 0.02 + dy, 0.62, 0.1, (0.99, 0.99, 0.97))
    c.ellipse(dx, 0.02 + dy, 0.5, 0.07, (0.75, 0.76, 0.78))


def _bucket(o: MaterialObject, c: Canvas, dx: Value, dy: Value, dent: Value) -> None:
    c.ellipse(dx, 0.25 + dy, 0.5, 0.34, (0.9, 0.9, 0.9), ring=0.025)
    c.convex(dx, 0.38 + dy, np.array([[-0.55, -0.36], [0.55, -0.36], [0.36, 0.36], [-0.36, 0.36]]), o.texture)
    c.ellipse(dx, 0.03 + dy, 0.56, 0.08, dark(o.colour, 0.75))


def _carton(o: MaterialObject, c: Canvas, dx: Value, dy: Value, dent: Value) -> None:
    c.box(dx, 0.4 + dy, 0.55, 0.38, o.texture)
    c.convex(dx, 0.06 + dy, np.array([[-0.45, -0.08], [0.65, -0.08], [0.55, 0.06], [-0.55, 0.06]]),
             dark(o.colour, 0.8))


def _rock(o: MaterialObject, c: Canvas, dx: Value, dy: Value, dent: Value) -> None:
    rough = 0.08 * (o.parts[:7, :2] - 0.5)
    corners = np.array([[-0.35, -0.36], [0.2, -0.38], [0.58, -0.2], [0.68, 0.2], [0.4, 0.38], [-0.45, 0.38],
                        [-0.68, 0.1]]) + rough
    c.convex(dx, 0.38 + dy, corners, o.texture)


def _drum_kettle(o: MaterialObject, c: Canvas, dx: Value, dy: Value, dent: Value) -> None:
    c.ellipse(dx, 0.66, 0.6, 0.12, dark(o.colour))
    c.box(dx, 0.36, 0.6, 0.3, o.texture)
    c.ellipse(dx, 0.05 + dy * 0.5, 0.62, 0.15, (0.96, 0.92, 0.82))
    c.ellipse(dx, 0.05 + dy, 0.2 + 0.2 * np.asarray(dent), 0.06, (0.75, 0.7, 0.6), 0.9 * np.asarray(dent))
    c.ellipse(dx, 0.05 + dy * 0.5, 0.62, 0.15, (0.75, 0.65, 0.2), ring=0.025)


def _basin(o: MaterialObject, c: Canvas, dx: Value, dy: Value, dent: Value) -> None:
    c.box(0.0, 0.42, 0.85, 0.36, (0.55, 0.57, 0.60), corner=0.1)
    c.box(0.0, 0.36, 0.78, 0.32, o.texture, corner=0.06)
    c.ellipse(0.0, 0.05, 0.78, 0.12, (0.35, 0.62, 0.92))
    c.ellipse(0.0, 0.05, 0.1 + 0.6 * (1 - np.asarray(dent)), 0.02 + 0.08 * (1 - np.asarray(dent)), (0.85, 0.95, 1.0),
              np.asarray(dent) * 0.95, ring=0.03)


def _heap(o: MaterialObject, c: Canvas, dx: Value, dy: Value, dent: Value) -> None:
    c.ellipse(0.0, 0.5 + np.asarray(dent) * 0.06, 0.85, 0.48, o.texture)
    for x, y, size, shade in o.parts[:10]:
        c.ellipse(x * 1.3 - 0.65 + dx * 0.5, 0.1 + abs(x - 0.5) * 0.5 + y * 0.3 + dy * 0.5, 0.06 + 0.06 * size,
                  0.05 + 0.04 * size, dark(o.colour, 0.5 + 0.8 * shade))


def _leaf_pile(o: MaterialObject, c: Canvas, dx: Value, dy: Value, dent: Value) -> None:
    c.ellipse(0.0, 0.55 + np.asarray(dent) * 0.08, 0.8, 0.5, o.texture)
    hues = ((0.25, 0.55, 0.12), (0.45, 0.62, 0.10), (0.75, 0.45, 0.10), (0.18, 0.42, 0.14))
    for k, (x, y, turn, _) in enumerate(o.parts[:14]):
        c.ellipse(x * 1.5 - 0.75 + dx, 0.08 + abs(x - 0.5) * 0.6 + y * 0.4 + dy, 0.17, 0.065, hues[k % 4],
                  angle=3 * turn + np.asarray(dy) * 3)


def _cushion(o: MaterialObject, c: Canvas, dx: Value, dy: Value, dent: Value) -> None:
    press = 0.16 * np.asarray(dent)
    c.box(dx, 0.4 + press / 2, 0.68 + press / 2, 0.36 - press / 2, o.texture, corner=0.16)
    for side in (-0.66, 0.66):
        c.ellipse(side, 0.1 + press, 0.07, 0.07, dark(o.colour, 0.7))


_OBJECTS: dict[str, Callable[[MaterialObject, Canvas, Value, Value, Value], None]] = {
    "wood": _plank, "metal": _anvil, "glass": _tumbler, "ceramic": _plate, "plastic": _bucket, "cardboard": _carton,
    "stone": _rock, "drum": _drum_kettle, "water": _basin, "gravel": _heap, "leaves": _leaf_pile, "cloth": _cushion,
}
