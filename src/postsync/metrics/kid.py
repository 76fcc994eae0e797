"""Kernel inception distance: the squared maximum mean discrepancy of two feature sets under a cubic kernel.

Unbiased whatever the number of rows, so it is the one to use for a few hundred clips (metrics.md section 6b).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .accumulators import PooledRows, finite_rows


def polynomial_mmd(features: Tensor, reference: Tensor) -> Tensor:
    """Unbiased squared discrepancy of rows (n, D) and (m, D) under (x . y / D + 1)^3, a float64 scalar; may be < 0."""
    first, second = finite_rows(features, "features"), finite_rows(reference, "features")
    within_first, within_second, between = _kernel(first, first), _kernel(second, second), _kernel(first, second)
    return _mean_apart(within_first) + _mean_apart(within_second) - 2 * between.mean()


def kernel_distance(features: Tensor, reference: Tensor, subsets: int = 100, subset_size: int = 1000,
                    seed: int = 2020) -> tuple[Tensor, Tensor]:
    """Mean and population std of the discrepancy over random subsets of rows (n, D) and (m, D), float64 scalars.

    Subsets are drawn without replacement from numpy's `RandomState(seed)`, generated rows first, as published. Raises
    ValueError where a side has fewer rows than a subset.
    """
    if features.shape[1:] != reference.shape[1:] or features.dim() != 2:
        raise ValueError(f"features of {tuple(features.shape)} and {tuple(reference.shape)}; give (n, D) and (m, D)")
    if min(len(features), len(reference)) < subset_size:
        raise ValueError(f"{len(features)} and {len(reference)} rows; subsets of {subset_size} need at least as many")
    draws = np.random.RandomState(seed)
    values = []
    for _ in range(subsets):
        first = features[draws.choice(len(features), subset_size, replace=False)]
        second = reference[draws.choice(len(reference), subset_size, replace=False)]
        values.append(polynomial_mmd(first, second))
    distances = torch.stack(values)
    return distances.mean(), distances.std(correction=0)


def _kernel(first: Tensor, second: Tensor) -> Tensor:
    return (first @ second.T / first.shape[1] + 1) ** 3


def _mean_apart(kernel: Tensor) -> Tensor:
    """Mean of a square kernel matrix without its diagonal."""
    count = len(kernel)
    return (kernel.sum() - kernel.diagonal().sum()) / (count * (count - 1))


class KernelDistance(PooledRows):
    """KID over random subsets of both sides; keeps the rows, since subsets are drawn from them at the end."""

    higher_is_better = False
    resampled = False  # too expensive, and repeated rows bias the discrepancy

    def __init__(self, subsets: int = 100, subset_size: int = 1000, seed: int = 2020) -> None:
        super().__init__()
        self.subsets, self.subset_size, self.seed = subsets, subset_size, seed

    def update(self, features: Tensor, real: bool) -> None:
        """Add rows (n, D) of the real or the generated side."""
        (self.real if real else self.generated).append(features)

    def value(self, generated: Tensor, real: Tensor) -> Tensor:
        """Mean over the subsets; all rows once where a side has fewer than a subset; NaN for fewer than 2."""
        fewest = min(len(generated), len(real))
        if fewest < 2:
            return self.undefined()
        if fewest < self.subset_size:
            return polynomial_mmd(generated, real)
        return kernel_distance(generated, real, self.subsets, self.subset_size, self.seed)[0]
