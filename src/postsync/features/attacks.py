"""Hits that sound at once: the swell before a known onset is taken away, and the rise after it made up.

A diffusion model over 40 ms latents smears an attack over tens of milliseconds, where a real hit takes about five.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

LEVEL_RATE = 1000  # of loudness and gain, a second
WINDOW = 4  # values of WINDOW / LEVEL_RATE seconds, of the loudness
REACH = 60  # how far before an onset a swell may begin, and how long after it the peak may come
APART = 20  # from the onset before, whose own attack is left alone
LATEST = 30  # how much of a slow rise is cut out
RISEN = 0.5  # of the peak: what is quieter is cut out of the rise
TAIL = 250  # after an onset at the latest, sound that was moved forward meets what was not ...
FADE = 10  # ... over this time
BOOST = 4.0  # of what is left of the rise, at most; 12 dB


def sharpen_attacks(waveform: Tensor, hits_s: Tensor, sample_rate: int) -> Tensor:
    """Waveform (B, C, N) whose rise at each of `hits_s` (K,) ascending seconds begins there and is over at once.

    In the 60 ms before a hit nothing is louder than at their beginning. A slow rise is cut out, up to 30 ms
    of it, and the sound after it moved forward; what is left is raised to the peak, by 12 dB at most.
    """
    step = sample_rate // LEVEL_RATE
    places = [round(time * LEVEL_RATE) for time in hits_s.tolist()]
    moved = waveform.clone()
    level = _level(waveform, step)
    spans = list(_spans(places, level.shape[-1]))
    for place, _, stop, after in spans:
        rises = level[:, place:stop]
        late = (rises >= RISEN * rises.amax(1, keepdim=True)).int().argmax(1).clamp_max(LATEST)
        for sound, whole, values in zip(moved, waveform, late.tolist(), strict=True):
            _move_forward(sound, whole, place * step, values * step, min(place + TAIL, after - REACH) * step,
                          FADE * step)
    level, gain = _level(moved, step), torch.ones_like(level)
    for place, start, stop, _ in spans:
        rise = level[:, place:stop]
        peak = rise.amax(1, keepdim=True)
        climbing = torch.arange(stop - place, device=level.device) < rise.argmax(1, keepdim=True)
        gain[:, place:stop] = torch.where(climbing, (peak / rise.clamp_min(1e-5)).clamp(1.0, BOOST), 1.0)
        if start < place:
            calm = level[:, start:start + max((place - start) // 3, 1)].mean(1, keepdim=True)
            gain[:, start:place] = (calm / level[:, start:place].clamp_min(1e-5)).clamp_max(1.0)
    return moved * _at_samples(gain, waveform.shape[-1], step)[:, None]


def _spans(places: Sequence[int], last: int) -> Iterator[tuple[int, int, int, int]]:
    """Of each hit that has room: its place, where a swell may begin, where its peak must have come, the next hit."""
    for before, place, after in zip([None, *places], places, [*places[1:], last + REACH]):
        start = max(place - REACH, 0 if before is None else before + APART)
        stop = min(place + REACH, after - APART, last)
        if stop > place:
            yield place, min(start, place), stop, after


def _move_forward(sound: Tensor, whole: Tensor, first: int, late: int, end: int, fade: int) -> None:
    """Put what `whole` (C, N) has from `late` samples after `first` on at `first` of `sound`, up to `end`, where it
    fades into what lies there."""
    end = min(end, whole.shape[-1] - late)
    if late == 0 or end - first < 2 * fade:
        return
    share = torch.ones(end - first, device=sound.device)
    share[-fade:] = torch.linspace(1, 0, fade, device=sound.device)
    sound[:, first:end] = torch.lerp(whole[:, first:end], whole[:, first + late:end + late], share)


def _level(waveform: Tensor, step: int) -> Tensor:
    """RMS of all channels over 4 ms, every millisecond: (B, C, N) -> (B, M)."""
    power = waveform.square().mean(1)
    half = WINDOW * step // 2
    padded = functional.pad(power, (half, half + -power.shape[-1] % step))
    return functional.avg_pool1d(padded[:, None], 2 * half, stride=step)[:, 0].clamp_min(0).sqrt()


def _at_samples(gain: Tensor, length: int, step: int) -> Tensor:
    """The gain (B, M), each value at the start of its millisecond, at every sample (B, length)."""
    position = torch.arange(length, device=gain.device) / step
    left = position.long().clamp_max(gain.shape[-1] - 1)
    right = (left + 1).clamp_max(gain.shape[-1] - 1)
    return torch.lerp(gain[:, left], gain[:, right], (position - left).to(gain))
