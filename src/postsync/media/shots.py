"""Where a film cuts from one shot to the next, from its luma frames. Dissolves and wipes are not found."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from .video import Frame

_CELLS = 12  # a side; means of cells change little while things move, and much at a cut
_LEAST = 0.05  # mean change of the cells, luma 0..1, below which nothing is a cut
_RATIO = 5.0  # a cut changes the cells this many times as much as frames around it do
_AROUND = 8  # frames on either side that tell how much the picture changes anyway
_ALONE = 2.0  # and this many times as much as the two frames before and after it: what passes by takes longer
_SHARE = 0.5  # of the cells, at least, that a cut changes
SHORTEST_S = 0.4  # a shot; what looks as before again within it was only lit up, or hidden for a moment


class CutFinder:
    """Takes a clip's frames in order, keeping 144 numbers of each; `cuts` names the times of its cuts."""

    def __init__(self) -> None:
        self._cells: list[np.ndarray] = []
        self._times: list[float] = []

    def push(self, frame: Frame) -> None:
        """Take the next frame, its image (H, W) uint8 luma, each side a multiple of 12."""
        height, width = frame.image.shape
        cells = frame.image.reshape(_CELLS, height // _CELLS, _CELLS, width // _CELLS).mean((1, 3), dtype=np.float32)
        self._cells.append(cells.ravel() / 255)
        self._times.append(frame.time_s)

    def cuts(self) -> tuple[float, ...]:
        """Ascending seconds at which a new shot starts; shots shorter than `SHORTEST_S` go with the one before."""
        if len(self._cells) < 2:
            return ()
        cells = np.stack(self._cells)
        change = np.abs(np.diff(cells, axis=0))  # (frames - 1, cells)
        mean, share = change.mean(1), (change > _LEAST / 2).mean(1)
        found: list[float] = []
        for k in np.flatnonzero((mean > _LEAST) & (share > _SHARE)):
            around = np.concatenate([mean[max(0, k - _AROUND):k], mean[k + 1:k + 1 + _AROUND]])
            near = np.concatenate([mean[max(0, k - 2):k], mean[k + 1:k + 3]])
            usual, beside = (float(np.median(around)), float(near.max())) if len(around) else (0.0, 0.0)
            if mean[k] < max(_RATIO * usual, _ALONE * beside) or self._comes_back(cells, int(k), float(mean[k])):
                continue
            time_s = self._times[k + 1]
            if time_s - (found[-1] if found else self._times[0]) >= SHORTEST_S:
                found.append(time_s)
        return tuple(found)

    def _comes_back(self, cells: np.ndarray, k: int, change: float) -> bool:
        """Whether the picture before frame k + 1 is seen again soon, or that of frame k + 1 was seen just before."""
        times = np.asarray(self._times)
        after = cells[(times > times[k + 1]) & (times <= times[k + 1] + SHORTEST_S)]
        before = cells[(times < times[k]) & (times >= times[k] - SHORTEST_S)]
        return any(bool((np.abs(group - one).mean(1) < change / 2).any()) for group, one in
                   ((after, cells[k]), (before, cells[k + 1])) if len(group))


def shots_between(cuts: tuple[float, ...], start_s: float, end_s: float) -> list[tuple[float, float]]:
    """The shots, (start, end) in seconds, of a part of a clip."""
    edges = [start_s, *(cut for cut in cuts if start_s < cut < end_s), end_s]
    return list(pairwise(edges))
