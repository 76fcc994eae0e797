"""Frechet distance between two sets of features, as squared 2-Wasserstein distance of their Gaussians.

float64 throughout and without a matrix square root: tr((S_x S_y)^(1/2)) is the sum of the square roots of the
eigenvalues of R S_y R with R = S_x^(1/2), or of the singular values of the cross matrix where there are fewer rows than
features (metrics.md section 1). ddof is 1 for audio and 0 for FVD.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

_TOLERATED = 1e-6  # a negative distance of up to this share of both traces is rounding


def frechet_distance(features: Tensor, reference: Tensor, ddof: int = 1) -> Tensor:
    """Distance of feature rows (n, D) and (m, D), a float64 scalar >= 0.

    Raises ValueError for other shapes, for fewer than 2 rows, and for values that are not finite.
    """
    if features.dim() != 2 or reference.dim() != 2 or features.shape[1] != reference.shape[1]:
        raise ValueError(f"features of {tuple(features.shape)} and {tuple(reference.shape)}; give (n, D) and (m, D)")
    first, second = _checked(features), _checked(reference)
    first_mean, second_mean = first.mean(0), second.mean(0)
    first = (first - first_mean) / (len(first) - ddof) ** 0.5
    second = (second - second_mean) / (len(second) - ddof) ** 0.5
    if min(len(first), len(second)) < first.shape[1]:
        cross = torch.linalg.svdvals(first @ second.T).sum()
    else:
        cross = _trace_of_root(first.T @ first, second.T @ second)
    return _distance(first_mean, second_mean, first.square().sum(), second.square().sum(), cross)


def frechet_from_statistics(mean: Tensor, covariance: Tensor, reference_mean: Tensor,
                            reference_covariance: Tensor) -> Tensor:
    """Distance of two Gaussians given by means (D,) and covariances (D, D), a float64 scalar >= 0."""
    covariance, reference_covariance = covariance.double(), reference_covariance.double()
    cross = _trace_of_root(covariance, reference_covariance)
    return _distance(mean.double(), reference_mean.double(), covariance.trace(), reference_covariance.trace(), cross)


def _checked(rows: Tensor) -> Tensor:
    if len(rows) < 2:
        raise ValueError(f"a covariance needs at least 2 rows, there are {len(rows)}")
    if not torch.isfinite(rows).all():
        raise ValueError("features hold values that are not finite; leave out the clips they come from")
    return rows.double()


def _trace_of_root(first: Tensor, second: Tensor) -> Tensor:
    """tr((first second)^(1/2)) of two symmetric positive semi-definite matrices (D, D)."""
    values, vectors = torch.linalg.eigh(first)
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    product = root @ second @ root
    return torch.linalg.eigvalsh((product + product.T) / 2).clamp_min(0).sqrt().sum()


def _distance(mean: Tensor, reference_mean: Tensor, trace: Tensor, reference_trace: Tensor, cross: Tensor) -> Tensor:
    distance = (mean - reference_mean).square().sum() + trace + reference_trace - 2 * cross
    rounding = -_TOLERATED * (trace + reference_trace)
    return distance.clamp_min(0) if distance > rounding else distance


class FrechetDistance(Metric):
    """Streaming Frechet distance: float64 sums of the rows and of their outer products, whatever the number of rows.

    `update(features, real=...)` takes rows (n, num_features) of one side.
    """

    higher_is_better = False
    is_differentiable = False
    full_state_update = False

    def __init__(self, num_features: int, ddof: int = 1) -> None:
        super().__init__()
        self.ddof = ddof
        zero = torch.zeros((), dtype=torch.float64)
        for side in ("real", "generated"):
            self.add_state(f"{side}_count", default=torch.tensor(0), dist_reduce_fx="sum")
            self.add_state(f"{side}_sum", default=zero.expand(num_features).clone(), dist_reduce_fx="sum")
            self.add_state(f"{side}_outer", default=zero.expand(num_features, num_features).clone(),
                           dist_reduce_fx="sum")

    def update(self, features: Tensor, real: bool) -> None:
        """Add rows (n, num_features) of the real or the generated side."""
        side = "real" if real else "generated"
        if not torch.isfinite(features).all():
            raise ValueError("features hold values that are not finite; leave out the clips they come from")
        rows = features.to(getattr(self, f"{side}_sum"))
        setattr(self, f"{side}_count", getattr(self, f"{side}_count") + len(rows))
        setattr(self, f"{side}_sum", getattr(self, f"{side}_sum") + rows.sum(0))
        setattr(self, f"{side}_outer", getattr(self, f"{side}_outer") + rows.T @ rows)

    def compute(self) -> Tensor:
        """Distance of the two sides, a float64 scalar >= 0. Raises ValueError for fewer than 2 rows on a side."""
        return frechet_from_statistics(*self._gaussian("generated"), *self._gaussian("real"))

    def _gaussian(self, side: str) -> tuple[Tensor, Tensor]:
        count = int(getattr(self, f"{side}_count"))
        if count < 2:
            raise ValueError(f"a covariance needs at least 2 rows, there are {count} {side} ones")
        mean = getattr(self, f"{side}_sum") / count
        scatter = getattr(self, f"{side}_outer") - count * torch.outer(mean, mean)
        return mean, scatter / (count - self.ddof)
