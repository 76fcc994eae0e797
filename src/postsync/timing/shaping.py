"""From the outputs of the network and the plain cues to an audible envelope, and to onsets.

The network's log loudness has no scale of its own: it is summed with the plain cues, clipped (deep silences are
unreliable) and mapped to decibels; the network's rise is added with a short ring. Recipe: envelope_training_notes.md
section 2, points 4 to 6. Half of the envelope is the network's linear amplitude, which knows the peaks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..features.envelope import ENVELOPE_RATE, Envelope
from .motion_features import FEATURE_RATE
from .timing import POSSIBLE, Timing


@dataclass(frozen=True)
class ShapingConfig:
    """Settings of the conversion to an envelope."""

    cue_weight: float = 0.2  # weight of each plain cue, relative to the network
    cue_ring_s: float = 0.1  # of the speed and the brightening cue
    rise_weight: float = 0.5
    rise_ring_s: float = 0.05
    low: float = -0.5  # the curve is clipped here, in standard deviations ...
    high: float = 2.0
    step_db: float = 11.0  # decibels a standard deviation
    amplitude_weight: float = 0.5  # of the network's amplitude in the envelope
    peak: float = 0.5  # loudness where the curve is highest
    least_presence: float = 0.15  # a clip in which nothing sounds with more than this probability is silent
    onset_threshold: float = 0.65  # smallest probability of an onset that stands alone
    series_threshold: float = 0.45  # of one among others: likely hits support each other ...
    series: int = 4  # where there are this many, itself included ...
    series_reach_s: float = 4.0  # within this time
    min_distance_s: float = 0.08  # between two onsets


def silence(duration_s: float) -> Timing:
    """Nothing sounds."""
    return Timing(Envelope(torch.zeros(round(duration_s * ENVELOPE_RATE))), torch.zeros(0, dtype=torch.float64))


def shape(answer: Tensor, cues: Tensor, duration_s: float, config: ShapingConfig) -> Timing:
    """answer (5, T) as the network's OUTPUTS; cues (3, T): energy, speed, brightening."""
    loudness, rise, amplitude, onset, sounding = answer
    if float(sounding.sigmoid().max()) < config.least_presence:
        return silence(duration_s)
    curve = combined(loudness, rise, cues, config)
    level = 10 ** (config.step_db * (curve.clamp(config.low, config.high) - config.high) / 20)
    level = level + config.amplitude_weight * (relative(amplitude) - level)
    times = np.arange(round(duration_s * ENVELOPE_RATE)) / ENVELOPE_RATE
    grid = np.arange(len(level)) / FEATURE_RATE
    envelope = torch.from_numpy(np.interp(times, grid, config.peak * level.double().numpy())).float()
    probability = onset.sigmoid()
    hits, _ = likely_hits(probability, config)
    every = replace(config, onset_threshold=POSSIBLE, series_threshold=POSSIBLE)
    possible = torch.stack(likely_hits(probability, every), dim=1)
    return Timing(Envelope(envelope), hits[hits < duration_s], possible[possible[:, 0] < duration_s])


def combined(loudness: Tensor, rise: Tensor, cues: Tensor, config: ShapingConfig) -> Tensor:
    """One curve (T,) in standard deviations."""
    energy, speed, brightening = cues
    curve = standard(loudness)
    for cue in (energy, ringing(speed, config.cue_ring_s), ringing(brightening, config.cue_ring_s)):
        curve = curve + config.cue_weight * standard((cue + 0.01).log())
    curve = standard(curve)
    hits = ringing(standard(rise).clamp_min(0), config.rise_ring_s)
    return standard(curve + config.rise_weight * standard((hits + 0.1).log()).clamp(-1, 2))


def relative(amplitude: Tensor) -> Tensor:
    """An amplitude (T,) of any scale -> 0 at its median, 1 at its 99th percentile, within 0..1."""
    low, high = amplitude.median(), amplitude.quantile(0.99)
    return ((amplitude - low) / (high - low).clamp_min(1e-4)).clamp(0, 1)


def standard(values: Tensor) -> Tensor:
    """Zero mean and unit deviation over time, (..., T)."""
    return (values - values.mean(-1, keepdim=True)) / values.std(-1, keepdim=True).clamp_min(1e-4)


def ringing(values: Tensor, decay_s: float) -> Tensor:
    """The maximum of the current value and the decaying earlier ones: (T,) -> (T,)."""
    decay = float(np.exp(-1 / (decay_s * FEATURE_RATE)))
    out, last = values.numpy().copy(), 0.0
    for index, value in enumerate(out.tolist()):
        last = max(value, last * decay)
        out[index] = last
    return torch.from_numpy(out)


def likely_hits(probability: Tensor, config: ShapingConfig) -> tuple[Tensor, Tensor]:
    """Times (K,) float64 and probabilities (K,) of the peaks, refined between the values by a parabola.

    On film the network is less confident than on scenes, but hits come in series; false ones are isolated.
    """
    p = np.pad(probability.double().numpy(), 1)
    least = min(config.onset_threshold, config.series_threshold)
    local = np.flatnonzero((p[1:-1] >= least) & (p[1:-1] > p[:-2]) & (p[1:-1] >= p[2:]))
    likely: list[int] = []
    for index in local[np.argsort(-p[local + 1], kind="stable")].tolist():
        if all(abs(index - other) >= config.min_distance_s * FEATURE_RATE for other in likely):
            likely.append(index)
    places = np.array(sorted(likely), np.int64)
    reach = config.series_reach_s * FEATURE_RATE
    near = np.searchsorted(places, places + reach, side="right") - np.searchsorted(places, places - reach)
    kept = places[(p[places + 1] >= config.onset_threshold) | (near >= config.series)].tolist()
    times = []
    for index in kept:
        before, here, after = p[index : index + 3]
        bend = before - 2 * here + after
        times.append(max(0.0, (index + (0.5 * (before - after) / bend if bend < 0 else 0.0)) / FEATURE_RATE))
    return torch.tensor(times, dtype=torch.float64), probability[kept].float()
