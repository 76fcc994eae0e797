"""Robust motion statistics of the cells of a picture, streamed: the input of the trained timing predictor.

Frames are read once and only the last one is kept, with a slowly running median picture; of each pair of frames 6 x 144
small numbers remain. Noise, exposure, the camera's motion, cuts and repeated pictures are removed here, so that the
network only needs to learn timing. Recipe: envelope_training_notes.md section 5.

A frame's timestamp is the start of its display; a difference belongs to the middle between its two frames.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .block_flow import CELLS, SIDE, camera_motion, cell_means, pyramid, shifted
from .motion import joined_repeats

Array = np.ndarray

FEATURE_RATE = 62.5
CELL_CHANNELS = 6  # change, change left by the camera, its sign, flow x, flow y, distance to the median picture
GLOBAL_CHANNELS = 3  # camera x, camera y, brightness
_REFERENCE_S = 1 / 30  # changes are given for this time, whatever the frame rate
_SIGMA = 1.4826  # standard deviation of a normal variable over its median absolute value
_LEAST_SIGMA = 0.002
_NOISE_WINDOW, _CUT_WINDOW = 120, 31  # pairs for the typical noise, the typical change
_MEDIAN_STEP = 0.1  # luma a second by which the running median picture approaches the current one
_EDGE_ERROR = 0.15  # uncertainty of the camera's motion in pixels, where it moves
_BLOCK = 1024  # values interpolated at once
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class CellFeatures:
    """Statistics at FEATURE_RATE; value t belongs to time t / FEATURE_RATE."""

    cells: Tensor  # (T, CELL_CHANNELS, CELLS * CELLS) float16
    whole: Tensor  # (T, GLOBAL_CHANNELS) float32


class MotionFeatures:
    """Reads frames one by one: `push(frame, time_s)` for each, then `finish(duration_s)`."""

    def __init__(self) -> None:
        self._size: tuple[int, ...] | None = None
        self._shrink: tuple[Array, Array] | None = None
        self._previous: list[Array] = []
        self._median = np.zeros((SIDE, SIDE), np.float32)
        self._times: list[float] = []
        # (CELL_CHANNELS, 144) float16 and (GLOBAL_CHANNELS,) float32 for each pair of neighbouring frames, each in
        # one growing buffer: small arrays kept between large temporary ones would fragment the memory
        self._cells, self._whole = bytearray(), bytearray()
        self._last = _no_change()
        self._noise: deque[float] = deque(maxlen=_NOISE_WINDOW)
        self._change: deque[float] = deque(maxlen=_CUT_WINDOW)

    def push(self, frame: Tensor | Array, time_s: float) -> None:
        """Take the next frame, (H, W) luma or (3, H, W) RGB, uint8 or float 0..1; `time_s` is when its display starts.

        Raises ValueError for another shape, or a time that does not come after the last one.
        """
        luma = self._luma(np.asarray(frame))
        if self._times and time_s <= self._times[-1]:
            raise ValueError(f"a frame at {time_s} s follows one at {self._times[-1]} s; push them in order of display")
        levels = pyramid(luma)
        if self._previous:
            cells, whole = self._compare(self._previous, levels, time_s - self._times[-1])
            self._cells += cells.tobytes()
            self._whole += whole.tobytes()
            self._last = cells, whole
        else:
            self._median = luma.copy()
        self._previous = levels
        self._times.append(float(time_s))

    def finish(self, duration_s: float | None = None) -> CellFeatures:
        """The features of all frames pushed so far, of `duration_s` (None: the last frame is shown as long as most)."""
        times = np.array(self._times, np.float64)
        if duration_s is None:
            duration_s = float(times[-1] + np.median(np.diff(times))) if len(times) > 1 else 0.0
        count = round(duration_s * FEATURE_RATE)
        if not self._cells or not count:
            return CellFeatures(torch.zeros(count, CELL_CHANNELS, CELLS * CELLS, dtype=torch.float16),
                                torch.zeros(count, GLOBAL_CHANNELS))
        cells = np.frombuffer(self._cells, np.float16).reshape(-1, CELL_CHANNELS, CELLS * CELLS)
        whole = np.frombuffer(self._whole, np.float32).reshape(-1, GLOBAL_CHANNELS)
        keep, start = joined_repeats(torch.from_numpy(cells[:, 0].astype(np.float32).sum(1)),
                                     torch.from_numpy(times[:-1]), torch.from_numpy(times[1:]))
        kept, begin, end = keep.numpy(), start.numpy(), times[1:]
        # a change over several frames was measured for one
        rate = ((times[1:] - times[:-1]) / np.maximum(end - begin, 1e-6))[kept].astype(np.float32)
        whole = whole[kept] * rate[:, None]
        if not kept.all():
            cells = cells[kept]
            cells[:, :5] *= rate[:, None, None].astype(np.float16)
        middle = ((begin + end) / 2)[kept]
        grid = np.arange(count) / FEATURE_RATE
        return CellFeatures(torch.from_numpy(_interpolated(cells, middle, grid)),
                            torch.from_numpy(_interpolated(whole, middle, grid)))

    def _luma(self, frame: Array) -> Array:
        """(SIDE, SIDE) float32 in 0..1; the picture is squashed to a square."""
        if frame.ndim not in (2, 3) or (frame.ndim == 3 and frame.shape[0] != 3):
            raise ValueError(f"frame has shape {frame.shape}; give (H, W) luma or (3, H, W) RGB")
        if self._size is None:
            self._size = frame.shape[-2:]
            self._shrink = _area(frame.shape[-2]), _area(frame.shape[-1])
        elif frame.shape[-2:] != self._size:
            raise ValueError(f"frame of {frame.shape[-2:]} follows one of {self._size}; scale all frames to one size")
        scale = np.float32(1 / 255) if frame.dtype == np.uint8 else np.float32(1)
        luma = frame.astype(np.float32)
        if frame.ndim == 3:
            luma = np.tensordot(_LUMA, luma, axes=1)
        luma *= scale
        if self._size != (SIDE, SIDE) and self._shrink is not None:
            luma = self._shrink[0] @ luma @ self._shrink[1].T
        return _blurred(_blurred(luma).T).T

    def _compare(self, before: list[Array], after: list[Array], gap_s: float) -> tuple[Array, Array]:
        """The statistics of one pair: (CELL_CHANNELS, 144) float16 and (GLOBAL_CHANNELS,) float32."""
        first, second = before[0], after[0]
        change = second - first
        brightness = _median(change[::3, ::3])
        change -= np.float32(brightness)
        size = np.abs(change)
        if not size.any():
            return _no_change()
        if self._is_cut(cell_means(_above(size, 2.5 * self._sigma()))):
            self._median = second.copy()
            return self._last
        dx, dy, flow = camera_motion(before, after)
        left, slack = _compensated(first, second - np.float32(brightness), dx, dy)
        noise = _median(np.abs(left[::3, ::3]))
        self._noise.append(noise)
        sigma = self._sigma()
        left = np.sign(left) * _above(np.abs(left), 2.5 * max(sigma, _SIGMA * noise) + slack)
        self._median += np.clip(second - self._median, -_MEDIAN_STEP * gap_s, _MEDIAN_STEP * gap_s)
        away = _above(np.abs(second - self._median), 3 * sigma)
        rate = np.float32(_REFERENCE_S / max(gap_s, 1 / 120))
        changed, moved, signed, apart = cell_means(np.stack([_above(size, 2.5 * sigma), np.abs(left), left, away]))
        flow -= np.array([dx, dy], np.float32)[:, None, None]
        flow *= np.minimum(moved / np.float32(0.01), 1)  # the flow of still objects is noise
        cells = np.stack([changed * rate, moved * rate, signed * rate, flow[0] * rate, flow[1] * rate, apart])
        whole = np.array([dx, dy, brightness * 25], np.float32) * rate
        return cells.reshape(CELL_CHANNELS, -1).astype(np.float16), whole

    def _sigma(self) -> float:
        """The typical noise of a pixel's change."""
        return (_SIGMA * _median(np.array(self._noise)) if self._noise else 0.0) + _LEAST_SIGMA

    def _is_cut(self, changed: Array) -> bool:
        """Whether nearly every cell changed by far more than usual."""
        total = float(changed.mean())
        usual = _median(np.array(self._change)) if self._change else 0.0
        cut = total > 8 * usual + 0.02 and float((changed > 0.01).mean()) >= 0.9
        if not cut:
            self._change.append(total)
        return cut


