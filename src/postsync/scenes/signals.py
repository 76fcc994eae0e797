"""Building blocks of all synthesised sounds: ringing modes, band noise, grains, pulses, fast convolution.

Without recursive filters: modes are products of two short exponentials (one matrix product), noise is shaped in the
frequency domain, grains are scattered with one `bincount`. Random samples are drawn from a spawned generator, so that
what a caller draws next does not depend on the sample rate: the same seed is the same physical sound at any rate.
"""

from __future__ import annotations

import numpy as np

Rng = np.random.Generator
_BLOCK = 256


def fast_length(n: int) -> int:
    """The next length of the form 2^k, 1.25 * 2^k, 1.5 * 2^k: quick for the FFT."""
    power = 1 << max(int(np.ceil(np.log2(max(n, 8)))), 3)
    return next(m for m in (power // 8 * 5, power // 8 * 6, power) if m >= n)


def convolve(signal: np.ndarray, response: np.ndarray) -> np.ndarray:
    """`signal` (N,) convolved with `response` (L,), cut to (N,)."""
    n = fast_length(len(signal) + len(response) - 1)
    return np.fft.irfft(np.fft.rfft(signal, n) * np.fft.rfft(response, n), n)[:len(signal)]


def ringing_modes(frequencies: np.ndarray, decays_s: np.ndarray, gains: np.ndarray, n: int, sample_rate: int,
                  phases: np.ndarray | None = None) -> np.ndarray:
    """Sum of decaying sines (n,). `frequencies` in Hz and `decays_s` (time to fall by 60 dB) and `gains` are (K,).

    exp(z (256 i + j)) = exp(256 z i) exp(z j): one product of two small matrices instead of K * n exponentials.
    Modes above 0.48 times the sample rate are omitted.
    """
    audible = frequencies < 0.48 * sample_rate
    pole = (-6.908 / decays_s[audible] + 2j * np.pi * frequencies[audible]) / sample_rate
    start = gains[audible] * np.exp(1j * (0.0 if phases is None else phases[audible]))
    coarse = start[:, None] * np.exp(pole[:, None] * (_BLOCK * np.arange(-(-n // _BLOCK))))
    fine = np.exp(pole[:, None] * np.arange(_BLOCK))
    return (coarse.real.T @ fine.imag + coarse.imag.T @ fine.real).reshape(-1)[:n]


def band_noise(rng: Rng, n: int, sample_rate: int, low: float, high: float, tilt: float = 0.0,
               peaks: tuple[tuple[float, float, float], ...] = ()) -> np.ndarray:
    """Noise (n,) of unit RMS between `low` and `high` Hz (12 dB per octave beyond), falling by `tilt` dB per octave.

    `peaks`: (centre Hz, width Hz, gain) resonances added to the flat band.
    """
    noise_rng = rng.spawn(1)[0]
    m = fast_length(n)
    f = np.maximum(np.fft.rfftfreq(m, 1 / sample_rate), 1.0)
    gain = 1 / np.sqrt((1 + (low / f) ** 4) * (1 + (f / high) ** 4)) * (f / 1000) ** (-tilt / 6.02)
    for centre, width, height in peaks:
        gain *= 1 + height / (1 + ((f - centre) / (width / 2)) ** 2)
    spectrum = gain * (noise_rng.standard_normal(len(f)) + 1j * noise_rng.standard_normal(len(f)))
    spectrum[0] = 0
    return np.fft.irfft(spectrum, m)[:n] * (m / np.sqrt(2 * np.sum(2 * gain**2)))


def decay(n: int, sample_rate: int, t60_s: float) -> np.ndarray:
    """Exponential (n,) that falls by 60 dB in `t60_s`."""
    return np.exp(np.arange(n) * (-6.908 / (t60_s * sample_rate)))


def attack(signal: np.ndarray, sample_rate: int, rise_s: float) -> np.ndarray:
    """`signal` with a raised-cosine start of `rise_s`."""
    n = min(max(int(rise_s * sample_rate), 1), len(signal))
    signal[:n] *= 0.5 - 0.5 * np.cos(np.pi * (np.arange(n) + 0.5) / n)
    return signal


def unit_peak(signal: np.ndarray) -> np.ndarray:
    """`signal` scaled to a peak of 1; silence stays silence."""
    return signal / max(float(np.max(np.abs(signal), initial=0.0)), 1e-9)


def place(out: np.ndarray, sound: np.ndarray, t: float, sample_rate: int) -> None:
    """Add `sound` to `out` from time `t`, cut at the end of `out`."""
    first = round(t * sample_rate)
    part = sound[:max(len(out) - first, 0)]
    out[first:first + len(part)] += part


def scatter(n: int, times_s: np.ndarray, gains: np.ndarray, grains: np.ndarray, choice: np.ndarray,
            sample_rate: int) -> np.ndarray:
    """Grains at times: `grains` (G, L), `times_s`, `gains`, `choice` (index into grains) are (P,) -> (n,)."""
    if not len(times_s):
        return np.zeros(n)
    index = np.round(times_s * sample_rate).astype(np.int64)[:, None] + np.arange(grains.shape[1])
    values = gains[:, None] * grains[choice]
    inside = index < n
    return np.bincount(index[inside], values[inside], minlength=n)[:n]


def poisson_times(rng: Rng, rate: np.ndarray, rate_hz: float = 100.0) -> np.ndarray:
    """Random times (P,) in seconds of a Poisson process whose density `rate` (M,) per second is given at `rate_hz`."""
    counts = rng.poisson(np.maximum(rate, 0) / rate_hz)
    return np.sort((np.repeat(np.arange(len(rate)), counts) + rng.random(int(counts.sum()))) / rate_hz)


def flurry(control: np.ndarray, gain: float = 5.0, lasting: int = 5) -> np.ndarray:
    """`control` (M,) raised by `gain` for `lasting` values wherever it leaves zero: sudden starts become dense."""
    started = np.concatenate([[False], (control[1:] > 0) & (control[:-1] == 0)])
    return control * (1 + (gain - 1) * (np.convolve(started, np.ones(lasting))[:len(control)] > 0))


def clicks(rng: Rng, count: int, sample_rate: int, low: float, high: float, t60_s: tuple[float, float]) -> np.ndarray:
    """`count` short ringing grains (count, L) of unit peak: a sine of `low`..`high` Hz that dies in `t60_s`."""
    frequency = np.exp(rng.uniform(np.log(low), np.log(high), count))
    length = rng.uniform(*t60_s, count)
    time = np.arange(max(int(t60_s[1] * sample_rate), 8)) / sample_rate
    frequency = np.minimum(frequency, 0.48 * sample_rate)
    return np.exp(-6.908 * time / length[:, None]) * np.sin(2 * np.pi * frequency[:, None] * time + 0.3)


def bubbles(rng: Rng, count: int, sample_rate: int, low: float, high: float, rise: float = 0.5) -> np.ndarray:
    """`count` bubbles (count, L): a sine whose pitch rises while it dies, the smaller (higher) the shorter.

    After van den Doel, "Physically based models for liquid sounds", 2005: decay in proportion to the radius.
    """
    frequency = np.exp(rng.uniform(np.log(low), np.log(high), count))[:, None]
    length = np.clip(60.0 / frequency, 0.012, 0.12)
    time = np.arange(int(float(length.max()) * sample_rate)) / sample_rate
    cycles = frequency * (time + rise * time**2 / (2 * length))
    return np.exp(-6.908 * time / length) * np.sin(2 * np.pi * cycles)


def pulses(n: int, rate: np.ndarray, sample_rate: int, gain: np.ndarray | None = None, rate_hz: float = 100.0,
           jitter: np.ndarray | None = None) -> np.ndarray:
    """Unit impulses (n,) at `rate` (M,) per second, weighted by `gain` (M,); both are given at `rate_hz`.

    `jitter`: a cycle of relative timing errors for successive pulses.
    """
    phase = np.concatenate([[0.0], np.cumsum(rate / rate_hz)])
    count = np.arange(int(phase[-1]))
    if jitter is not None:
        count = count + jitter[count % len(jitter)]
    times = np.interp(count, phase, np.arange(len(phase)) / rate_hz)
    weights = np.ones(len(times)) if gain is None else np.interp(times, np.arange(len(gain)) / rate_hz, gain)
    index = np.clip(np.round(times * sample_rate).astype(np.int64), 0, n - 1)
    return np.bincount(index, weights, minlength=n)[:n]


def stretch(control: np.ndarray, n: int, sample_rate: int, rate_hz: float = 100.0) -> np.ndarray:
    """A control signal (M,) at `rate_hz` -> (n,) at the sample rate, linearly."""
    return np.interp(np.arange(n) / sample_rate, np.arange(len(control)) / rate_hz, control)
