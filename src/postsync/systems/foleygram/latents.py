"""From the codec to the transformer and back: latents as a sequence, and a fader over the decoded sound.

The fader corrects the last decibels of an envelope, like a mixing engineer's; it is ours, not the paper's.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from ...features.envelope import ENVELOPE_RATE, frame_rms

NOISE_FLOOR = 0.003
BLOCK = 1000  # envelope values per block of the fader: memory does not grow with the length
MARGIN = 4  # values on either side whose windows a block needs


class LatentLayout(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Folds (B, channels, T, bins) to (B, channels * bins, T) and back; `bins` None keeps (B, channels, T).

    `mean` and `std` (of every folded channel) are buffers, 0 and 1 until `fit`. Stable Audio's latents need neither.
    """

    mean: Tensor
    std: Tensor

    @register_to_config
    def __init__(self, channels: int = 64, bins: int | None = None) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels * (bins or 1)))
        self.register_buffer("std", torch.ones(channels * (bins or 1)))

    @torch.no_grad()
    def fit(self, latents: Iterable[Tensor]) -> None:
        """Measure mean and standard deviation of every channel over `latents`, each one sample in the codec's form.

        Raises ValueError without samples.
        """
        count, total, squares = 0, torch.zeros_like(self.mean).double(), torch.zeros_like(self.mean).double()
        for sample in latents:
            values = self._sequence(sample[None].double())[0]
            count += values.shape[1]
            total = total + values.sum(1)
            squares = squares + (values**2).sum(1)
        if count == 0:
            raise ValueError("no latents to measure; give `fit` at least one sample")
        mean = total / count
        self.mean.copy_(mean)
        self.std.copy_((squares / count - mean**2).clamp(min=1e-6).sqrt())

    def fold(self, latents: Tensor) -> Tensor:
        """Codec latents -> normalised sequence (B, C, T)."""
        return (self._sequence(latents) - self.mean[:, None]) / self.std[:, None]

    def unfold(self, sequence: Tensor) -> Tensor:
        """Normalised sequence (B, C, T) -> codec latents; differentiable."""
        values = sequence * self.std[:, None] + self.mean[:, None]
        return values if self.config["bins"] is None else rearrange(values, "b (c f) t -> b c t f",
                                                                    f=self.config["bins"])

    def _sequence(self, latents: Tensor) -> Tensor:
        return latents if self.config["bins"] is None else rearrange(latents, "b c t f -> b (c f) t")


def ride_fader(waveform: Tensor, envelope: Tensor, sample_rate: float, limit_db: float) -> Tensor:
    """Bring the loudness of waveform (B, C, N), all channels together, to the envelope (M,) or (B, M), linear RMS at
    100 Hz, by one gain for all channels that stays within +-limit_db and moves 100 times a second. Silence after the
    envelope's end. Levels far below 0.003 are hardly changed: the gain follows sounds, not noise.
    """
    num_values = round(waveform.shape[-1] / sample_rate * ENVELOPE_RATE)
    if num_values == 0:  # under 5 ms
        return waveform
    target = envelope[..., :num_values].to(waveform)
    target = functional.pad(target, (0, num_values - target.shape[-1])).expand(len(waveform), -1)
    gain = _gains(_loudness(waveform, sample_rate, num_values), target, limit_db)
    result = torch.empty_like(waveform)
    step = round(BLOCK * sample_rate / ENVELOPE_RATE)
    for start in range(0, waveform.shape[-1], step):
        part = waveform[..., start:start + step]
        position = (start + torch.arange(part.shape[-1], device=part.device)) * (ENVELOPE_RATE / sample_rate)
        before = position.long().clamp(max=num_values - 1)
        after = (before + 1).clamp(max=num_values - 1)
        share = (position - before).clamp(0, 1).to(gain)
        result[..., start:start + step] = part * torch.lerp(gain[:, before], gain[:, after], share)[:, None]
    return result


def _gains(loudness: Tensor, target: Tensor, limit_db: float) -> Tensor:
    limit = 10 ** (limit_db / 20)
    return ((target + NOISE_FLOOR) / (loudness + NOISE_FLOOR)).clamp(1 / limit, limit)


def _loudness(waveform: Tensor, sample_rate: float, num_values: int) -> Tensor:
    """RMS of (B, C, N) over all channels, as `frame_rms` gives it, block by block with margins: (B, num_values)."""
    hop = sample_rate / ENVELOPE_RATE
    if hop != int(hop):  # blocks would not begin on whole samples
        return _over_channels(frame_rms(waveform, sample_rate, ENVELOPE_RATE))
    pieces = []
    for start in range(0, num_values, BLOCK):
        left, stop = max(start - MARGIN, 0), min(start + BLOCK, num_values)
        last = stop == num_values
        part = waveform[..., round(left * hop):None if last else round((stop + MARGIN) * hop)]
        pieces.append(frame_rms(part, sample_rate, ENVELOPE_RATE)[..., start - left:stop - left])
    return _over_channels(torch.cat(pieces, dim=-1))


def _over_channels(rms: Tensor) -> Tensor:
    """RMS of each channel (B, C, M) -> of all of them (B, M); a single channel without rounding."""
    return rms[:, 0] if rms.shape[1] == 1 else rms.square().mean(1).sqrt()
