"""Small spectrogram discriminators: they tell recordings from what a vocoder made, in training only.

Multi-resolution STFT discriminators as in EnCodec (Defossez et al., 2022, section 3.4) and Vocos (Siuzdak, ICLR 2024,
section 3.4), with the hinge loss; log-magnitudes instead of complex spectra, so that quiet bins count too.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .stft import magnitude_stft

FLOOR = 1e-4  # of magnitudes
SLOPE = 0.2


class SpectrogramDiscriminator(nn.Module):
    """Waveform (B, N) -> scores (B, 1, frames, bins) and the features of each layer.

    It sees log-magnitudes, and the same less their local mean: what is left is the grain by which noise and tones
    differ, whatever their level.
    """

    def __init__(self, n_fft: int, channels: int = 16, dilations: Sequence[int] = (1, 2, 4)) -> None:
        super().__init__()
        self.n_fft = n_fft
        layers = [nn.Conv2d(2, channels, (3, 9), stride=(1, 2), padding=(1, 4))]
        layers += [nn.Conv2d(channels, channels, (3, 9), stride=(1, 2), dilation=(d, 1), padding=(d, 4))
                   for d in dilations]
        self.layers = nn.ModuleList(layers)
        self.score = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, waveform: Tensor) -> tuple[Tensor, list[Tensor]]:
        log_magnitude = (magnitude_stft(waveform, self.n_fft) + FLOOR).log().transpose(1, 2)[:, None]
        mean = functional.avg_pool2d(log_magnitude, (5, 9), stride=1, padding=(2, 4), count_include_pad=False)
        x = torch.cat([log_magnitude / 4, log_magnitude - mean], dim=1)
        features = []
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), SLOPE)
            features.append(x)
        return self.score(x), features


class Discriminators(nn.ModuleList):
    """One discriminator a resolution; calling it gives the scores and the features of all."""

    def __init__(self, resolutions: Sequence[int] = (256, 512, 1024), channels: int = 16) -> None:
        super().__init__(SpectrogramDiscriminator(n_fft, channels) for n_fft in resolutions)

    def forward(self, waveform: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """(B, N) -> the scores of each resolution, the features of all layers of all."""
        scores, features = [], []
        for discriminator in self:
            score, layers = discriminator(waveform)
            scores.append(score)
            features += layers
        return scores, features


def hinge_loss(real: Sequence[Tensor], made: Sequence[Tensor]) -> Tensor:
    """What the discriminators minimise: scores above 1 for recordings, below -1 for what was made."""
    return torch.stack([functional.relu(1 - r).mean() + functional.relu(1 + m).mean()
                        for r, m in zip(real, made, strict=True)]).mean()


def feature_distance(real: Sequence[Tensor], made: Sequence[Tensor]) -> Tensor:
    """Mean L1 between the features of two waveforms, each layer relative to its mean size."""
    return torch.stack([functional.l1_loss(m, r.detach()) / r.detach().abs().mean().clamp_min(1e-3)
                        for r, m in zip(real, made, strict=True)]).mean()
