"""Separate sounds that are not plain impacts: bounce, step, knock, tick, bell, splash, bark, whistle, engine start ...

Each function takes (length_s, rng, sample_rate), draws one object (its size, its pitch) and returns a `Hit` as in
`modal.py`: strength, generator -> waveform (L,) from its onset, with a peak equal to the strength.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import signals
from .modal import Hit

Rng = np.random.Generator


def _sweep(frequency: np.ndarray, sample_rate: int) -> np.ndarray:
    """Phase in radians of a tone with `frequency` (n,) in Hz."""
    return 2 * np.pi * np.cumsum(frequency) / sample_rate


def ball_bounce(length_s: float, rng: Rng, sample_rate: int) -> Hit:
    """A hollow rubber ball: a tone that drops while it dies, and a ping of the air inside."""
    pitch, n = rng.uniform(190, 290), int(1.5 * length_s * sample_rate)
    ping = rng.uniform(3.6, 4.2) * pitch
    time = np.arange(n) / sample_rate

    def hit(strength: float, hit_rng: Rng) -> np.ndarray:
        tone = np.sin(_sweep(pitch * (1 + 0.6 * strength * np.exp(-time / 0.012)), sample_rate) + 0.6)
        sound = tone * signals.decay(n, sample_rate, 1.3 * length_s)
        sound += 0.35 * strength * np.sin(2 * np.pi * ping * time) * signals.decay(n, sample_rate, 0.9 * length_s)
        sound += 0.1 * signals.band_noise(hit_rng, n, sample_rate, 300, 1500) * signals.decay(n, sample_rate, 0.015)
        return strength * signals.unit_peak(signals.attack(sound, sample_rate, 0.001))

    return hit


def footsteps(length_s: float, rng: Rng, sample_rate: int) -> Hit:
    """Heel, then sole: a click and a thump, a softer scuff after it."""
    thump, click, n = rng.uniform(85, 125), rng.uniform(1100, 1700), int(1.6 * length_s * sample_rate)
    gap = rng.uniform(0.055, 0.085)
    scuff_t60 = rng.uniform(0.06, 0.1)

    def hit(strength: float, hit_rng: Rng) -> np.ndarray:
        tones = np.array([thump, 2.3 * thump, click]) * hit_rng.uniform(0.95, 1.05, 3)
        sound = signals.ringing_modes(tones, np.array([0.09, 0.06, 0.02]), np.array([1.0, 0.5, 0.6]), n, sample_rate)
        sound += 0.15 * signals.band_noise(hit_rng, n, sample_rate, 800, 3000) * signals.decay(n, sample_rate, 0.02)
        m = n - int(gap * sample_rate)
        scuff = signals.band_noise(hit_rng, m, sample_rate, 1800, 4500) * signals.decay(m, sample_rate, scuff_t60)
        sound[n - m:] += 0.14 * signals.attack(scuff, sample_rate, 0.01)
        return strength * signals.unit_peak(signals.attack(sound, sample_rate, 0.0006))

    return hit


def door_knock(length_s: float, rng: Rng, sample_rate: int) -> Hit:
    """Knuckles on a panel: two low box modes and a dull click."""
    box, n = rng.uniform(105, 150), int(1.6 * length_s * sample_rate)
    tones = box * np.array([1.0, 1.9, 3.1, 4.4]) * np.append(1.0, rng.uniform(0.97, 1.03, 3))

    def hit(strength: float, hit_rng: Rng) -> np.ndarray:
        gains = np.array([0.9, 1.0, 0.7, 0.4 * strength]) * hit_rng.uniform(0.8, 1.2, 4)
        decays = 1.5 * length_s * np.array([1.0, 0.7, 0.45, 0.3])
        sound = signals.unit_peak(signals.ringing_modes(tones, decays, gains, n, sample_rate))
        sound += 0.12 * signals.band_noise(hit_rng, n, sample_rate, 500, 1200) * signals.decay(n, sample_rate, 0.015)
        return strength * signals.unit_peak(signals.attack(sound, sample_rate, 0.0008))

    return hit


def clock_tick(length_s: float, rng: Rng, sample_rate: int) -> Hit:
    """Tick and tock in turn: the escapement's double click in a small case."""
    case, body, n = rng.uniform(2600, 3600), rng.uniform(650, 850), int(1.6 * length_s * sample_rate)
    turn = [0]

    def hit(strength: float, hit_rng: Rng) -> np.ndarray:
        pitch = case * (1.0 if turn[0] % 2 == 0 else 0.86)
        turn[0] += 1
        tones = np.append(pitch * np.array([1.0, 1.62, 2.1]), body)
        click = signals.ringing_modes(tones, np.array([0.018, 0.012, 0.008, 0.03]),
                                      np.array([1.0, 0.7, 0.5, 0.35]), n, sample_rate)
        later = int(0.009 * sample_rate)
        click[later:] += 0.5 * click[:n - later]
        return strength * signals.unit_peak(click)

    return hit


