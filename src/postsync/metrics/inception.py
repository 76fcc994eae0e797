"""Inception score: how sure a classifier is of each clip, and how varied its answers are over all clips.

Scores of different classifiers share no scale, and splits of few clips bias the score downwards: name the classifier
and the number of clips beside it (metrics.md section 5).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from .mean import finite_rows


def inception_score(logits: Tensor, splits: int = 10, seed: int | None = 2020) -> tuple[Tensor, Tensor]:
    """Mean and population std over `splits` parts of logits (N, C): float64 scalars, the mean in 1..C.

    Rows are shuffled by numpy's `RandomState(seed)` as published; None leaves their order. Raises ValueError for fewer
    rows than splits and for values that are not finite.
    """
    if logits.dim() != 2 or len(logits) < splits:
        raise ValueError(f"logits of {tuple(logits.shape)}; {splits} splits need (N, C) with at least {splits} rows")
    logs = finite_rows(logits, "logits").log_softmax(1)
    if seed is not None:
        logs = logs[torch.from_numpy(np.random.RandomState(seed).permutation(len(logs))).to(logs.device)]
    scores = []
    for i in range(splits):
        part = logs[i * len(logs) // splits : (i + 1) * len(logs) // splits]
        mean = part.logsumexp(0) - np.log(len(part))
        scores.append((part.exp() * (part - mean)).sum(1).mean().exp())
    values = torch.stack(scores)
    return values.mean(), values.std(correction=0)


class InceptionScore(Metric):
    """Inception score of all clips; keeps their logits, since they are shuffled at the end."""

    higher_is_better = True
    is_differentiable = False
    full_state_update = False
    logits: list[Tensor]

    def __init__(self, splits: int = 10, seed: int | None = 2020) -> None:
        super().__init__()
        self.splits, self.seed = splits, seed
        self.add_state("logits", default=[], dist_reduce_fx="cat")

    def update(self, logits: Tensor) -> None:
        """Add logits (N, C)."""
        self.logits.append(logits)

    def compute(self) -> Tensor:
        """Mean over the splits, a float64 scalar >= 1. Raises ValueError for fewer rows than splits."""
        if not len(self.logits):
            raise ValueError("the inception score needs logits")
        return inception_score(dim_zero_cat(self.logits), self.splits, self.seed)[0]
