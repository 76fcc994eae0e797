"""Distances between the short-time spectra of two waveforms, for training vocoders and for measuring them."""

from __future__ import annotations

import torch
from torch import Tensor

RESOLUTIONS = (512, 1024, 2048)
FLOOR = 1e-5


def magnitude_stft(waveform: Tensor, n_fft: int) -> Tensor:
    """Magnitudes |X| of (B, N) -> (B, n_fft // 2 + 1, frames): periodic Hann window, hop n_fft / 4, zero-padded.

    The gradient at an exact zero is zero, so digital silence can be trained on.
    """
    window = torch.hann_window(n_fft, device=waveform.device, dtype=waveform.dtype)
    spectrum = torch.stft(waveform, n_fft, n_fft // 4, window=window, center=True, pad_mode="constant",
                          return_complex=True)
    return (spectrum.real.square() + spectrum.imag.square() + 1e-14).sqrt()


def log_stft_distance(estimate: Tensor, target: Tensor, resolutions: tuple[int, ...] = RESOLUTIONS,
                      floor: float = FLOOR) -> Tensor:
    """Mean of |ln(|X| + floor) - ln(|Y| + floor)| over bins, frames, resolutions; (B, N) twice -> (B,), differentiable.

    Raises ValueError where the shapes differ.
    """
    if estimate.shape != target.shape or estimate.ndim != 2:
        raise ValueError(f"log_stft_distance compares two (B, N) waveforms, got {tuple(estimate.shape)} "
                         f"and {tuple(target.shape)}; cut both to one length first")
    distances = []
    for n_fft in resolutions:
        ours, theirs = magnitude_stft(estimate, n_fft), magnitude_stft(target, n_fft)
        distances.append(((ours + floor).log() - (theirs + floor).log()).abs().mean(dim=(1, 2)))
    return torch.stack(distances).mean(dim=0)


def stft_loss(estimate: Tensor, target: Tensor, resolutions: tuple[int, ...] = RESOLUTIONS,
              floor: float = FLOOR) -> dict[str, Tensor]:
    """`log_magnitude` (the mean of `log_stft_distance`) and `convergence` (error energy over energy), both scalars.

    Yamamoto, Song, Kim, "Parallel WaveGAN", ICASSP 2020, section 2.2.
    """
    log_magnitude, convergence = [], []
    for n_fft in resolutions:
        ours, theirs = magnitude_stft(estimate, n_fft), magnitude_stft(target, n_fft)
        log_magnitude.append(((ours + floor).log() - (theirs + floor).log()).abs().mean())
        convergence.append((ours - theirs).norm() / theirs.norm().clamp_min(1e-3))
    return {"log_magnitude": torch.stack(log_magnitude).mean(), "convergence": torch.stack(convergence).mean()}
