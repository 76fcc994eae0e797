"""Anti-aliased shapes painted on many frames at once, by signed distance.

Coordinates: a square of -1..1 in x (right) and y (down) fills the picture; `placed` opens a smaller square inside it.
Every position, size and angle is a number or one value a frame (F,). Only the rectangle a shape can cover is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
Value = float | Array
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Texture:
    """A tile (3, T, T) float32 in 0..1 stretched over the extent of a shape."""

    tile: Array

    def sample(self, u: Array, v: Array) -> Array:
        """Colours (3, ...) at u, v, of which -1..1 covers the tile."""
        side = self.tile.shape[-1]
        column = np.clip((u + 1) * (side / 2), 0, side - 1).astype(np.int32)
        row = np.clip((v + 1) * (side / 2), 0, side - 1).astype(np.int32)
        return np.take(self.tile.reshape(3, -1), row * side + column, axis=1)


Paint = Colour | Texture


@dataclass(frozen=True)
class _Window:
    frames: slice
    rows: slice
    columns: slice
    x: Array  # (f, 1, w) relative to the shape's centre, in local units
    y: Array  # (f, h, 1)
    pixel: Array  # (f, 1, 1) local units a pixel


class Canvas:
    """Pixels (3, F, H, W) float32 in 0..1, painted in place. `scale` pixels a unit, (`left`, `top`) where 0, 0 lies."""

    def __init__(self, pixels: Array, scale: Array, left: Array, top: Array, mirror: float = 1.0) -> None:
        self.pixels, self.scale, self.left, self.top, self.mirror = pixels, scale, left, top, mirror
        self.num_frames = pixels.shape[1]

    def placed(self, x: Value, y: Value, size: Value, mirror: bool = False) -> Canvas:
        """The same pixels in the coordinates of a square centred at x, y with half side `size`, mirrored left-right or
        not."""
        left = self.left + self.mirror * self.scale * x
        return Canvas(self.pixels, np.broadcast_to(self.scale * size, (self.num_frames,)),
                      np.broadcast_to(left, (self.num_frames,)),
                      np.broadcast_to(self.top + self.scale * y, (self.num_frames,)),
                      -self.mirror if mirror else self.mirror)

    def ellipse(self, x: Value, y: Value, rx: Value, ry: Value, paint: Paint, alpha: Value = 1.0,
                angle: Value = 0.0, ring: float = 0.0) -> None:
        """A filled ellipse, or with `ring` > 0 only its outline of that half width."""

        def distance(u: Array, v: Array) -> Array:
            a, b = self._column(rx, u), self._column(ry, u)
            d = (np.sqrt(np.square(u / a) + np.square(v / b)) - 1) * np.minimum(a, b)
            return np.abs(d) - ring if ring else d

        self._fill(distance, x, y, np.maximum(rx, ry) + ring, (rx, ry), paint, alpha, angle)

    def box(self, x: Value, y: Value, rx: Value, ry: Value, paint: Paint, alpha: Value = 1.0,
            angle: Value = 0.0, corner: float = 0.0) -> None:
        """A rectangle of half sides rx, ry, its corners rounded by `corner`."""

        def distance(u: Array, v: Array) -> Array:
            a = np.abs(u) - (self._column(rx, u) - corner)
            b = np.abs(v) - (self._column(ry, u) - corner)
            if not corner:
                return np.maximum(a, b)
            outside = np.sqrt(np.square(np.maximum(a, 0)) + np.square(np.maximum(b, 0)))
            return outside + np.minimum(np.maximum(a, b), 0) - corner

        self._fill(distance, x, y, np.hypot(rx, ry), (rx, ry), paint, alpha, angle)

    def capsule(self, ax: Value, ay: Value, bx: Value, by: Value, radius: float, paint: Paint,
                alpha: Value = 1.0) -> None:
        """A stroke with round ends from a to b."""
        length = np.hypot(np.subtract(bx, ax), np.subtract(by, ay)) / 2
        angle = np.arctan2(np.subtract(by, ay), np.subtract(bx, ax))

        def distance(u: Array, v: Array) -> Array:
            along = np.maximum(np.abs(u) - self._column(length, u), 0)
            return np.sqrt(np.square(along) + np.square(v)) - radius

        self._fill(distance, np.add(ax, bx) / 2, np.add(ay, by) / 2, length + radius, (length + radius, radius),
                   paint, alpha, angle)

    def convex(self, x: Value, y: Value, corners: Array, paint: Paint, alpha: Value = 1.0, angle: Value = 0.0) -> None:
        """A convex polygon with `corners` (K, 2) given clockwise on the screen, around x, y."""
        corners = np.asarray(corners, np.float32)
        edges = np.roll(corners, -1, axis=0) - corners
        normals = np.stack([edges[:, 1], -edges[:, 0]], 1) / np.hypot(edges[:, 0], edges[:, 1])[:, None]
        offsets = (normals * corners).sum(1)

        def distance(u: Array, v: Array) -> Array:
            d = normals[0, 0] * u + normals[0, 1] * v - offsets[0]
            for (nx, ny), offset in zip(normals[1:], offsets[1:]):
                np.maximum(d, nx * u + ny * v - offset, out=d)
            return d

        extent = np.abs(corners).max(0)
        self._fill(distance, x, y, float(np.hypot(*extent)), (float(extent[0]), float(extent[1])), paint, alpha, angle)

    def wash(self, paint: Colour, alpha: Value) -> None:
        """Blend the whole picture towards one colour."""
        amount = np.broadcast_to(np.asarray(alpha, np.float32), (self.num_frames,))[:, None, None]
        for channel, level in enumerate(paint):
            self.pixels[channel] += amount * (np.float32(level) - self.pixels[channel])

    def _column(self, value: Value, like: Array) -> Array:
        """A value a frame as (f, 1, 1) for the frames of the window being painted."""
        array = np.asarray(value, np.float32)
        return array[self._painting, None, None] if array.ndim else array

    def _fill(self, distance: Callable[[Array, Array], Array], x: Value, y: Value, reach: Value,
              extent: tuple[Value, Value], paint: Paint, alpha: Value, angle: Value) -> None:
        window = self._window(x, y, reach, alpha)
        if window is None:
            return
        self._painting = window.frames
        u, v = window.x, window.y
        if np.ndim(angle) or angle:
            c, s = self._column(np.cos(angle), u), self._column(np.sin(angle), u)
            u, v = u * c + v * s, v * c - u * s
        cover = distance(u, v)
        cover /= -window.pixel
        cover += np.float32(0.5)
        np.clip(cover, 0, 1, out=cover)
        cover *= self._column(alpha, u)
        colours = (paint.sample(u / self._column(extent[0], u), v / self._column(extent[1], u))
                   if isinstance(paint, Texture) else np.asarray(paint, np.float32))
        for channel in range(3):
            area = self.pixels[channel, window.frames, window.rows, window.columns]
            step = colours[channel] - area
            step *= cover
            area += step

    def _window(self, x: Value, y: Value, reach: Value, alpha: Value) -> _Window | None:
        frames = slice(0, self.num_frames)
        if np.ndim(alpha):
            live = np.flatnonzero(np.asarray(alpha) > 0.004)
            if not len(live):
                return None
            frames = slice(int(live[0]), int(live[-1]) + 1)
        elif alpha <= 0.004:
            return None
        height, width = self.pixels.shape[2:]
        scale = self.scale[frames]
        px = self.left[frames] + self.mirror * scale * _at(x, frames)
        py = self.top[frames] + scale * _at(y, frames)
        margin = scale * _at(reach, frames) + 1.5
        columns = slice(max(0, int((px - margin).min())), min(width, int((px + margin).max()) + 1))
        rows = slice(max(0, int((py - margin).min())), min(height, int((py + margin).max()) + 1))
        if columns.start >= columns.stop or rows.start >= rows.stop:
            return None
        unit = (1 / scale).astype(np.float32)[:, None, None]
        across = np.arange(columns.start, columns.stop, dtype=np.float32) + np.float32(0.5)
        down = np.arange(rows.start, rows.stop, dtype=np.float32) + np.float32(0.5)
        x_local = (across[None, None, :] - px.astype(np.float32)[:, None, None]) * (unit * np.float32(self.mirror))
        y_local = (down[None, :, None] - py.astype(np.float32)[:, None, None]) * unit
        return _Window(frames, rows, columns, x_local, y_local, unit)


def _at(value: Value, frames: slice) -> Value:
    return np.asarray(value)[frames] if np.ndim(value) else value