def bell(length_s: float, rng: Rng, sample_rate: int) -> Hit:
    """A church bell in small: hum, prime, tierce, quint, nominal and above, each a beating pair."""
    prime, n = rng.uniform(420, 640), int(1.4 * length_s * sample_rate)
    partials = prime * np.array([0.5, 1.0, 1.19, 1.5, 2.0, 2.51, 3.01])
    tones = np.concatenate([partials, partials + rng.uniform(0.8, 3.0, 7)])
    decays = np.tile(1.5 * length_s * np.array([1.2, 1.0, 0.8, 0.6, 0.7, 0.4, 0.3]), 2)
    base = np.tile([0.5, 0.9, 0.7, 0.4, 1.0, 0.4, 0.3], 2)

    def hit(strength: float, hit_rng: Rng) -> np.ndarray:
        gains = base * hit_rng.uniform(0.8, 1.2, 14) * (tones / prime) ** (0.4 * (strength - 1))
        return strength * signals.unit_peak(signals.ringing_modes(tones, decays, gains, n, sample_rate))

    return hit


def splash(length_s: float, rng: Rng, sample_rate: int) -> Hit:
    """A body hits the water: a broad burst, a fall of spray, bubbles that come up."""
    n, low = int(1.5 * length_s * sample_rate), rng.uniform(350, 600)

    def hit(strength: float, hit_rng: Rng) -> np.ndarray:
        time = np.arange(n) / sample_rate
        burst = signals.band_noise(hit_rng, n, sample_rate, low, 5000, tilt=2)
        burst *= signals.decay(n, sample_rate, 0.6 * length_s) + 0.3 * np.exp(-((time / length_s - 0.25) / 0.12) ** 2)
        grains = signals.bubbles(hit_rng, 12, sample_rate, 600, 2200)
        times = 0.05 + hit_rng.gamma(2.0, 0.16 * length_s, 50)
        gains = hit_rng.uniform(0.1, 0.9, 50) ** 2 * np.exp(-times / (0.5 * length_s))
        rising = signals.scatter(n, times, gains, grains, hit_rng.integers(0, 12, 50), sample_rate)
        return strength * signals.unit_peak(signals.attack(0.35 * burst + rising, sample_rate, 0.001))

    return hit


_VOWEL = ((750.0, 160.0), (1350.0, 220.0), (2700.0, 400.0))  # (formant, width) Hz of an open "a"


def _formant_response(scale: float, sample_rate: int) -> np.ndarray:
    tones = scale * np.array([f for f, _ in _VOWEL])
    decays = 2.2 / (scale * np.array([w for _, w in _VOWEL]))
    return signals.ringing_modes(tones, decays, np.array([1.0, 0.7, 0.35]), int(0.03 * sample_rate), sample_rate)


def bark(length_s: float, rng: Rng, sample_rate: int) -> Hit:
    """Glottal pulses that rise and fall through the formants of an opening throat, with breath."""
    pitch, throat, n = rng.uniform(330, 520), rng.uniform(0.85, 1.15), int(length_s * sample_rate)
    response = _formant_response(throat, sample_rate)
    steps = int(length_s * 1000)
    phase = np.arange(steps) / steps

    def hit(strength: float, hit_rng: Rng) -> np.ndarray:
        contour = pitch * hit_rng.uniform(0.93, 1.07) * (0.65 + 0.5 * np.sin(np.pi * phase**0.7))
        loudness = np.minimum(0.3 + phase / 0.08, 1) ** 0.5 * np.minimum((1 - phase) / 0.45, 1)
        train = signals.pulses(n, contour, sample_rate, loudness, rate_hz=1000.0)
        breath = 0.12 * signals.band_noise(hit_rng, n, sample_rate, 600, 4000)
        breath *= signals.stretch(loudness, n, sample_rate, 1000.0)
        voiced = signals.convolve(train, response)
        return strength * signals.unit_peak(signals.unit_peak(voiced) + 0.25 * breath)

    return hit


def whistle(length_s: float, rng: Rng, sample_rate: int) -> Hit:
    """A referee's whistle: one high tone with the trill of its pea, and breath."""
    pitch, trill, n = rng.uniform(1900, 2700), rng.uniform(22, 32), int(length_s * sample_rate)
    time = np.arange(n) / sample_rate

    def hit(strength: float, hit_rng: Rng) -> np.ndarray:
        wobble = np.sin(2 * np.pi * trill * time + hit_rng.uniform(0, 6))
        tone = np.sin(_sweep(pitch * (1 + 0.03 * wobble - 0.1 * np.exp(-time / 0.02)), sample_rate))
        tone *= 1 + 0.3 * wobble
        sound = tone + 0.06 * signals.band_noise(hit_rng, n, sample_rate, 0.8 * pitch, 1.5 * pitch)
        sound *= np.minimum(1, (length_s - time) / 0.04)
        return strength * signals.unit_peak(signals.attack(sound, sample_rate, 0.006))

    return hit


