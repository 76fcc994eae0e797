"""Agreement of two envelopes: Pearson correlation at zero lag, the lag at which they agree best, and loudness classes.

Both are centred linear RMS at 100 Hz (`features.envelope.frame_rms`) unless a rate is named.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..features.envelope import ENVELOPE_RATE
from .mean import ClipMean

MAX_LAG_S = 0.5


def envelope_correlation(estimate: Tensor, target: Tensor) -> Tensor:
    """Pearson correlation at zero lag of envelopes (..., M): (...), -1..1, float64; 0 where one of them is constant.

    Raises ValueError for shapes that differ.
    """
    if estimate.shape != target.shape:
        raise ValueError(f"envelopes of {tuple(estimate.shape)} and {tuple(target.shape)}; bring both to one length")
    estimate, target = estimate.double(), target.double()
    first = estimate - estimate.mean(-1, keepdim=True)
    second = target - target.mean(-1, keepdim=True)
    # rounding leaves about 1e-16 of a constant's level behind
    constant = (first.abs().amax(-1) <= 1e-9 * estimate.abs().amax(-1)) | (
        second.abs().amax(-1) <= 1e-9 * target.abs().amax(-1))
    norm = first.norm(dim=-1) * second.norm(dim=-1)
    return torch.where(constant, 0.0, (first * second).sum(-1) / torch.where(constant, 1.0, norm)).clamp(-1, 1)


def envelope_lag_ms(estimate: Tensor, target: Tensor, rate: float = ENVELOPE_RATE,
                    max_lag_s: float = MAX_LAG_S) -> Tensor:
    """Lag in ms, (...), at which envelopes (..., M) correlate best over what overlaps; positive: the estimate is late.

    Of equal correlations the smallest lag counts. Lags that leave less than half of the envelope are not tried.
    """
    length = estimate.shape[-1]
    reach = min(round(max_lag_s * rate), length // 2)
    lags = sorted(range(-reach, reach + 1), key=abs)
    values = [envelope_correlation(estimate[..., max(lag, 0) : length + min(lag, 0)],
                                   target[..., max(-lag, 0) : length - max(lag, 0)]) for lag in lags]
    best = torch.stack(values).argmax(0)
    return torch.tensor(lags, dtype=torch.float64, device=best.device)[best] * 1000 / rate


def class_accuracy(logits: Tensor, classes: Tensor, tolerance: int = 0) -> Tensor:
    """Share of the frames of each clip, (B,) float64, whose likeliest loudness class is within `tolerance` of the true.

    Logits (B, M, classes) and classes (B, M) of `features.mu_law`; classes beyond the range count as its last
    (envelope_from_video.md section 8: 2, 5 and 8 besides 0).
    """
    if logits.shape[:-1] != classes.shape or classes.dim() != 2:
        raise ValueError(f"logits of {tuple(logits.shape)} and classes of {tuple(classes.shape)}; give (B, M, C) and "
                         "(B, M)")
    distance = (logits.argmax(-1) - classes.clamp(0, logits.shape[-1] - 1)).abs()
    return (distance <= tolerance).double().mean(-1)


class EnvelopeCorrelation(ClipMean):
    """Pearson correlation at zero lag, averaged over clips."""

    higher_is_better = True

    def update(self, estimate: Tensor, target: Tensor) -> None:
        """Add a clip (M,) or a batch (B, M)."""
        self.add_values(envelope_correlation(estimate, target))


class EnvelopeLag(ClipMean):
    """Lag of best correlation in ms, averaged over clips; positive: the estimate is late. The best value is 0."""

    higher_is_better = None

    def __init__(self, rate: float = ENVELOPE_RATE, max_lag_s: float = MAX_LAG_S) -> None:
        super().__init__()
        self.rate, self.max_lag_s = rate, max_lag_s

    def update(self, estimate: Tensor, target: Tensor) -> None:
        """Add a clip (M,) or a batch (B, M)."""
        self.add_values(envelope_lag_ms(estimate, target, self.rate, self.max_lag_s))


class ClassAccuracy(ClipMean):
    """Share of frames within `tolerance` loudness classes of the true one, averaged over clips."""

    higher_is_better = True

    def __init__(self, tolerance: int = 0) -> None:
        super().__init__()
        self.tolerance = tolerance

    def update(self, logits: Tensor, classes: Tensor) -> None:
        """Add logits (B, M, C) and classes (B, M)."""
        self.add_values(class_accuracy(logits, classes, self.tolerance))
