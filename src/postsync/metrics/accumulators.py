"""Common bases of the metrics. `compute` of each torchmetrics class and `postsync.evaluation` both use its `value`.

`ClipSums`: `value` is a function of sums over clips. `terms` is what one clip adds; the bootstrap of the evaluation
keeps the terms of each clip and sums them again for every resample. `PooledRows`: `value` compares the rows of whole
sets, which the bootstrap pools again.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class ClipSums(Metric):
    """A metric that is a function of sums over clips; a subclass defines `num_terms`, `terms` and `value`."""

    is_differentiable = False
    full_state_update = False
    num_terms: ClassVar[int]
    sums: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("sums", default=torch.zeros(self.num_terms, dtype=torch.float64), dist_reduce_fx="sum")

    def terms(self, *args: Any, **kwargs: Any) -> Tensor:
        """The terms of one or several clips, (num_terms,); its arguments are those of `update`."""
        raise NotImplementedError(f"{type(self).__name__} does not define the terms of a clip")

    def value(self, sums: Tensor) -> Tensor:
        """The figure of sums (..., num_terms), (...) float64; NaN if undefined."""
        raise NotImplementedError(f"{type(self).__name__} does not define its value from the sums")

    def defined(self, terms: Tensor) -> bool:
        """Whether every clip behind these terms (num_terms,) has a defined value."""
        return bool(terms.isfinite().all())

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Add one or several clips; arguments of `terms`."""
        self.sums += self.terms(*args, **kwargs).to(self.sums)

    def compute(self) -> Tensor:
        """The figure of all clips, a float64 scalar; NaN if undefined."""
        return self.value(self.sums)


class ClipMean(ClipSums):
    """Mean of one value a clip; a clip without a value (NaN, where a definition divides by 0) is counted separately.

    A subclass defines `values`.
    """

    num_terms = 3  # sum of the values, their number, and the number of clips without a value

    def values(self, *args: Any, **kwargs: Any) -> Tensor | float:
        """The values of one or several clips, of any shape; its arguments are those of `update`."""
        raise NotImplementedError(f"{type(self).__name__} does not define a clip's value")

    def terms(self, *args: Any, **kwargs: Any) -> Tensor:
        """(sum of the values, number of values, number of clips without one), (3,) float64."""
        values = torch.as_tensor(self.values(*args, **kwargs), dtype=torch.float64)
        defined = ~values.isnan()
        return torch.stack([values[defined].sum(), defined.sum().double(), (~defined).sum().double()])

    def value(self, sums: Tensor) -> Tensor:
        """Mean over the clips that have a value; NaN if none has."""
        return sums[..., 0] / sums[..., 1]

    def defined(self, terms: Tensor) -> bool:
        """Whether every clip behind these terms (3,) has a defined value."""
        return super().defined(terms) and not terms[2]

    @property
    def count(self) -> int:
        """Values so far."""
        return int(self.sums[1])

    @property
    def num_undefined(self) -> int:
        """Clips without a value so far."""
        return int(self.sums[2])


class PooledRows(Metric):
    """A metric of whole sets of rows, the generated one and, with `two_sides`, the real one; a subclass defines `value`
    and `update`.
    """

    is_differentiable = False
    full_state_update = False
    two_sides: ClassVar[bool] = True
    resampled: ClassVar[bool] = True  # whether a bootstrap may repeat rows
    generated: list[Tensor]
    real: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        for side in self._sides():
            self.add_state(side, default=[], dist_reduce_fx="cat")

    def value(self, *args: Any, **kwargs: Any) -> Tensor:
        """The figure of all rows (n, D), generated and, with `two_sides`, real: float64 scalar; NaN for too few."""
        raise NotImplementedError(f"{type(self).__name__} does not define how sets are compared")

    def compute(self) -> Tensor:
        """`value` of all rows that were added; NaN where a side has none."""
        sides = [getattr(self, side) for side in self._sides()]
        return self.value(*map(dim_zero_cat, sides)) if all(map(len, sides)) else self.undefined()

    def undefined(self) -> Tensor:
        """NaN, the figure of too few rows."""
        return torch.tensor(float("nan"), dtype=torch.float64, device=self.device)

    def _sides(self) -> tuple[str, ...]:
        return ("generated", "real") if self.two_sides else ("generated",)


def finite_rows(rows: Tensor, what: str) -> Tensor:
    """The rows (..., D) in float64. Raises ValueError for values that are not finite: the caller must drop such
    clips."""
    if not torch.isfinite(rows).all():
        raise ValueError(f"{what} hold values that are not finite; drop the clips they come from")
    return rows.double()
