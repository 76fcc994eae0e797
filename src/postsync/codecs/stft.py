"""Short-time spectra: distances between those of two waveforms, for training vocoders and for measuring them, and
Griffin-Lim, the baseline that a vocoder must beat (mel energies inverted by NNLS, phases found by iteration).

Fast Griffin-Lim with momentum: Perraudin, Balazs, Sondergaard, "A fast Griffin-Lim algorithm", WASPAA 2013, section 3;
the acceleration enters as in librosa's and torchaudio's `griffinlim` (momentum / (1 + momentum)).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..features.spectrogram import SpectrogramConfig, mel_filters

RESOLUTIONS = (512, 1024, 2048)
FLOOR = 1e-5
MEL_RESOLUTIONS = ((128, 8), (256, 16), (512, 32), (2048, 64))  # (n_fft, bands)


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


def mel_distance(estimate: Tensor, target: Tensor, floor: float = FLOOR) -> Tensor:
    """Mean L1 between log-mels at four resolutions, from 8 bands of 8 ms to 64 of 128 ms; (B, N) twice -> scalar.

    Bands pool bins, and the randomness of noise with them, so that a made noise need not be the same noise.
    """
    distances = []
    for n_fft, bands in MEL_RESOLUTIONS:
        filters = mel_filters(SpectrogramConfig(n_fft=n_fft, num_mel_bins=bands)).to(target)
        ours, theirs = (filters @ magnitude_stft(x, n_fft) for x in (estimate, target))
        distances.append(((ours + floor).log() - (theirs + floor).log()).abs().mean())
    return torch.stack(distances).mean()


def invert_mel(mel: Tensor, filterbank: Tensor, num_iterations: int = 200) -> Tensor:
    """Non-negative least squares: the magnitudes x >= 0 that minimise |filterbank @ x - mel|^2, frame by frame.

    `mel` (B, T, M) linear, `filterbank` (M, F) -> (B, T, F). Starts from the clipped pseudo-inverse and goes on with
    accelerated projected gradient (FISTA), since there are fewer mels than bins and the smooth solution is wanted.
    """
    gram = filterbank.T @ filterbank
    step = 1.0 / torch.linalg.matrix_norm(filterbank, ord=2).square()
    target = mel @ filterbank
    estimate = (mel @ torch.linalg.pinv(filterbank).T).clamp_min(0)
    ahead, pace = estimate, 1.0
    for _ in range(num_iterations):
        previous = estimate
        estimate = (ahead - step * (ahead @ gram - target)).clamp_min(0)
        pace_next = (1 + (1 + 4 * pace * pace) ** 0.5) / 2
        ahead = estimate + (pace - 1) / pace_next * (estimate - previous)
        pace = pace_next
    return estimate


def griffin_lim(magnitude: Tensor, hop_length: int, num_samples: int, *, num_iterations: int = 60,
                momentum: float = 0.99, generator: torch.Generator | None = None) -> Tensor:
    """Magnitudes (B, F, T), n_fft = 2 (F - 1), centred frames -> waveform (B, num_samples), phases random at first."""
    n_fft = 2 * (magnitude.shape[1] - 1)
    window = torch.hann_window(n_fft, device=magnitude.device)
    phase = torch.rand(magnitude.shape, generator=generator).to(magnitude.device) * 2 * torch.pi
    angles = torch.polar(torch.ones_like(phase), phase)
    rebuilt = torch.zeros_like(angles)
    for _ in range(num_iterations):
        previous = rebuilt
        waveform = torch.istft(magnitude * angles, n_fft, hop_length, window=window, length=num_samples)
        rebuilt = torch.stft(waveform, n_fft, hop_length, window=window, center=True, return_complex=True)
        rebuilt = rebuilt[..., : magnitude.shape[2]]
        angles = rebuilt - momentum / (1 + momentum) * previous
        angles = angles / angles.abs().clamp_min(1e-16)
    return torch.istft(magnitude * angles, n_fft, hop_length, window=window, length=num_samples)
