"""Any length from a model of fixed length: overlapping windows over one global latent (MultiDiffusion, Bar-Tal 2023).

The noise is drawn once per position of the global latent. At every step the model's outputs, not the states, of all
windows that cover a position are averaged with tapered weights, so neighbours agree while they are denoised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor


@dataclass(frozen=True)
class Window:
    """Frames start <= frame < stop of the global latent."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """Number of frames."""
        return self.stop - self.start


def plan_windows(length: int, window: int, overlap: int) -> tuple[Window, ...]:
    """Windows of `window` frames that cover `length` frames, evenly placed, each pair sharing `overlap` or more.

    A length up to one window gives a single window of that length. Raises ValueError unless 0 <= overlap < window.
    """
    if not 0 <= overlap < window:
        raise ValueError(f"an overlap of {overlap} frames does not fit windows of {window}; use 0 to {window - 1}")
    if length <= window:
        return (Window(0, length),)
    count = ceil((length - overlap) / (window - overlap))
    starts = [round(i * (length - window) / (count - 1)) for i in range(count)]
    return tuple(Window(s, s + window) for s in starts)


def taper(length: int, overlap: int, device: torch.device | None = None) -> Tensor:
    """(length,) weights: 1 inside, falling linearly over `overlap` frames at both ends, never 0."""
    position = torch.arange(1, length + 1, device=device, dtype=torch.float32)
    edge = torch.minimum(position, position.flip(0))
    return (edge / (overlap + 1)).clamp(max=1.0)


class TaperedMean:
    """The tapered mean of what windows give, shapes as `like` (..., T)."""

    def __init__(self, like: Tensor, overlap: int) -> None:
        self.overlap = overlap
        self._total = torch.zeros_like(like)
        self._weight = torch.zeros(like.shape[-1], device=like.device, dtype=like.dtype)

    def add(self, window: Window, part: Tensor) -> None:
        """What a window gives, (..., its length)."""
        weights = taper(window.length, self.overlap, part.device).to(self._total.dtype)
        self._total[..., window.start:window.stop] += part * weights
        self._weight[window.start:window.stop] += weights

    @property
    def result(self) -> Tensor:
        """The mean, once windows have covered everything."""
        return self._total / self._weight


def average_windows(model: Callable[[Tensor, Window], Tensor], x: Tensor, windows: Sequence[Window],
                    overlap: int) -> Tensor:
    """Tapered mean of `model(x[..., start:stop], window)` over all windows; shapes as x (..., T).

    One window at a time, so that memory does not grow with the length.
    """
    if len(windows) == 1:
        return model(x, windows[0])
    mean = TaperedMean(x, overlap)
    for window in windows:
        mean.add(window, model(x[..., window.start:window.stop], window))
    return mean.result
