"""Agreement of two envelopes: Pearson correlation at zero lag, and the lag at which they agree best.

Both are centred linear RMS at 100 Hz (`features.envelope.frame_rms`) unless a rate is named.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from ..features.envelope import ENVELOPE_RATE

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


class _ClipMean(Metric):
    """Mean of one value a clip."""

    is_differentiable = False
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", default=torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", default=torch.tensor(0), dist_reduce_fx="sum")

    def _add(self, values: Tensor) -> None:
        self.total += values.sum().to(self.total)
        self.count += values.numel()

    def compute(self) -> Tensor:
        """Mean over the clips, a scalar; NaN before the first update."""
        return self.total / self.count


class EnvelopeCorrelation(_ClipMean):
    """Pearson correlation at zero lag, averaged over clips."""

    higher_is_better = True

    def update(self, estimate: Tensor, target: Tensor) -> None:
        """Add a clip (M,) or a batch (B, M)."""
        self._add(envelope_correlation(estimate, target))


class EnvelopeLag(_ClipMean):
    """Lag of best correlation in ms, averaged over clips; positive: the estimate is late. The best value is 0."""

    higher_is_better = None

    def __init__(self, rate: float = ENVELOPE_RATE, max_lag_s: float = MAX_LAG_S) -> None:
        super().__init__()
        self.rate, self.max_lag_s = rate, max_lag_s

    def update(self, estimate: Tensor, target: Tensor) -> None:
        """Add a clip (M,) or a batch (B, M)."""
        self._add(envelope_lag_ms(estimate, target, self.rate, self.max_lag_s))
