"""A Vocos-style vocoder: log-mel -> ConvNeXt blocks at frame rate -> a noise's magnitudes; tones; inverse STFT.

After Siuzdak, "Vocos: Closing the gap between time-domain and Fourier-based neural vocoders", ICLR 2024, section 3.
Called as AudioLDM's `SpeechT5HifiGan` is. It differs in where phases come from. A convolution over steady mels can only
repeat itself every frame, which sounds like a buzz, so none are predicted: what stands out as a tone is made as one
(`tones.py`), and all else is white noise, whose magnitudes start from the interpolated mel energies and are corrected
by the network, so levels (and silence) are right from the first step. The network also gets the deviation of the shaped
noise's mels, so it can compensate the noise's random peaks. The noise is a function of the place in the sound alone, so
that parts fit together and results repeat.
"""

from __future__ import annotations

import math

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional

from ..features.spectrogram import audioldm_log_mel
from .tones import BLOCK, STEADY, Tones

LOUDEST = 2.5  # log-mel of a tone of full scale; latents that are no sound's may decode to more
NOISE_BLOCK = 256  # frames of noise drawn from one seed


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over time, then a pointwise MLP, both residual; (B, C, T) -> (B, C, T)."""

    def __init__(self, channels: int, hidden: int, layer_scale: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.expand = nn.Linear(channels, hidden)
        self.project = nn.Linear(hidden, channels)
        self.scale = nn.Parameter(torch.full((channels,), layer_scale))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).transpose(1, 2))
        y = self.scale * self.project(functional.gelu(self.expand(y)))
        return x + y.transpose(1, 2)


class VocosVocoder(ModelMixin, ConfigMixin):
    """Log-mel (B, T, num_mels), natural logarithm, centred frames -> waveform (B, T * hop_length)."""

    @register_to_config
    def __init__(self, num_mels: int = 64, channels: int = 192, hidden: int = 576, num_layers: int = 6,
                 n_fft: int = 640, hop_length: int = 160, sampling_rate: int = 16000, mel_mean: float = -6.0,
                 mel_std: float = 3.0, mel_n_fft: int = 1024, noise_seed: int = 0) -> None:
        super().__init__()
        self.embed = nn.Conv1d(2 * num_mels, channels, 7, padding=3)
        self.norm_in = nn.LayerNorm(channels, eps=1e-6)
        self.blocks = nn.ModuleList(ConvNeXtBlock(channels, hidden, 1.0 / num_layers) for _ in range(num_layers))
        self.norm_out = nn.LayerNorm(channels, eps=1e-6)
        self.head = nn.Linear(channels, n_fft // 2 + 1)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)
        self.tones = Tones(num_mels, n_fft, hop_length, sampling_rate, mel_n_fft)
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.register_buffer("spread", _mel_to_bins(num_mels, n_fft, sampling_rate), persistent=False)
        # A Slaney filter sums to n_fft / rate, and a noise-like bin grows with the root of the window's length.
        self.level = math.log(sampling_rate / mel_n_fft) + 0.5 * math.log(n_fft / mel_n_fft)

    @property
    def chunk_margin(self) -> int:
        """Mel frames of context that make a chunk of a long clip equal to the whole."""
        return 2 * BLOCK + self.local_margin

    @property
    def local_margin(self) -> int:
        """Mel frames of context without which a part differs by more than the phases of its tones."""
        return max(3 * (len(self.blocks) + 1) + 9, STEADY) + self.config.n_fft // self.config.hop_length

    def forward(self, log_mel: Tensor, first_frame: int = 0) -> Tensor:
        """(B, T, num_mels) -> (B, T * hop_length), or (T, num_mels) -> (T * hop_length,).

        `first_frame` is the place of the first mel frame in the whole sound: a part then gets the noise that it would
        get there.
        """
        if log_mel.ndim == 2:
            return self(log_mel[None], first_frame)[0]
        log_mel = log_mel - (log_mel - LOUDEST).clamp_min(0).detach()  # gradients pass, so that guides can lower it
        log_mel = torch.cat([log_mel, log_mel[:, -1:]], dim=1)  # centred frames 0..T are needed for T hops
        noise = self._noise_spectrum(first_frame, log_mel.shape[1])
        base = log_mel.float() @ self.spread.float() + self.level
        with torch.no_grad():
            miss = log_mel - audioldm_log_mel(self._synthesise(base.exp() * noise))
        normalised = torch.cat([(log_mel - self.config.mel_mean) / self.config.mel_std, miss], dim=-1)
        x = self.norm_in(self.embed(normalised.to(self.dtype).transpose(1, 2)).transpose(1, 2)).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        correction = self.head(self.norm_out(x.transpose(1, 2))).float()
        magnitude = (base + 2.0 * correction).clamp(max=math.log(1e3)).exp()
        tones, left = self.tones(log_mel, first_frame)
        return self._synthesise(tones + left * magnitude * noise)

    def _synthesise(self, spectrum: Tensor) -> Tensor:
        """(B, T + 1, bins) complex -> waveform (B, T * hop_length)."""
        hop_length = self.config.hop_length
        return torch.istft(spectrum.transpose(1, 2), self.config.n_fft, hop_length, window=self.window.float(),
                           length=(spectrum.shape[1] - 1) * hop_length)

    def _noise_spectrum(self, first_frame: int, num_frames: int) -> Tensor:
        """(num_frames, bins) complex STFT of white noise, a root mean square of 1, from frame `first_frame` on."""
        n_fft, hop_length, window = self.config.n_fft, self.config.hop_length, self.window.float()
        lead = n_fft // 2 // hop_length  # centred frames reach this far back; n_fft is a multiple of 2 hops
        noise = _white_noise(first_frame - lead, num_frames - 1 + 2 * lead, hop_length, self.config.noise_seed)
        spectrum = torch.stft(noise.to(window.device), n_fft, hop_length, window=window, center=False,
                              return_complex=True)
        return spectrum.T / window.square().sum().sqrt()


def _white_noise(first_frame: int, num_frames: int, hop_length: int, seed: int) -> Tensor:
    """Gaussian noise (num_frames * hop_length,) that depends on nothing but the place: part of one endless signal."""
    first, last = first_frame // NOISE_BLOCK, (first_frame + num_frames - 1) // NOISE_BLOCK
    blocks = [torch.randn(NOISE_BLOCK, hop_length, generator=torch.Generator().manual_seed((seed + block) % 2**32))
              for block in range(first, last + 1)]
    start = first_frame - first * NOISE_BLOCK
    return torch.cat(blocks)[start : start + num_frames].flatten()


def _mel_to_bins(num_mels: int, n_fft: int, sampling_rate: int) -> Tensor:
    """(num_mels, n_fft // 2 + 1) weights that interpolate mel bands, by their Slaney centres, to linear bins."""
    def to_mel(hertz: Tensor) -> Tensor:
        high = 15 + 27 * torch.log(hertz.clamp_min(1000) / 1000) / math.log(6.4)
        return torch.where(hertz < 1000, hertz * 3 / 200, high)

    top = to_mel(torch.tensor(sampling_rate / 2.0, dtype=torch.float64))
    bins = to_mel(torch.linspace(0, sampling_rate / 2, n_fft // 2 + 1, dtype=torch.float64))
    position = (bins / top * (num_mels + 1) - 1).clamp(0, num_mels - 1)
    distance = (position[None] - torch.arange(num_mels, dtype=torch.float64)[:, None]).abs()
    return (1 - distance).clamp_min(0).float()