def engine_start(length_s: float, rng: Rng, sample_rate: int) -> Hit:
    """A starter turns the engine over, it catches, revs up and falls to idle until the end."""
    crank_s, n = min(rng.uniform(0.6, 1.1), 0.5 * length_s), int(length_s * sample_rate)
    turns, whine, idle = rng.uniform(5.5, 8), rng.uniform(300, 420), rng.uniform(26, 36)
    exhaust = signals.ringing_modes(idle * np.array([2.3, 4.1, 7.7]), np.array([0.09, 0.06, 0.04]),
                                    np.array([1.0, 0.8, 0.4]), int(0.1 * sample_rate), sample_rate)

    def hit(strength: float, hit_rng: Rng) -> np.ndarray:
        time, slow = np.arange(n) / sample_rate, np.arange(int(length_s * 100)) / 100
        since = slow - crank_s
        rate = np.where(since < 0, 2 * turns, idle * (1 + 1.6 * np.exp(-((np.maximum(since, 0) - 0.25) / 0.25) ** 2)))
        gain = np.where(since < 0, 0.35, 0.7 + 0.6 * np.exp(-((since - 0.25) / 0.3) ** 2))
        jitter = hit_rng.uniform(-0.08, 0.08, 31)
        engine = signals.convolve(signals.pulses(n, rate, sample_rate, gain, jitter=jitter), exhaust)
        labour = 0.75 + 0.25 * np.sin(2 * np.pi * turns * time)
        cycles = _sweep(whine * (0.85 + 0.15 * labour), sample_rate)
        starter = sum(np.sin(k * cycles) / k for k in range(1, 7)) * labour * np.clip((crank_s - time) / 0.03, 0, 1)
        hiss = signals.band_noise(hit_rng, n, sample_rate, 500, 2500) * signals.stretch(gain, n, sample_rate)
        sound = signals.unit_peak(engine) + 0.22 * starter + 0.04 * hiss
        sound *= np.clip((length_s - time) / 0.25, 0, 1)
        return strength * signals.unit_peak(signals.attack(sound, sample_rate, 0.003))

    return hit


def cymbal(length_s: float, rng: Rng, sample_rate: int) -> Hit:
    """Thin bronze: hundreds of modes that sound like bright noise, the highest decaying first."""
    n = int(1.4 * length_s * sample_rate)
    tones = np.exp(rng.uniform(np.log(2500), np.log(9500), 60))
    decays = 1.5 * length_s * (2500 / tones) ** 0.5
    phases = rng.uniform(0, 2 * np.pi, 60)

    def hit(strength: float, hit_rng: Rng) -> np.ndarray:
        gains = hit_rng.uniform(0.3, 1.0, 60) * (tones / 4000) ** (0.8 * (strength - 0.5))
        sound = signals.unit_peak(signals.ringing_modes(tones, decays, gains, n, sample_rate, phases))
        noise = signals.band_noise(hit_rng, n, sample_rate, 3500, 10000) * signals.decay(n, sample_rate, length_s)
        return strength * signals.unit_peak(signals.attack(sound + 0.25 * noise, sample_rate, 0.001))

    return hit


def clap(length_s: float, rng: Rng, sample_rate: int) -> Hit:
    """Two hands: a few bursts within milliseconds, coloured by the cup between the palms."""
    cup, n = rng.uniform(950, 1500), int(1.5 * length_s * sample_rate)

    def hit(strength: float, hit_rng: Rng) -> np.ndarray:
        peaks = ((cup, 300.0, 4.0), (2.4 * cup, 600.0, 1.5))
        noise = signals.band_noise(hit_rng, n, sample_rate, 700, 2800 + 1200 * strength, peaks=peaks)
        shape = 0.3 * signals.decay(n, sample_rate, 1.2 * length_s)
        for delay in (0.0, hit_rng.uniform(0.004, 0.007), hit_rng.uniform(0.009, 0.013)):
            first = int(delay * sample_rate)
            shape[first:] += signals.decay(n - first, sample_rate, 0.02)
        return strength * signals.unit_peak(noise * shape)

    return hit


def bang(length_s: float, rng: Rng, sample_rate: int) -> Hit:
    """A shot or a firework: a crack over all frequencies, then a rolling low tail."""
    n, body = int(1.5 * length_s * sample_rate), rng.uniform(60, 90)

    def hit(strength: float, hit_rng: Rng) -> np.ndarray:
        crack = signals.band_noise(hit_rng, n, sample_rate, 100, 7000, tilt=2) * signals.decay(n, sample_rate, 0.12)
        tail = signals.band_noise(hit_rng, n, sample_rate, 50, 350, tilt=3)
        tail *= signals.decay(n, sample_rate, 1.3 * length_s)
        time = np.arange(n) / sample_rate
        boom = np.cos(_sweep(body * (1 + np.exp(-time / 0.03)), sample_rate)) * signals.decay(n, sample_rate, 0.4)
        return strength * signals.unit_peak(0.5 * crack + 0.35 * tail + 0.7 * boom)

    return hit


EVENT_SOUNDS: dict[str, Callable[[float, Rng, int], Hit]] = {
    f.__name__: f for f in (ball_bounce, footsteps, door_knock, clock_tick, bell, splash, bark, whistle, engine_start,
                            cymbal, clap, bang)}
