"""The last decibels of an envelope: a fader that follows it, as a mixer's hand would. Ours, not the paper's."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ...features.envelope import ENVELOPE_RATE, frame_rms

NOISE_FLOOR = 0.003
BLOCK = 1000  # envelope values worked on at a time: memory does not grow with the length
MARGIN = 4  # values on either side whose windows a block needs


def ride_fader(waveform: Tensor, envelope: Tensor, sample_rate: float, limit_db: float) -> Tensor:
    """Bring the loudness of waveform (B, N) to the envelope (M,) or (B, M), linear RMS at 100 Hz, by a gain that stays
    within +-limit_db and moves 100 times a second. Silence after the envelope's end. Levels far below 0.003 are left
    to each other: the gain follows sounds, not noise.
    """
    num_values = round(waveform.shape[-1] / sample_rate * ENVELOPE_RATE)
    if num_values == 0:  # under 5 ms
        return waveform
    asked = envelope[..., :num_values].to(waveform)
    asked = functional.pad(asked, (0, num_values - asked.shape[-1])).expand(len(waveform), -1)
    gain = _gains(_loudness(waveform, sample_rate, num_values), asked, limit_db)
    result = torch.empty_like(waveform)
    step = round(BLOCK * sample_rate / ENVELOPE_RATE)
    for start in range(0, waveform.shape[-1], step):
        part = waveform[:, start:start + step]
        position = (start + torch.arange(part.shape[-1], device=part.device)) * (ENVELOPE_RATE / sample_rate)
        before = position.long().clamp(max=num_values - 1)
        after = (before + 1).clamp(max=num_values - 1)
        share = (position - before).clamp(0, 1).to(gain)
        result[:, start:start + step] = part * torch.lerp(gain[:, before], gain[:, after], share)
    return result


def _gains(loudness: Tensor, asked: Tensor, limit_db: float) -> Tensor:
    limit = 10 ** (limit_db / 20)
    return ((asked + NOISE_FLOOR) / (loudness + NOISE_FLOOR)).clamp(1 / limit, limit)


def _loudness(waveform: Tensor, sample_rate: float, num_values: int) -> Tensor:
    """`frame_rms` of (B, N), block by block with margins, (B, num_values)."""
    hop = sample_rate / ENVELOPE_RATE
    if hop != int(hop):  # the blocks would not begin on samples
        return frame_rms(waveform, sample_rate, ENVELOPE_RATE)
    pieces = []
    for start in range(0, num_values, BLOCK):
        left, stop = max(start - MARGIN, 0), min(start + BLOCK, num_values)
        last = stop == num_values
        part = waveform[:, round(left * hop):None if last else round((stop + MARGIN) * hop)]
        pieces.append(frame_rms(part, sample_rate, ENVELOPE_RATE)[:, start - left:stop - left])
    return torch.cat(pieces, dim=1)
