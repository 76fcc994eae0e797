"""Griffin-Lim: the baseline that a vocoder has to beat. Mel energies are inverted by NNLS, phases found by iteration.

Fast Griffin-Lim with momentum: Perraudin, Balazs, Sondergaard, "A fast Griffin-Lim algorithm", WASPAA 2013, section 3;
the acceleration enters as in librosa's and torchaudio's `griffinlim` (momentum / (1 + momentum)).
"""

from __future__ import annotations

import torch
from torch import Tensor


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
