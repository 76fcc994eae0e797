"""Loudness over time: linear RMS in 0..1, and the recipes published systems were trained on.

A network only works with envelopes of the recipe it was trained on: `causal_window` lags by up to 227 ms, the others do
not. `frame_rms` is postsync's own (centred, 100 Hz, value m belongs to time m / 100).
Sources: foleygram.md section 4, envelope_from_video.md sections 2 and 6.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import ConditionError, PostsyncError

ENVELOPE_RATE = 100.0
CENTRED = "centred_rms_40ms"  # `frame_rms`
CAUSAL = "causal_window"  # `causal_window`, at audio rate


@dataclass(frozen=True)
class Envelope:
    """Loudness over time: `values` (M,) or (B, M), linear RMS in 0..1, value m at m / `rate` seconds, by `recipe`.

    `estimated`: a coarse estimate, which may be followed loosely; otherwise it is followed exactly. `hits_s` (K,):
    times of hits, ascending, at which the sound is to rise at once. Raises ConditionError for another shape and for
    values outside 0..1.
    """

    values: Tensor
    rate: float = ENVELOPE_RATE
    recipe: str = CENTRED
    estimated: bool = False
    hits_s: Tensor | None = None

    def __post_init__(self) -> None:
        values = self.values
        if values.dim() not in (1, 2) or not bool(((values >= 0) & (values <= 1)).all()):
            raise ConditionError("an envelope is (M,) or (B, M) linear RMS in 0..1; this one has shape "
                                 f"{tuple(values.shape)} or values outside; divide it by its peak.")
        if not self.rate > 0:
            raise ConditionError(f"an envelope's rate is above 0 Hz, not {self.rate}.")

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.values.shape[-1] / self.rate


def frame_rms(waveform: Tensor, sample_rate: float, rate: float = ENVELOPE_RATE, window_s: float = 0.04) -> Tensor:
    """Centred RMS of a waveform (..., N): (..., M) with M = round(N / sample_rate * rate), value m at m / rate seconds.

    At the ends the mean is taken over the part of the window that lies inside. Differentiable (the gradient at digital
    silence is 0).
    """
    num_samples = waveform.shape[-1]
    num_values = round(num_samples / sample_rate * rate)
    centres = torch.arange(num_values, dtype=torch.float64) * (sample_rate / rate)
    half = window_s * sample_rate / 2
    start = (centres - half).round().long().clamp(0, max(num_samples - 1, 0))
    end = torch.maximum((centres + half).round().long().clamp(0, num_samples), start + 1)
    total = _running_sum(waveform.square())
    start, end = start.to(total.device), end.to(total.device)
    mean = (total[..., end] - total[..., start]) / (end - start)
    return _safe_sqrt(mean).to(waveform.dtype)


def causal_window(waveform: Tensor, window: int = 10000, smoothing: int = 2000) -> Tensor:
    """Stable-Foley's envelope at audio rate, (..., N) -> (..., N).

    RMS over the last `window` samples (zeros before the start), then the mean of `smoothing` values around each sample
    (riccardofosco95/Stable-Video2Audio main/module_controlnet.py).
    """
    return _smooth(trailing_rms(waveform, window), smoothing)


def trailing_rms(waveform: Tensor, window: int = 10000) -> Tensor:
    """RMS over the last `window` samples with zero history, (..., N) -> (..., N)."""
    return _trailing_root_mean(waveform.square(), window).to(waveform.dtype)


def to_causal_window(envelope: Tensor, rate: float, num_samples: int, sample_rate: float = 44100.0,
                     window: int = 10000, smoothing: int = 2000) -> Tensor:
    """Re-synthesise the `causal_window` recipe from an envelope without lag: (..., M) at `rate` -> (..., num_samples).

    The envelope is taken as the local RMS of a virtual signal (envelope_from_video.md section 6).
    """
    times = torch.arange(num_samples, dtype=torch.float64) / sample_rate
    power = resample_linear(envelope.clamp_min(0).square(), times * rate)
    return _smooth(_trailing_root_mean(power, window), smoothing).to(envelope.dtype)


def librosa_rms(waveform: Tensor, frame_length: int = 2048, hop_length: int = 512,
                pad_mode: str = "constant") -> Tensor:
    """Centred frame RMS as librosa.feature.rms, (..., N) -> (..., 1 + N // hop_length).

    `pad_mode` is "constant" (zeros, librosa's default) or "reflect".
    """
    padding = frame_length // 2
    return _frame_rms(_pad(waveform, padding, pad_mode), frame_length, hop_length)


def videofoley_rms(waveform: Tensor, frame_length: int = 512, hop_length: int = 128) -> Tensor:
    """Video-Foley's RMS, (..., N) -> (..., N // hop_length): reflect-padded by (frame - hop) / 2, then whole frames.

    125 Hz at 16 kHz (jnwnlee/video-foley data_utils.py).
    """
    return _frame_rms(_pad(waveform, (frame_length - hop_length) // 2, "reflect"), frame_length, hop_length)


def videofoley_low_pass(rms: Tensor) -> Tensor:
    """Video-Foley's zero-phase elliptic low-pass (order 4, 0.01 dB, 120 dB, 0.125 of Nyquist), (..., M) -> (..., M).

    May be slightly negative. Not differentiable. Raises PostsyncError without scipy.
    """
    try:
        from scipy.signal import ellip, filtfilt
    except ImportError as error:
        raise PostsyncError("Video-Foley's low-pass needs scipy: pip install 'postsync[eval]'") from error
    numerator, denominator = ellip(4, 0.01, 120, 0.125)
    smooth = filtfilt(numerator, denominator, rms.detach().cpu().double().numpy(), method="gust")
    return torch.from_numpy(smooth.copy()).to(rms)


def resample_linear(envelope: Tensor, positions: Tensor) -> Tensor:
    """Linear interpolation of an envelope (..., M) at fractional indices (P,), held beyond the ends: (..., P)."""
    last = envelope.shape[-1] - 1
    positions = positions.to(envelope.device).clamp(0, last)
    left = positions.floor().long()
    right = (left + 1).clamp_max(last)
    return torch.lerp(envelope[..., left], envelope[..., right], (positions - left).to(envelope.dtype))


def _running_sum(values: Tensor) -> Tensor:
    """Cumulative sum in float64 with a leading zero, (..., N) -> (..., N + 1)."""
    return F.pad(values.double().cumsum(-1), (1, 0))


def _safe_sqrt(values: Tensor) -> Tensor:
    """Square root whose gradient at 0 is 0 instead of infinite; rounding below 0 counts as 0."""
    positive = values > 0
    return torch.where(positive, torch.where(positive, values, 1.0).sqrt(), 0.0)


def _trailing_root_mean(power: Tensor, window: int) -> Tensor:
    total = _running_sum(power)
    earlier = F.pad(total[..., :-1], (window - 1, 0))[..., : power.shape[-1]]
    return _safe_sqrt((total[..., 1:] - earlier) / window)


def _smooth(values: Tensor, length: int) -> Tensor:
    """Mean of values[n - length / 2 .. n + length / 2 - 1], zeros outside."""
    total = _running_sum(values)
    index = torch.arange(values.shape[-1], device=values.device)
    end = (index + length - length // 2).clamp_max(values.shape[-1])
    return ((total[..., end] - total[..., (index - length // 2).clamp_min(0)]) / length).to(values.dtype)


def _pad(waveform: Tensor, padding: int, mode: str) -> Tensor:
    if mode == "reflect" and waveform.shape[-1] <= padding:
        raise ValueError(f"waveform has {waveform.shape[-1]} samples; mirroring its ends needs more than {padding}")
    batch = waveform.reshape(1, -1, waveform.shape[-1])
    return F.pad(batch, (padding, padding), mode=mode).reshape(*waveform.shape[:-1], -1)


def _frame_rms(padded: Tensor, frame_length: int, hop_length: int) -> Tensor:
    return _safe_sqrt(padded.unfold(-1, frame_length, hop_length).square().mean(-1))
