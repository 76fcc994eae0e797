"""Continuous sounds whose loudness and rate follow an activity.

Each function takes (activity (M,) 0..1 at 100 Hz, rng, sample_rate, n) and returns the waveform (n,). Loudness grows
with the activity about linearly, the rate of drops, crackles, bubbles, strokes and words with it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import signals

Rng = np.random.Generator


def _at(activity: np.ndarray, times: np.ndarray) -> np.ndarray:
    return np.interp(times, np.arange(len(activity)) / 100, activity)


def _grains(activity: np.ndarray, rate: float, grains: np.ndarray, power: float, rng: Rng, sample_rate: int,
            n: int) -> np.ndarray:
    """Grains at `rate` per second at full activity; `power`: the higher, the rarer the loud ones."""
    times = signals.poisson_times(rng, rate * signals.flurry(activity))
    gains = rng.random(len(times)) ** power * _at(activity, times) ** 0.5 * rng.choice([-1.0, 1.0], len(times))
    return signals.scatter(n, times, gains, grains, rng.integers(0, len(grains), len(times)), sample_rate)


def rain(activity: np.ndarray, rng: Rng, sample_rate: int, n: int) -> np.ndarray:
    """A steady bright hiss of far drops, and near ones one by one."""
    far = signals.band_noise(rng, n, sample_rate, rng.uniform(1200, 2000), 9000)
    far *= signals.stretch(activity, n, sample_rate)
    drops = signals.clicks(rng, 24, sample_rate, 2500, 7000, (0.003, 0.008))
    return 0.25 * far + 0.9 * _grains(activity, 150, drops, 3, rng, sample_rate, n)


def wind(activity: np.ndarray, rng: Rng, sample_rate: int, n: int) -> np.ndarray:
    """A low rush and two howling bands that swell at their own times."""
    gust = signals.stretch(activity, n, sample_rate)
    pitch = rng.uniform(330, 480)
    rush = signals.band_noise(rng, n, sample_rate, 80, 320, tilt=3)
    low = signals.band_noise(rng, n, sample_rate, 0.92 * pitch, 1.08 * pitch, peaks=((pitch, 30, 12),))
    high = signals.band_noise(rng, n, sample_rate, 1.45 * pitch, 1.6 * pitch, peaks=((1.5 * pitch, 40, 12),))
    return gust * (0.4 * rush + 0.7 * gust**0.5 * low + 0.6 * gust * high)


def waves(activity: np.ndarray, rng: Rng, sample_rate: int, n: int) -> np.ndarray:
    """Surf: a rumble, foam that brightens as it breaks, in surges of a second or two."""
    time = np.arange(len(activity)) / 100
    surge = 0.5 + 0.5 * np.sin(2 * np.pi * (time / rng.uniform(1.4, 2.4) + rng.random()))
    swell = signals.stretch(activity * (0.3 + 0.7 * surge**1.5), n, sample_rate)
    body = signals.band_noise(rng, n, sample_rate, 90, 1200, tilt=3)
    foam = signals.band_noise(rng, n, sample_rate, 700, 5000, tilt=2)
    return 0.6 * swell * body + 0.7 * swell**2 * foam


def fire(activity: np.ndarray, rng: Rng, sample_rate: int, n: int) -> np.ndarray:
    """Crackles of all sizes over a low, unsteady roar."""
    snaps = signals.clicks(rng, 24, sample_rate, 900, 6500, (0.003, 0.02))
    flutter = np.clip(1 + 0.4 * signals.band_noise(rng, len(activity), 100, 3, 9), 0, 3)
    roar = signals.band_noise(rng, n, sample_rate, 50, 220, tilt=3)
    roar *= signals.stretch(activity * flutter, n, sample_rate)
    return 0.13 * roar + _grains(activity, 35, snaps, 3, rng, sample_rate, n)


def engine(activity: np.ndarray, rng: Rng, sample_rate: int, n: int) -> np.ndarray:
    """Firing strokes at 45 to 130 a second through an exhaust; speed and loudness follow the activity."""
    base, cylinders = rng.uniform(42, 55), 4
    rate = base * (1 + 1.4 * activity)
    exhaust = signals.ringing_modes(base * np.array([2.1, 4.7, 9.3, 15.1]), np.array([0.06, 0.045, 0.03, 0.02]),
                                    np.array([1.0, 0.8, 0.6, 0.4]), int(0.07 * sample_rate), sample_rate)
    train = signals.pulses(n, rate, sample_rate, activity, jitter=rng.uniform(-0.04, 0.04, cylinders))
    hiss = signals.band_noise(rng, n, sample_rate, 700, 2200) * signals.stretch(activity, n, sample_rate)
    return signals.unit_peak(signals.convolve(train, exhaust)) + 0.04 * hiss


def stream(activity: np.ndarray, rng: Rng, sample_rate: int, n: int) -> np.ndarray:
    """A brook: bubbles of many sizes over a soft wash."""
    small = signals.bubbles(rng, 32, sample_rate, 900, 2800, rise=0.3)
    wash = signals.band_noise(rng, n, sample_rate, 600, 1800) * signals.stretch(activity, n, sample_rate)
    return _grains(activity, 220, small, 3, rng, sample_rate, n) + 0.05 * wash


def crowd(activity: np.ndarray, rng: Rng, sample_rate: int, n: int) -> np.ndarray:
    """Twelve voices at a time: glottal pulses in syllables, through three vowels."""
    vowels = ((450, 1900, 2600), (700, 1200, 2500), (350, 850, 2400))
    time, out = np.arange(len(activity)) / 100, np.zeros(n)
    for formants in vowels:
        response = signals.ringing_modes(np.array(formants, float), np.array([0.025, 0.018, 0.012]),
                                         np.array([1.0, 0.6, 0.3]), int(0.03 * sample_rate), sample_rate)
        voices = np.zeros(n)
        for _ in range(4):
            pitch = float(np.exp(rng.uniform(np.log(95), np.log(240))))
            tune = pitch * (1 + 0.12 * np.sin(2 * np.pi * (rng.uniform(0.3, 0.9) * time + rng.random())))
            syllables = 0.5 + 0.5 * np.sin(2 * np.pi * (rng.uniform(2.5, 5) * time + rng.random()))
            phrase = np.clip(0.6 + np.sin(2 * np.pi * (rng.uniform(0.15, 0.5) * time + rng.random())), 0, 1)
            voices += signals.pulses(n, tune, sample_rate, activity * syllables**2 * phrase,
                                     jitter=rng.uniform(-0.05, 0.05, 37))
        out += signals.convolve(voices, response)
    murmur = signals.band_noise(rng, n, sample_rate, 300, 1500, tilt=3) * signals.stretch(activity, n, sample_rate)
    return signals.unit_peak(out) + 0.05 * murmur


TEXTURES: dict[str, Callable[[np.ndarray, Rng, int, int], np.ndarray]] = {
    f.__name__: f for f in (rain, wind, waves, fire, engine, stream, crowd)}
