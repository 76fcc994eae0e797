"""MotionEnvelope: loudness and hits read from the motion in a picture, without weights.

Striking objects stop suddenly: the drop of motion energy marks the hit (its rise does not), and each hit gets a ringing
tail. Rubbing, shaking and flowing sound while they move: smoothed energy is the second part of the envelope.
Recipe of envelope_from_video.md section 5; frames are read once, 64 numbers a frame are kept.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..features.envelope import ENVELOPE_RATE, Envelope
from .timing import Timing

_REFERENCE_FPS = 30.0  # energies are luma change (0..1) per 1/30 s, whatever the frame rate
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class MotionConfig:
    """Settings of MotionEnvelope. Energies are luma change (0..1) per 1/30 s."""

    width: int = 96  # wider pictures are shrunk to this
    grid: int = 8  # the picture is divided into grid x grid cells
    top_share: float = 0.1  # share of the cells that count: those that move most, so that small objects count
    pixel_floor: float = 2 / 255  # smaller changes of a pixel are noise ...
    noise_factor: float = 3.0  # ... as are changes below this multiple of the frame's median change
    energy_floor: float = 0.0015  # energy that counts as zero
    least_scale: float = 0.01  # energy below this is never amplified to full loudness
    percentile: float = 0.98  # energy and drops are divided by this quantile of themselves
    cut_ratio: float = 8.0  # a cut: this many times the running median, ...
    cut_share: float = 0.5  # ... in at least this share of the cells
    impact_threshold: float = 0.35  # smallest drop (relative) that is a hit
    impact_power: float = 2.0  # loudness of a hit = drop to this power (energy goes with the square of speed)
    min_distance_s: float = 0.12  # between two hits
    ring_s: float = 0.08  # decay time of a hit
    attack_s: float = 0.005
    smooth_s: float = 0.1  # of the continuous part
    impact_weight: float = 0.9  # the continuous part has the rest
    peak: float = 0.5  # loudness of the loudest hit
    shift_s: float = 0.0  # added to all times


class MotionEnvelope:
    """Reads frames one by one: `push(frame, time_s)` for each, then `finish(duration_s)`."""

    def __init__(self, config: MotionConfig | None = None) -> None:
        self.config = config or MotionConfig()
        self._previous: Tensor | None = None
        self._times: list[float] = []
        # grid * grid numbers for each pair of neighbouring frames, in one growing buffer: small tensors kept
        # between large temporary ones would fragment the memory, 36 KB for each frame
        self._cells = array("f")

    def push(self, frame: Tensor | np.ndarray, time_s: float) -> None:
        """Take the next frame, (H, W) luma or (3, H, W) RGB, uint8 or float 0..1; `time_s` is when its display starts.

        Raises ValueError for another shape, or a time that does not come after the last one.
        """
        luma = self._luma(torch.as_tensor(frame))
        if self._times and time_s <= self._times[-1]:
            raise ValueError(f"a frame at {time_s} s follows one at {self._times[-1]} s; push them in order of display")
        if self._previous is not None:
            if luma.shape != self._previous.shape:
                raise ValueError(f"frame of {tuple(luma.shape)} follows one of {tuple(self._previous.shape)}; "
                                 "scale all frames to one size")
            self._cells.extend(self._difference(luma - self._previous).tolist())
        self._previous = luma
        self._times.append(float(time_s))

    def finish(self, duration_s: float | None = None) -> Timing:
        """The envelope of all frames pushed so far, of `duration_s` (None: the last frame is shown as long as most)."""
        times = torch.tensor(self._times, dtype=torch.float64)
        if duration_s is None:
            duration_s = float(times[-1] + times.diff().median()) if len(times) > 1 else 0.0
        num_values = round(duration_s * ENVELOPE_RATE)
        if not self._cells:
            return _coarse(torch.zeros(num_values), torch.zeros(0, dtype=torch.float64))
        cells = torch.tensor(self._cells, dtype=torch.float64).reshape(len(times) - 1, -1)
        cells, start, end = merge_repeats(cells, times[:-1], times[1:])
        cells = cells / ((end - start).clamp_min(1 / 120) * _REFERENCE_FPS)[:, None]
        energy = self._energy(suppress_cuts(cells, self.config))
        onsets, strengths = self._impacts(energy, end)
        middle = (start + end) / 2
        envelope = self._envelope(energy, middle + self.config.shift_s, onsets, strengths, num_values)
        inside = (onsets >= 0) & (onsets < duration_s)
        return _coarse(envelope, onsets[inside])

    def _luma(self, frame: Tensor) -> Tensor:
        if frame.dim() == 3 and frame.shape[0] == 3:
            frame = torch.einsum("chw,c->hw", frame.float(), torch.tensor(_LUMA, device=frame.device)).div(
                1 if frame.is_floating_point() else 255)
        elif frame.dim() == 2:
            frame = frame if frame.is_floating_point() else frame.float() / 255
        else:
            raise ValueError(f"frame has shape {tuple(frame.shape)}; give (H, W) luma or (3, H, W) RGB")
        height, width = frame.shape
        if width > self.config.width:
            size = (max(self.config.grid, round(height * self.config.width / width)), self.config.width)
            frame = F.interpolate(frame[None, None], size=size, mode="area")[0, 0]
        return frame.float().cpu()

    def _difference(self, change: Tensor) -> Tensor:
        """Energy of each cell of one pair of frames, (grid * grid,), noise and a common change of exposure removed."""
        change = (change - change.median()).abs()
        floor = max(self.config.pixel_floor, self.config.noise_factor * float(change.median()))
        return F.adaptive_avg_pool2d((change - floor).clamp_min(0)[None], self.config.grid).flatten()

    def _energy(self, cells: Tensor) -> Tensor:
        count = max(1, round(self.config.top_share * cells.shape[1]))
        return (cells.topk(count, dim=1).values.mean(1) - self.config.energy_floor).clamp_min(0)

    def _scaled(self, values: Tensor) -> Tensor:
        scale = values.quantile(self.config.percentile).clamp_min(self.config.least_scale)
        return (values / scale).clamp(0, 1)

    def _impacts(self, energy: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
        """Times and strengths of hits. A stop between frames splits its drop over both: its time is their centroid."""
        if len(energy) < 2:
            return energy[:0], energy[:0]
        drop = self._scaled((energy[:-1] - energy[1:]).clamp_min(0))
        times = end[:-1]
        kept: list[int] = []
        for index in drop.argsort(descending=True, stable=True).tolist():
            if drop[index] < self.config.impact_threshold:
                break
            if all(abs(times[index] - times[other]) >= self.config.min_distance_s for other in kept):
                kept.append(index)
        centroid = [_centroid(drop, times, index) for index in sorted(kept)]
        onsets = torch.tensor(centroid, dtype=torch.float64) + self.config.shift_s
        return onsets, drop[sorted(kept)]

    def _envelope(self, energy: Tensor, middle: Tensor, onsets: Tensor, strengths: Tensor, num_values: int) -> Tensor:
        config = self.config
        grid = torch.arange(num_values, dtype=torch.float64) / ENVELOPE_RATE
        ring = torch.zeros(num_values, dtype=torch.float64)
        for onset, strength in zip(onsets.tolist(), strengths.tolist()):
            since = grid - onset
            attack, decay = (since / config.attack_s + 1).clamp(0, 1), torch.exp(-since.clamp_min(0) / config.ring_s)
            ring = torch.maximum(ring, strength**config.impact_power * torch.minimum(attack, decay))
        steady = torch.from_numpy(np.interp(grid.numpy(), middle.numpy(), energy.numpy()))
        steady = self._scaled(_hann_smooth(steady, round(config.smooth_s * ENVELOPE_RATE))) if num_values else steady
        return (config.peak * (config.impact_weight * ring + (1 - config.impact_weight) * steady)).float()


def open_reader(folder: Path | None) -> MotionEnvelope:
    """A reader; it has no weights, so `folder` is not used."""
    return MotionEnvelope()


def _coarse(values: Tensor, onsets_s: Tensor) -> Timing:
    """Motion is a rough estimate, which may be followed loosely."""
    return Timing(Envelope(values, estimated=True), onsets_s)


def merge_repeats(cells: Tensor, start: Tensor, end: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Undo pictures shown more than once (12 fps film in a 30 fps file), which look like stops.

    cells (P, C), start and end (P,) seconds -> the same with fewer pairs.
    """
    keep, joined = joined_repeats(cells.sum(1), start, end)
    return cells[keep], joined[keep], end[keep]


