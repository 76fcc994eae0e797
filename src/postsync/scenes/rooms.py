"""Rooms and background noise."""

from __future__ import annotations

import numpy as np

from . import signals

Rng = np.random.Generator


def room_response(rng: Rng, sample_rate: int, wetness: float = 1.0) -> np.ndarray:
    """Impulse response (L,): the direct sound at sample 0, a few reflections, a decaying tail of noise.

    RT60 0.1 to 0.8 s; the reverberant part is 22 to 6 dB below the direct one (in energy), scaled by `wetness` 0..1.
    """
    rt60, level_db = rng.uniform(0.1, 0.8), rng.uniform(-22, -6)
    bright, gap, reflections = rng.uniform(2500, 6000), rng.uniform(0.004, 0.02), rng.uniform(0.3, 1.0, 4)
    delays = gap * (1 + rng.uniform(0, 3, 4))
    n = int(0.9 * rt60 * sample_rate) + 1
    tail = signals.band_noise(rng, n, sample_rate, 120, bright) * signals.decay(n, sample_rate, rt60)
    tail[:int(gap * sample_rate)] = 0
    tail /= np.sqrt(np.sum(tail**2) + 1e-12)
    for delay, height in zip(delays, reflections, strict=True):
        tail[min(int(delay * sample_rate), n - 1)] += 0.4 * height
    response = wetness * 10 ** (level_db / 20) * tail
    response[0] += 1.0
    return response


def background(rng: Rng, n: int, sample_rate: int) -> np.ndarray:
    """Room tone (n,) of unit RMS: noise that falls towards high frequencies, at times with mains hum."""
    tilt, low, hum = rng.uniform(2, 6), rng.uniform(40, 150), rng.random() < 0.3
    mains, depth = rng.choice([50.0, 60.0]), rng.uniform(0.2, 0.7)
    tone = signals.band_noise(rng, n, sample_rate, low, 7000, tilt)
    if hum:
        time = np.arange(n) / sample_rate
        tone = tone + depth * (np.sin(2 * np.pi * mains * time) + 0.6 * np.sin(4 * np.pi * mains * time + 1.0))
    return tone / max(float(np.sqrt(np.mean(tone**2))), 1e-9)
