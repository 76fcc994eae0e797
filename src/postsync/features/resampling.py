"""torchaudio's band-limited resampling as a torch function: published metric values depend on the resampler.

Files are read and written with soxr (media/audio.py), which has the better filter; this one is for extractors whose
published numbers used it.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F


def sinc_resample(waveform: Tensor, rate: int, new_rate: int, *, width: int = 6, rolloff: float = 0.99,
                  kaiser_beta: float | None = None) -> Tensor:
    """Waveform (..., N) at `rate` Hz -> (..., ceil(N * new_rate / rate)) at `new_rate` Hz, without delay.

    A windowed sinc of `width` zero crossings on either side, cut off at `rolloff` of the lower Nyquist frequency; Hann
    window, or Kaiser where its beta is given. Follows torchaudio.functional.resample, whose defaults these are (within
    2e-5, since the kernel is computed in float64). Differentiable. Raises ValueError for rates below 1.
    """
    if rate < 1 or new_rate < 1:
        raise ValueError(f"rates are {rate} and {new_rate} Hz; both must be positive integers")
    divisor = math.gcd(rate, new_rate)
    rate, new_rate = rate // divisor, new_rate // divisor
    if rate == new_rate:
        return waveform
    kernel = _kernel(rate, new_rate, width, rolloff, kaiser_beta).to(waveform)
    reach = (kernel.shape[-1] - rate) // 2
    num_samples = waveform.shape[-1]
    padded = F.pad(waveform.reshape(-1, 1, num_samples), (reach, reach + rate))
    phases = F.conv1d(padded, kernel, stride=rate)  # (..., new_rate, blocks of `rate` samples)
    samples = phases.transpose(1, 2).reshape(*waveform.shape[:-1], -1)
    return samples[..., : -(-num_samples * new_rate // rate)]


def kaiser_resample(waveform: Tensor, rate: int, new_rate: int) -> Tensor:
    """`sinc_resample` with the long Kaiser window that fadtk asks for (torchaudio's "kaiser_best")."""
    return sinc_resample(waveform, rate, new_rate, width=64, rolloff=0.9475937167399596,
                         kaiser_beta=14.769656459379492)


@lru_cache(maxsize=32)
def _kernel(rate: int, new_rate: int, width: int, rolloff: float, kaiser_beta: float | None) -> Tensor:
    """One filter a phase, float64 (new_rate, 1, 2 * reach + rate), for coprime rates. Cached: do not write into it."""
    cut_off = rolloff * min(rate, new_rate)
    reach = math.ceil(width * rate / cut_off)
    taps = torch.arange(-reach, reach + rate, dtype=torch.float64) / rate
    phases = torch.arange(new_rate, dtype=torch.float64) / new_rate
    t = ((taps[None] - phases[:, None]) * cut_off).clamp(-width, width)
    if kaiser_beta is None:
        window = torch.cos(t * math.pi / (2 * width)) ** 2
    else:
        beta = torch.tensor(kaiser_beta, dtype=torch.float64)
        window = torch.special.i0(beta * (1 - (t / width) ** 2).sqrt()) / torch.special.i0(beta)
    return (torch.sinc(t) * window * cut_off / rate)[:, None]
