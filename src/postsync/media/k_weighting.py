"""The K filter of ITU-R BS.1770: a high shelf for the head, then a high pass. Any sample rate, streamed, numpy only.

Both stages are second-order sections from R. Bristow-Johnson's "Cookbook formulae for audio EQ biquad filter
coefficients", with the settings that pyloudnorm's meter uses, so that both read the same.
"""

from __future__ import annotations

import math

import numpy as np

SHELF = (1500.0, 1 / math.sqrt(2), 4.0)  # Hz, quality, dB
HIGH_PASS = (38.0, 0.5)
Biquad = tuple[np.ndarray, np.ndarray]  # numerator and denominator in powers of z**-1, the latter starting with 1


def high_shelf(sample_rate: float, frequency: float, quality: float, gain_db: float) -> Biquad:
    """Lifts what lies above `frequency` (Hz) by `gain_db`."""
    root = 10 ** (gain_db / 40)
    angle = 2 * math.pi * frequency / sample_rate
    cosine, slope = math.cos(angle), math.sqrt(root) * math.sin(angle) / quality
    b = root * np.array([root + 1 + (root - 1) * cosine + slope, -2 * (root - 1 + (root + 1) * cosine),
                         root + 1 + (root - 1) * cosine - slope])
    a = np.array([root + 1 - (root - 1) * cosine + slope, 2 * (root - 1 - (root + 1) * cosine),
                  root + 1 - (root - 1) * cosine - slope])
    return b / a[0], a / a[0]


def high_pass(sample_rate: float, frequency: float, quality: float) -> Biquad:
    """Removes what lies below `frequency` (Hz)."""
    angle = 2 * math.pi * frequency / sample_rate
    cosine, alpha = math.cos(angle), math.sin(angle) / (2 * quality)
    b = (1 + cosine) / 2 * np.array([1.0, -2.0, 1.0])
    a = np.array([1 + alpha, -2 * cosine, 1 - alpha])
    return b / a[0], a / a[0]


class KWeighting:
    """The filter on a stream of blocks (C, n), as FIR: its response has died away (-500 dB) after 0.25 s."""

    def __init__(self, sample_rate: int, num_channels: int) -> None:
        length = 1 << math.ceil(math.log2(0.25 * sample_rate))
        z = np.exp(-2j * np.pi * np.arange(length // 2 + 1) / length)[:, None] ** np.arange(3)
        response = np.ones(length // 2 + 1, dtype=complex)
        for b, a in (high_shelf(sample_rate, *SHELF), high_pass(sample_rate, *HIGH_PASS)):
            response *= (z @ b) / (z @ a)
        self._taps = np.fft.irfft(response, length)
        self._past = np.zeros((num_channels, length - 1))

    def __call__(self, block: np.ndarray) -> np.ndarray:
        signal = np.concatenate([self._past, block], axis=1)
        self._past = signal[:, signal.shape[1] - len(self._taps) + 1 :].copy()
        size = 1 << (signal.shape[1] - 1).bit_length()  # wrap-around falls on the past, which is cut off
        filtered = np.fft.irfft(np.fft.rfft(signal, size) * np.fft.rfft(self._taps, size), size)
        return filtered[:, len(self._taps) - 1 : signal.shape[1]]
