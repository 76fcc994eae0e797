"""The tones that a log-mel holds: where they are, how loud, and with which phases, found in one pass.

After Beauregard, Harish and Wyse, "Single pass spectrogram inversion", DSP 2015, section 3: each peak of a frame is a
sinusoid; its phase runs on at its frequency from where it was in the frame before, and the bins around it are locked to
it. Frequencies and amplitudes come from mels instead of bins: of a lone tone between the centres of two triangular
filters the centroid of their energies is the frequency, and their sum the amplitude, but for the
window's side lobes.

A peak counts as a tone as far as it stands out from the bands around it over some frames; peaks of noise do not.

A phase that runs on would depend on all that was before. So all phases begin anew once in every block of frames, at the
quietest frame of the block, where that is heard least; what is farther away than two blocks plays no part.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..features.spectrogram import slaney_edges

BLOCK = 256  # frames
STEADY = 8  # frames to either side over which a tone has to stand out
PROMINENCE_DB = 10.0  # of a peak that is half a tone, half noise
SLOPE_DB = 1.0
DECIBELS = 20 / math.log(10)  # in a natural logarithm


class Tones(nn.Module):
    """Log-mel (B, T, num_mels), Slaney's bands of a Hann window's magnitudes from 0 Hz to half the rate -> the STFT of
    its tones with a Hann window of n_fft (B, T, n_fft // 2 + 1) complex, and the factor in 0..1 that is left to the
    amplitude of noise in each bin, of the same shape. Both are differentiable; phases and frequencies are held fixed.

    `mel_n_fft`: length of the window that the mels were made with.
    """

    edges: Tensor
    band_of_bin: Tensor
    start: Tensor

    def __init__(self, num_mels: int, n_fft: int, hop_length: int, sampling_rate: int, mel_n_fft: int) -> None:
        super().__init__()
        bins = n_fft // 2 + 1
        edges = torch.from_numpy(slaney_edges(num_mels, 0.0, sampling_rate / 2)).float()
        nearest = (torch.arange(bins)[:, None] * (sampling_rate / n_fft) - edges[1:-1]).abs().argmin(dim=1)
        self.turns, self.bin_hz = hop_length / sampling_rate, sampling_rate / n_fft
        self.gain = n_fft / mel_n_fft  # a tone of amplitude A: n_fft A / 4 at its peak, bins of mel_n_fft A / 2 in all
        self.register_buffer("edges", edges, persistent=False)  # in Hz: a band reaches from its left to its right one's
        self.register_buffer("band_of_bin", nearest, persistent=False)
        start = torch.rand(bins, generator=torch.Generator().manual_seed(0))
        self.register_buffer("start", start, persistent=False)

    def forward(self, log_mel: Tensor, first_frame: int = 0) -> tuple[Tensor, Tensor]:
        """`first_frame` is the place of the first frame in the whole sound, by which the blocks are laid."""
        log_mel = log_mel.float()
        energy = log_mel.exp() * (self.edges[2:] - self.edges[:-2]) / 2  # filters of unit area -> of unit height
        peak, hertz = self.peaks(energy.detach())
        bins = self.band_of_bin.expand(*peak.shape[:2], -1)
        peak = peak.gather(2, bins)  # from here on by bin
        hertz = hertz.gather(2, peak)
        evidence = self.evidence(log_mel).gather(2, peak)
        below, above = functional.pad(energy, (1, 0))[..., :-1], functional.pad(energy, (0, 1))[..., 1:]
        amplitude = self.gain * (below + energy + above).gather(2, peak)
        offset = torch.arange(len(self.start), device=hertz.device) - hertz / self.bin_hz
        # The tones' share of the power is sigmoid(evidence); roots of it and of the rest, with finite gradients.
        tonal, noisy = (functional.logsigmoid(x).div(2).exp() for x in (evidence, -evidence))
        magnitude = amplitude * _hann_lobe(offset) * tonal
        return torch.polar(magnitude, self.phases(hertz, energy.detach(), first_frame)), noisy

    def peaks(self, energy: Tensor) -> tuple[Tensor, Tensor]:
        """Energies (B, T, M) -> for each band the band of the peak that it belongs to (uphill from it), and the
        frequency in Hz of a tone there; (B, T, M) both."""
        padded = functional.pad(energy, (1, 1))
        left, here, right = padded[..., :-2], padded[..., 1:-1], padded[..., 2:]
        bands = torch.arange(energy.shape[-1], device=energy.device).expand(energy.shape)
        beside = torch.where(right > left, bands + 1, bands - 1)
        peak = torch.where((here >= left) & (here > right), bands, beside).clamp(0, energy.shape[-1] - 1)
        for _ in range(math.ceil(math.log2(energy.shape[-1]))):
            peak = peak.gather(2, peak)
        centroid = left * self.edges[:-2] + here * self.edges[1:-1] + right * self.edges[2:]
        return peak, centroid / (left + here + right).clamp_min(1e-12)

    @staticmethod
    def evidence(log_mel: Tensor) -> Tensor:
        """(B, T, M) -> (B, T, M), 0 for half a tone: how far each band, over 17 frames, is above the higher of the two
        valleys within two bands on either side."""
        padded = functional.pad(log_mel.mT, (STEADY, STEADY), mode="replicate")
        level = DECIBELS * functional.avg_pool1d(padded, 2 * STEADY + 1, stride=1).mT
        around = functional.pad(level, (2, 2), mode="replicate")
        left = torch.minimum(around[..., :-4], around[..., 1:-3])
        right = torch.minimum(around[..., 3:-1], around[..., 4:])
        return (level - torch.maximum(left, right) - PROMINENCE_DB) / SLOPE_DB

    @torch.no_grad()
    def phases(self, hertz: Tensor, energy: Tensor, first_frame: int) -> Tensor:
        """Frequencies by bin (B, T, bins), energies by band -> phases (B, T, bins) in radians, as a centred STFT with a
        symmetric window has them."""
        centre = (hertz / self.bin_hz).nan_to_num().round().long().clamp_max(len(self.start) - 1)
        advance = self.turns * hertz
        advance = torch.cat([advance[:, :1], (advance[:, 1:] + advance[:, :-1]) / 2], dim=1)
        anew = self.seams(energy, first_frame)[..., None]
        phase, phases = self.start.expand(len(hertz), -1), []
        for frame in range(hertz.shape[1]):
            phase = (phase + advance[:, frame]).frac()
            phase = torch.where(anew[:, frame], self.start, phase).gather(1, centre[:, frame])
            phases.append(phase)
        # A symmetric window's transform, counted from its first sample, changes sign from bin to bin.
        turns = torch.stack(phases, dim=1) + 0.5 * torch.arange(len(self.start), device=hertz.device)
        return 2 * math.pi * turns

    @staticmethod
    def seams(energy: Tensor, first_frame: int) -> Tensor:
        """(B, T, M) -> (B, T) booleans, true at the quietest frame of each block."""
        loudness = energy.sum(dim=-1)
        anew = torch.zeros_like(loudness, dtype=torch.bool)
        for left in range(-(first_frame % BLOCK), energy.shape[1], BLOCK):
            part = slice(max(left, 0), left + BLOCK)
            anew[:, part].scatter_(1, loudness[:, part].argmin(dim=1, keepdim=True), True)
        return anew


def _hann_lobe(offset: Tensor) -> Tensor:
    """A Hann window's transform in its main lobe, 1/2 at its centre, 0 outside; `offset` in bins."""
    lobe = torch.sinc(offset) / 2 + (torch.sinc(offset - 1) + torch.sinc(offset + 1)) / 4
    return torch.where(offset.abs() < 2, lobe, 0.0)
