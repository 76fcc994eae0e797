"""Onset picking: when sounds start, from a loudness envelope. Its settings are `OnsetConfig`'s defaults.

Every onset figure in postsync (plots, metrics, demo) is made with it; `librosa_onsets` serves published metrics alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import PostsyncError
from .envelope import ENVELOPE_RATE, frame_rms


@dataclass(frozen=True)
class OnsetConfig:
    """Settings of the picker, for a centred RMS envelope with a window of 40 ms."""

    rise_s: float = 0.03  # the rise of log loudness is taken over this time
    threshold: float = 0.5  # smallest rise that counts, in nepers (4.3 dB)
    relative_floor: float = 0.05  # of the loudest value: quieter levels cannot rise much (-26 dB)
    absolute_floor: float = 1e-4  # the same, for almost silent clips (-80 dB full scale)
    start_level: float = 0.25  # of the loudest value: assumed before the clip, so that only a loud start is an onset
    min_distance_s: float = 0.06  # of two onsets closer than this the steeper is kept
    search_s: float = 0.05  # how far from the steepest point the foot and the top of a rise are searched
    fraction: float = 0.1  # the onset is read where power has risen by this share from foot to top ...
    delay_s: float = 0.018  # ... plus this: half the window, less the time a step takes to rise by `fraction`


def loudness_rise(envelope: Tensor, rate: float = ENVELOPE_RATE, config: OnsetConfig | None = None) -> Tensor:
    """How fast loudness rises, in nepers over `rise_s`, never negative: envelope (..., M) -> (..., M)."""
    config = config or OnsetConfig()
    lag = max(1, round(config.rise_s * rate))
    loudest = envelope.amax(-1, keepdim=True)
    before = (config.start_level * loudest).expand(*envelope.shape[:-1], lag - lag // 2)
    padded = torch.cat([before, envelope.clamp_min(0)], dim=-1)
    padded = torch.cat([padded, padded[..., -1:].expand(*envelope.shape[:-1], lag // 2)], dim=-1)
    level = (padded + (config.relative_floor * loudest).clamp_min(config.absolute_floor)).log()
    return (level[..., lag:] - level[..., :-lag]).clamp_min(0)


def pick_onsets(envelope: Tensor, rate: float = ENVELOPE_RATE, config: OnsetConfig | None = None) -> Tensor:
    """Times (seconds, ascending, float64) at which sounds start in an envelope (M,) of linear RMS at `rate`.

    A clip that begins loud has an onset near 0. Raises ValueError for another shape.
    """
    config = config or OnsetConfig()
    if envelope.dim() != 1:
        raise ValueError(f"envelope has shape {tuple(envelope.shape)}; onsets are picked from one envelope (M,)")
    if envelope.numel() == 0:
        return torch.zeros(0, dtype=torch.float64)
    envelope = envelope.detach().float().cpu()
    rise = loudness_rise(envelope, rate, config).numpy()
    power = envelope.clamp_min(0).double().square().numpy()
    times: list[float] = []
    for peak in _peaks(rise, config.threshold, config.min_distance_s * rate):
        time = _start_of_rise(power, peak, rate, config)
        if not times or time - times[-1] >= config.min_distance_s / 2:
            times.append(time)
    return torch.tensor(times, dtype=torch.float64)


def audio_onsets(waveform: Tensor, sample_rate: float, config: OnsetConfig | None = None) -> Tensor:
    """Onset times (seconds, ascending, float64) of a waveform (N,) or (C, N); channels are summed in power."""
    envelope = frame_rms(waveform.float(), sample_rate)
    if envelope.dim() == 2:
        envelope = envelope.square().mean(0).sqrt()
    return pick_onsets(envelope, ENVELOPE_RATE, config)


def _peaks(rise: np.ndarray, threshold: float, min_distance: float) -> list[int]:
    """Indices of local maxima, chosen steepest first, returned in order of time."""
    padded = np.pad(rise, 1, constant_values=-1.0)
    local = np.flatnonzero((rise >= threshold) & (rise > padded[:-2]) & (rise >= padded[2:]))
    kept: list[int] = []
    for index in local[np.argsort(-rise[local], kind="stable")].tolist():
        if all(abs(index - other) >= min_distance for other in kept):
            kept.append(index)
    return sorted(kept)


def _start_of_rise(power: np.ndarray, peak: int, rate: float, config: OnsetConfig) -> float:
    reach = max(1, round(config.search_s * rate))
    # index 0 of the padded power is the silence before the clip
    power = np.concatenate([[0.0], power])
    peak += 1
    first = max(0, peak - reach)
    top = peak + int(power[peak : peak + reach + 1].argmax())
    foot = top - int(power[first : top + 1][::-1].argmin())
    level = power[foot] + config.fraction * (power[top] - power[foot])
    above = foot + 1 + int((power[foot + 1 : top + 1] >= level).argmax()) if top > foot else top
    span = power[above] - power[above - 1] if above > 0 else 0.0
    part = (level - power[above - 1]) / span if span > 0 else 1.0
    return max(0.0, (above - 2 + part) / rate + config.delay_s)


def librosa_onsets(waveform: Tensor, sample_rate: int, delta: float | None = None) -> Tensor:
    """Onset times (seconds, ascending, float64) of a mono waveform (N,) as `librosa.onset.onset_detect` finds them.

    For published metrics only: hop 512, and a clip's onset strength is normalised, so noise has onsets too. `delta` is
    librosa's threshold (default 0.07; CondFoleyGen 0.3); AV-Align and CondFoleyGen work at 22050 Hz. Raises
    PostsyncError without librosa, ValueError for another shape and for values that are not finite.
    """
    try:
        import librosa
    except ImportError as error:
        raise PostsyncError("these onsets are librosa's: pip install 'postsync[eval]'") from error
    if waveform.dim() != 1 or len(waveform) == 0 or not torch.isfinite(waveform).all():
        raise ValueError(f"waveform of {tuple(waveform.shape)}; give finite mono samples (N,)")
    threshold: dict[str, Any] = {} if delta is None else {"delta": delta}
    samples = waveform.detach().cpu().float().numpy()
    times = librosa.onset.onset_detect(y=samples, sr=sample_rate, units="time", **threshold)
    return torch.as_tensor(np.asarray(times), dtype=torch.float64)