def _blurred(picture: Array) -> Array:
    """Rows mixed with their neighbours, 1 2 1: film grain varies from pixel to pixel, motion does not."""
    out = picture * np.float32(0.5)
    out[1:] += np.float32(0.25) * picture[:-1]
    out[:-1] += np.float32(0.25) * picture[1:]
    out[0] += np.float32(0.25) * picture[0]
    out[-1] += np.float32(0.25) * picture[-1]
    return out


def _no_change() -> tuple[Array, Array]:
    return np.zeros((CELL_CHANNELS, CELLS * CELLS), np.float16), np.zeros(GLOBAL_CHANNELS, np.float32)


def _compensated(first: Array, second: Array, dx: float, dy: float) -> tuple[Array, Array | float]:
    """The change that the camera's motion does not explain, (SIDE, SIDE), and the part that the uncertainty of its
    motion may cause."""
    moves = float(np.hypot(dx, dy))
    if moves < 0.02:
        return second - first, 0.0
    seen = shifted(first, dx, dy)
    left = second - seen
    slope = np.zeros_like(seen)
    slope[:, 1:-1] = np.abs(seen[:, 2:] - seen[:, :-2])
    slope[1:-1] += np.abs(seen[2:] - seen[:-2])
    for strip, amount in ((left.T, dx), (left, dy)):  # areas uncovered by the camera are unknown
        reach = int(np.ceil(abs(amount)))
        strip[:reach if amount > 0 else 0] = 0
        strip[len(strip) - (reach if amount < 0 else 0):] = 0
    return left, np.float32(_EDGE_ERROR * min(moves, 1)) * slope


