"""The mean of one value a clip: the base of every metric that is an average over clips."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric


class ClipMean(Metric):
    """Mean over clips; a clip without a value (NaN, where a definition divides by nothing) is counted apart."""

    is_differentiable = False
    full_state_update = False
    total: Tensor
    count: Tensor
    num_undefined: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", default=torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", default=torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("num_undefined", default=torch.tensor(0), dist_reduce_fx="sum")

    def add_values(self, values: Tensor | float) -> None:
        """Add the values of clips, of any shape; for the `update` of a metric."""
        values = torch.as_tensor(values, dtype=torch.float64, device=self.total.device)
        defined = ~values.isnan()
        self.total += values[defined].sum()
        self.count += defined.sum()
        self.num_undefined += (~defined).sum()

    def compute(self) -> Tensor:
        """Mean over the clips that have a value, a float64 scalar; NaN where none has."""
        return self.total / self.count


def finite_rows(rows: Tensor, what: str) -> Tensor:
    """The rows (..., D) in float64. Raises ValueError where a value is not finite: such clips are for the caller."""
    if not torch.isfinite(rows).all():
        raise ValueError(f"{what} hold values that are not finite; leave out the clips they come from")
    return rows.double()