def joined_repeats(change: Tensor, start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Which pairs of frames to keep, (P,) bool, and when each begins, (P,) seconds.

    `change` (P,) is 0 for identical frames. A pair of them between two that differ is joined to the pair after it, if
    the clip is full of them.
    """
    moving = change > 0
    joined, pending, repeats = start.clone(), 0, 0
    for index, moves in enumerate(moving.tolist()):
        if not moves:
            pending += 1
        else:
            if 0 < pending <= 3 and index > pending:
                joined[index] = start[index - pending]
                repeats += 1
            pending = 0
    covered = torch.zeros(len(change), dtype=torch.bool)
    if repeats < 0.2 * int(moving.sum()):
        return ~covered, start
    for index in torch.nonzero(joined < start).flatten().tolist():
        covered |= (start >= joined[index]) & (end <= start[index])
    return ~covered, joined


def suppress_cuts(cells: Tensor, config: MotionConfig) -> Tensor:
    """Give each pair across a cut the energies of the pair before it; cells (P, C) -> (P, C)."""
    total = cells.mean(1)
    half = 15
    padded = F.pad(total[None], (half, half), mode="replicate")[0] if len(total) > 1 else total.repeat(2 * half + 1)
    usual = padded.unfold(0, 2 * half + 1, 1).median(-1).values
    spread = (cells > 0.02).double().mean(1)
    cut = (total > config.cut_ratio * usual + 0.02) & (spread >= config.cut_share)
    cells = cells.clone()
    for index in torch.nonzero(cut).flatten().tolist():
        cells[index] = cells[index - 1] if index else 0
    return cells


def _centroid(drop: Tensor, times: Tensor, index: int) -> float:
    near = slice(max(0, index - 1), index + 2)
    return float((drop[near] * times[near]).sum() / drop[near].sum())


def _hann_smooth(values: Tensor, length: int) -> Tensor:
    if length < 2:
        return values
    kernel = torch.hann_window(length + 2, periodic=False, dtype=values.dtype)[1:-1]
    padding = (length // 2, length - 1 - length // 2)
    return F.conv1d(F.pad(values[None, None], padding), (kernel / kernel.sum())[None, None])[0, 0]