def _median(values: Array) -> float:
    """The upper median; numpy.median has more overhead."""
    flat = values.ravel()
    return float(np.partition(flat, flat.size // 2)[flat.size // 2])


def _above(values: Array, floor: Array | float) -> Array:
    return np.maximum(values - np.asarray(floor, np.float32), 0)


def _area(length: int) -> Array:
    """(SIDE, length): area averages of `length` pixels."""
    edges = np.arange(SIDE + 1) * (length / SIDE)
    pixels = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    overlap = np.clip(overlap, 0, None)
    return (overlap / overlap.sum(1, keepdims=True)).astype(np.float32)


def _interpolated(values: Array, times: Array, grid: Array) -> Array:
    """Linear interpolation of values (P, ...) at `times` (P,) to `grid` (T,), held beyond the ends: (T, ...)."""
    out = np.empty((len(grid), *values.shape[1:]), values.dtype)
    position = np.interp(grid, times, np.arange(len(times)))
    for first in range(0, len(grid), _BLOCK):  # in blocks: in float32 a long clip would need much memory
        block = slice(first, first + _BLOCK)
        left = np.minimum(position[block].astype(np.int64), len(times) - 1)
        right = np.minimum(left + 1, len(times) - 1)
        part = (position[block] - left).astype(np.float32).reshape(-1, *[1] * (values.ndim - 1))
        low = values[left].astype(np.float32)
        out[block] = low + part * (values[right].astype(np.float32) - low)
    return out
