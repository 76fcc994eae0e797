"""The last decibels of an envelope: a fader that follows it, as a mixer's hand would. Ours, not the paper's."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ...features.envelope import ENVELOPE_RATE, frame_rms

NOISE_FLOOR = 0.003


def ride_fader(waveform: Tensor, envelope: Tensor, sample_rate: float, limit_db: float) -> Tensor:
    """Bring the loudness of waveform (B, N) to the envelope (M,) or (B, M), linear RMS at 100 Hz, by a gain that stays
    within +-limit_db and moves 100 times a second. Silence after the envelope's end. Levels far below 0.003 are left
    to each other: the gain follows sounds, not noise.
    """
    loudness = frame_rms(waveform, sample_rate, ENVELOPE_RATE)
    asked = envelope[..., :loudness.shape[-1]].to(loudness)
    asked = functional.pad(asked, (0, loudness.shape[-1] - asked.shape[-1])).expand_as(loudness)
    limit = 10 ** (limit_db / 20)
    gain = ((asked + NOISE_FLOOR) / (loudness + NOISE_FLOOR)).clamp(1 / limit, limit)
    position = torch.arange(waveform.shape[-1], device=waveform.device) * (ENVELOPE_RATE / sample_rate)
    before = position.long().clamp(max=gain.shape[-1] - 1)
    after = (before + 1).clamp(max=gain.shape[-1] - 1)
    return waveform * torch.lerp(gain[:, before], gain[:, after], (position - before).clamp(0, 1).to(gain))
