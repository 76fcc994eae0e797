"""Multi-resolution log-STFT distance between two waveforms: how far a codec's output is from the original."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from ..codecs.stft import FLOOR, RESOLUTIONS, log_stft_distance


class LogSTFTDistance(Metric):
    """Average of `log_stft_distance` over all clips seen; smaller is better."""

    higher_is_better = False
    is_differentiable = True
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, resolutions: tuple[int, ...] = RESOLUTIONS, floor: float = FLOOR) -> None:
        super().__init__()
        self.resolutions, self.floor = resolutions, floor
        self.add_state("total", default=torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, estimate: Tensor, target: Tensor) -> None:
        """Add a batch of (B, N) waveforms."""
        self.total = self.total + log_stft_distance(estimate, target, self.resolutions, self.floor).sum().double()
        self.count = self.count + len(estimate)

    def compute(self) -> Tensor:
        """Mean distance over the clips, a scalar; NaN before the first update."""
        return self.total / self.count
