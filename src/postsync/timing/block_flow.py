"""Motion of the cells of a picture and of the camera, from one small picture to the next (Lucas and Kanade, coarse to
fine). Sizes are fixed and small: under a millisecond a frame.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray

SIDE = 96  # pixels a side of the pictures that are compared
CELLS = 12  # cells a side
_LEVELS = 3  # 24, 48 and 96 pixels: camera motion of up to about 6 pixels of 96 a frame is followed
_LEAST_SUPPORT = 0.3  # share of all cells that must move alike to count as camera motion
_STIFFNESS = 2e-4  # squared gradient (luma 0..1 a pixel) below which a cell has too little texture


def _averaging(side: int) -> Array:
    """(CELLS, side): the rows of a picture -> the mean of each row of cells."""
    return np.repeat(np.eye(CELLS, dtype=np.float32), side // CELLS, axis=1) * np.float32(CELLS / side)


_AVERAGING = {SIDE >> level: _averaging(SIDE >> level) for level in range(_LEVELS)}


def cell_means(pictures: Array) -> Array:
    """Means over the cells, (..., side, side) -> (..., CELLS, CELLS)."""
    rows = _AVERAGING[pictures.shape[-1]]
    return rows @ pictures @ rows.T


def pyramid(picture: Array) -> list[Array]:
    """The picture (SIDE, SIDE) float32 and its halvings, finest first."""
    levels = [picture]
    for _ in range(_LEVELS - 1):
        p = levels[-1]
        levels.append((p[::2, ::2] + p[1::2, ::2] + p[::2, 1::2] + p[1::2, 1::2]) * np.float32(0.25))
    return levels


def shifted(picture: Array, dx: float, dy: float) -> Array:
    """The picture (H, W) moved right by `dx` and down by `dy` pixels, bilinear; its edges are replicated."""
    return _slide(_slide(picture, dy).T, dx).T


def camera_motion(before: list[Array], after: list[Array]) -> tuple[float, float, Array]:
    """Two pyramids -> (dx, dy) of the whole picture and the flow of each cell (2, CELLS, CELLS), pixels of 96 a pair.

    The whole picture moves as the weighted median of its cells, so that moving objects do not count; if too few cells
    agree (a ball before a plain wall) the camera counts as still.
    """
    dx = dy = 0.0
    flow = np.zeros((2, CELLS, CELLS), np.float32)
    for first, second in zip(reversed(before), reversed(after), strict=True):
        dx, dy = 2 * dx, 2 * dy
        moved = shifted(first, dx, dy) if dx or dy else first
        step, weight = _cell_flow(moved, second)
        step_x, step_y = _weighted_median(step[0], weight), _weighted_median(step[1], weight)
        step += np.array([dx, dy], np.float32)[:, None, None]
        coarse = 2 * flow
        dx, dy = dx + step_x, dy + step_y
        # a cell that deviates from the camera's motion by more than a pixel can only be tracked at a coarser level
        fast = np.hypot(coarse[0] - np.float32(dx), coarse[1] - np.float32(dy)) > 1.5
        flow = np.where(fast, coarse, step)
    apart = np.hypot(step[0] - np.float32(dx), step[1] - np.float32(dy))
    alike = (apart < 0.25 + 0.15 * np.hypot(dx, dy)) & (weight > _STIFFNESS)
    return (dx, dy, flow) if alike.mean() >= _LEAST_SUPPORT else (0.0, 0.0, flow)


def _slide(picture: Array, amount: float) -> Array:
    """The picture moved down by `amount` rows."""
    if not amount:
        return picture
    whole = int(np.floor(amount))
    part = np.float32(amount - whole)
    rows = np.arange(len(picture)) - whole
    near = picture[np.clip(rows, 0, len(picture) - 1)]
    far = picture[np.clip(rows - 1, 0, len(picture) - 1)]
    return near + part * (far - near)


def _cell_flow(before: Array, after: Array) -> tuple[Array, Array]:
    """Flow (2, CELLS, CELLS) in pixels, at most one, and its texture (CELLS, CELLS)."""
    middle = np.float32(0.5) * (before + after)
    terms = np.zeros((5, *middle.shape), np.float32)
    gx, gy = np.zeros_like(middle), np.zeros_like(middle)
    gx[:, 1:-1] = np.float32(0.5) * (middle[:, 2:] - middle[:, :-2])
    gy[1:-1] = np.float32(0.5) * (middle[2:] - middle[:-2])
    change = before - after
    np.multiply(gx, gx, out=terms[0])
    np.multiply(gy, gy, out=terms[1])
    np.multiply(gx, gy, out=terms[2])
    np.multiply(gx, change, out=terms[3])
    np.multiply(gy, change, out=terms[4])
    xx, yy, xy, xt, yt = cell_means(terms)
    xx, yy = xx + np.float32(_STIFFNESS), yy + np.float32(_STIFFNESS)
    scale = 1 / (xx * yy - xy * xy)
    flow = np.stack([(yy * xt - xy * yt) * scale, (xx * yt - xy * xt) * scale])
    return np.clip(flow, -1, 1), xx + yy - np.float32(2 * _STIFFNESS)


def _weighted_median(values: Array, weights: Array) -> float:
    values, weights = values.ravel(), weights.ravel()
    order = np.argsort(values)
    running = np.cumsum(weights[order])
    if running[-1] < 1e-6:
        return 0.0
    return float(values[order[np.searchsorted(running, 0.5 * running[-1])]])
