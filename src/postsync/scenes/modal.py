"""Struck and scraped materials by modal synthesis; loose and liquid ones by grains.

A solid is a set of modes (frequency ratios, decays) rung by a short contact; a longer contact (a weak hit) excites the
high modes less. After van den Doel and Pai, "The sounds of physical objects", Presence 7(4), 1998.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import signals

Rng = np.random.Generator
Hit = Callable[[float, Rng], np.ndarray]  # strength 0..1, generator -> waveform from its onset


@dataclass(frozen=True)
class Solid:
    """The sound of a solid. Frequencies in Hz; the spread of `pitch` is the spread of sizes."""

    pitch: tuple[float, float]  # of the lowest mode
    ratios: tuple[float, ...]  # of the modes to the lowest
    damping: float  # decay time ~ (lowest / frequency) ** damping
    contact_s: float  # at full strength; longer contacts ring fewer high modes
    noise: float  # share of the burst that is noise
    band: tuple[float, float]  # of that noise
    noise_t60_s: float
    scrape_ring_s: float  # decay of the resonances while something slides on them
    scrape_pulses: float  # stick-slip pulses per second at full speed; 0: smooth noise only
    scrape_smooth: float  # share of smooth noise in the excitation


SOLIDS: dict[str, Solid] = {
    "wood": Solid((260, 480), (1, 2.57, 4.65, 6.9), 0.9, 0.0007, 0.3, (500, 2500), 0.02, 0.05, 90, 0.25),
    "metal": Solid((520, 900), (1, 1.51, 2.04, 2.78, 3.5, 4.32, 5.4, 6.3, 7.8), 0.35, 0.00008, 0.15, (3000, 9000),
                   0.02, 0.5, 0, 1.0),
    "glass": Solid((2100, 3200), (1, 2.32, 4.25), 0.5, 0.00004, 0.08, (4000, 10000), 0.008, 0.25, 0, 0.6),
    "ceramic": Solid((950, 1500), (1, 1.87, 2.93, 3.81, 5.13), 0.6, 0.0001, 0.35, (2500, 7000), 0.015, 0.08, 160, 0.2),
    "plastic": Solid((520, 820), (1, 1.43, 2.05, 2.61, 3.2), 0.6, 0.0003, 0.45, (800, 3000), 0.02, 0.02, 45, 0.12),
    "cardboard": Solid((130, 210), (1, 1.6, 2.4, 3.3), 0.5, 0.0012, 0.8, (180, 900), 0.05, 0.012, 0, 1.0),
    "stone": Solid((1500, 2300), (1, 1.37, 1.8, 2.4, 3.1), 0.4, 0.0001, 0.9, (1500, 6000), 0.02, 0.006, 300, 0.4),
    "drum": Solid((80, 150), (1, 1.594, 2.136, 2.296, 2.653, 2.918, 3.5), 0.5, 0.0012, 0.15, (150, 900), 0.03, 0.12,
                  0, 1.0),
}


def strike(material: str, length_s: float, rng: Rng, sample_rate: int) -> Hit:
    """One object of a material, of a random size; each call of the result is one hit on it.

    `length_s`: time in which the slowest mode falls by 40 dB. Hits have a peak equal to their strength.
    """
    if material not in SOLIDS:
        return _GRANULAR[material](length_s, rng, sample_rate)
    solid = SOLIDS[material]
    frequencies = _modes(solid, rng)
    t60 = 1.5 * length_s * (frequencies[0] / frequencies) ** solid.damping * rng.uniform(0.8, 1.2, len(frequencies))
    n = int(1.8 * length_s * sample_rate)
    base = rng.uniform(0.5, 1.0, len(frequencies))

    def hit(strength: float, hit_rng: Rng) -> np.ndarray:
        contact = solid.contact_s * (1.8 - 0.8 * strength)
        gains = base * hit_rng.uniform(0.7, 1.3, len(base)) * np.exp(-frequencies * contact)
        ring = signals.unit_peak(signals.ringing_modes(frequencies, t60, gains, n, sample_rate))
        m = min(n, int(2 * solid.noise_t60_s * sample_rate))
        high = solid.band[1] * (0.5 + 0.5 * strength)
        burst = signals.band_noise(hit_rng, m, sample_rate, solid.band[0], high)
        ring[:m] += solid.noise / 1.5 * burst * signals.decay(m, sample_rate, solid.noise_t60_s)
        return strength * signals.unit_peak(signals.attack(ring, sample_rate, 0.0004))

    return hit


def scrape(material: str, speed: np.ndarray, rng: Rng, sample_rate: int, n: int) -> np.ndarray:
    """Something slides on a material with `speed` (M,) 0..1 at 100 Hz -> (n,), loudness in proportion to the speed."""
    if material not in SOLIDS:
        return _RUBBED[material](speed, rng, sample_rate, n)
    solid = SOLIDS[material]
    frequencies = _modes(solid, rng)
    ring_s = solid.scrape_ring_s * rng.uniform(0.8, 1.25)
    t60 = ring_s * (frequencies[0] / frequencies) ** solid.damping
    gains = rng.uniform(0.6, 1.0, len(frequencies))
    m = max(int(1.2 * ring_s * sample_rate), 64)
    phases = rng.uniform(0, 2 * np.pi, len(frequencies))
    body = signals.unit_peak(signals.ringing_modes(frequencies, t60, gains, m, sample_rate, phases))
    low, high = solid.band
    rough = signals.band_noise(rng, n, sample_rate, low / 2, high)
    excitation = solid.scrape_smooth * rough
    if solid.scrape_pulses:
        jitter = rng.uniform(-0.45, 0.45, 97)
        rate = rng.uniform(0.8, 1.2) * solid.scrape_pulses * (0.3 + 0.7 * speed) * (speed > 0)
        train = signals.pulses(n, rate, sample_rate, jitter=jitter)
        excitation = excitation + train * np.sqrt(sample_rate / solid.scrape_pulses)
    excitation *= signals.stretch(speed, n, sample_rate)
    rung = signals.convolve(excitation, body)
    if material == "glass":
        rung = rung + 0.4 * _squeak(speed, frequencies[0] * 0.5, rng, sample_rate, n) * np.max(np.abs(rung))
    rubbed = rough * signals.stretch(speed, n, sample_rate)
    return signals.unit_peak(rung) + solid.noise * 0.3 * signals.unit_peak(rubbed)


def _modes(solid: Solid, rng: Rng) -> np.ndarray:
    ratios = np.array(solid.ratios) * np.concatenate([[1.0], rng.uniform(0.97, 1.03, len(solid.ratios) - 1)])
    return float(np.exp(rng.uniform(*np.log(solid.pitch)))) * ratios


def _squeak(speed: np.ndarray, pitch: float, rng: Rng, sample_rate: int, n: int) -> np.ndarray:
    """A wet finger on glass: a tone whose pitch follows the speed."""
    cycles = np.cumsum(signals.stretch(pitch * (0.9 + 0.25 * speed), n, sample_rate)) / sample_rate
    return signals.stretch(speed, n, sample_rate) * (np.sin(2 * np.pi * cycles) + 0.4 * np.sin(4 * np.pi * cycles))


# ---- grains: loose and liquid materials ------------------------------------------------------------------------------


def _burst_of_grains(grains: np.ndarray, count: int, spread_s: float, n: int, sample_rate: int, rng: Rng) -> np.ndarray:
    """`count` grains, thinning out and falling in size over `spread_s`; the first falls at time zero."""
    times = np.concatenate([[0.0], rng.exponential(spread_s / 3, count - 1)])
    gains = rng.uniform(0.15, 1.0, count) ** 2 * np.exp(-2 * times / spread_s)
    gains[0] = 0.9
    return signals.scatter(n, times, gains, grains, rng.integers(0, len(grains), count), sample_rate)


def _water_strike(length_s: float, rng: Rng, sample_rate: int) -> Hit:
    pitch = float(np.exp(rng.uniform(np.log(420), np.log(800))))
    n = int(1.6 * length_s * sample_rate)

    def hit(strength: float, hit_rng: Rng) -> np.ndarray:
        grains = signals.bubbles(hit_rng, 6, sample_rate, pitch, 1.8 * pitch, rise=0.9)
        sound = _burst_of_grains(grains, 5, 0.7 * length_s, n, sample_rate, hit_rng)
        slap = signals.band_noise(hit_rng, n, sample_rate, 400, 1500) * signals.decay(n, sample_rate, 0.03)
        return strength * signals.unit_peak(sound + 0.08 * strength * slap)

    return hit


def _gravel_strike(length_s: float, rng: Rng, sample_rate: int) -> Hit:
    grains = signals.clicks(rng, 16, sample_rate, 1800, 4500, (0.004, 0.012))
    n = int(1.6 * length_s * sample_rate)

    def hit(strength: float, hit_rng: Rng) -> np.ndarray:
        crunch = _burst_of_grains(grains, int(30 + 50 * strength), length_s, n, sample_rate, hit_rng)
        thud = signals.band_noise(hit_rng, n, sample_rate, 200, 900) * signals.decay(n, sample_rate, 0.06)
        return strength * signals.unit_peak(crunch + 0.3 * thud)

    return hit


def _leaves_strike(length_s: float, rng: Rng, sample_rate: int) -> Hit:
    grains = signals.clicks(rng, 16, sample_rate, 4500, 7600, (0.002, 0.006))
    n = int(1.6 * length_s * sample_rate)

    def hit(strength: float, hit_rng: Rng) -> np.ndarray:
        rustle = _burst_of_grains(grains, int(80 + 120 * strength), 1.2 * length_s, n, sample_rate, hit_rng)
        hiss = signals.band_noise(hit_rng, n, sample_rate, 4500, 9000) * signals.decay(n, sample_rate, length_s)
        return strength * signals.unit_peak(0.6 * rustle + 0.35 * signals.attack(hiss, sample_rate, 0.002))

    return hit


def _cloth_strike(length_s: float, rng: Rng, sample_rate: int) -> Hit:
    pitch, n = rng.uniform(55, 75), int(1.4 * length_s * sample_rate)
    low = rng.uniform(350, 500)

    def hit(strength: float, hit_rng: Rng) -> np.ndarray:
        puff = signals.band_noise(hit_rng, n, sample_rate, low, 1400 + 500 * strength, tilt=3)
        puff *= signals.decay(n, sample_rate, length_s)
        thump = signals.ringing_modes(np.array([pitch]), np.array([0.1]), np.array([1.0]), n, sample_rate,
                                      np.array([0.5 * np.pi]))
        return strength * signals.unit_peak(signals.attack(0.35 * puff + 0.5 * thump, sample_rate, 0.002))

    return hit


def _water_rubbed(speed: np.ndarray, rng: Rng, sample_rate: int, n: int) -> np.ndarray:
    grains = signals.bubbles(rng, 24, sample_rate, 250, 750, rise=0.6)
    times = signals.poisson_times(rng, 70 * signals.flurry(speed))
    gains = rng.uniform(0.1, 1, len(times)) ** 2 * np.interp(times, np.arange(len(speed)) / 100, speed)
    gurgle = signals.scatter(n, times, gains, grains, rng.integers(0, 24, len(times)), sample_rate)
    swish = signals.band_noise(rng, n, sample_rate, 250, 900) * signals.stretch(speed, n, sample_rate)
    return signals.unit_peak(gurgle) + 0.12 * swish


def _grains_rubbed(low: float, high: float, t60_s: tuple[float, float], rate: float,
                   hiss: float) -> Callable[..., np.ndarray]:
    def rubbed(speed: np.ndarray, rng: Rng, sample_rate: int, n: int) -> np.ndarray:
        grains = signals.clicks(rng, 24, sample_rate, low, high, t60_s)
        times = signals.poisson_times(rng, rate * signals.flurry(speed, 3.0))
        gains = rng.uniform(0.1, 1, len(times)) ** 3 * np.interp(times, np.arange(len(speed)) / 100, speed)
        gains *= rng.choice([-1.0, 1.0], len(times))
        crunch = signals.scatter(n, times, gains, grains, rng.integers(0, 24, len(times)), sample_rate)
        noise = signals.band_noise(rng, n, sample_rate, low, 1.2 * high) * signals.stretch(speed, n, sample_rate)
        return signals.unit_peak(crunch) + hiss * noise

    return rubbed


def _cloth_rubbed(speed: np.ndarray, rng: Rng, sample_rate: int, n: int) -> np.ndarray:
    """Weave over weave: soft noise with a fast flutter, no ringing."""
    flutter = signals.band_noise(rng, len(speed), 100, 8, 30)
    noise = signals.band_noise(rng, n, sample_rate, rng.uniform(800, 1100), 2600)
    return noise * signals.stretch(speed * np.clip(1 + 0.25 * flutter, 0, 2), n, sample_rate)


_GRANULAR: dict[str, Callable[[float, Rng, int], Hit]] = {
    "water": _water_strike, "gravel": _gravel_strike, "leaves": _leaves_strike, "cloth": _cloth_strike}
_RUBBED: dict[str, Callable[..., np.ndarray]] = {
    "water": _water_rubbed, "gravel": _grains_rubbed(1800, 4500, (0.004, 0.012), 500, 0.06),
    "leaves": _grains_rubbed(4500, 7600, (0.002, 0.006), 900, 0.05), "cloth": _cloth_rubbed}
