"""Scores from a classifier's outputs for generated sounds: Kullback-Leibler divergence and inception score.

KL compares a classifier's outputs for the real and the generated sound of a clip, in nats, always reference against
generated, in all published forms (metrics.md section 6):
- "softmax": sum q (ln q - ln(p + eps)); eps 1e-6 in audioldm_eval, SpecVQGAN and audiocraft, 0 (log domain) in
  av-benchmark;
- "sigmoid": the same terms of sigmoids, which is only the "on" half of a Bernoulli divergence and may be negative;
- "symmetric": softmax in both directions, added (audiocraft `kld_both`).

The inception score combines how confident a classifier is of each clip, and how varied its outputs are over all clips.
Scores of
different classifiers share no scale, and splits of few clips bias the score downwards: name the classifier and the
number of clips beside it (metrics.md section 5).
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .accumulators import ClipMean, PooledRows, finite_rows

Form = Literal["softmax", "sigmoid", "symmetric"]
EPSILON = 1e-6


def kl_divergence(generated: Tensor, reference: Tensor, form: Form = "softmax", eps: float = EPSILON) -> Tensor:
    """Divergence of each clip from logits (N, C): (N,) float64. eps 0 computes in the log domain.

    Several generated sounds a clip, (N, K, C), are compared with one reference each and averaged (SpecVQGAN). Raises
    ValueError for an unknown form, shapes that do not pair, and values that are not finite.
    """
    if form not in get_args(Form):
        raise ValueError(f"unknown form '{form}'; choose one of {', '.join(get_args(Form))}")
    if generated.dim() not in (2, 3) or (generated.shape[0], generated.shape[-1]) != tuple(reference.shape):
        raise ValueError(f"logits of {tuple(generated.shape)} and {tuple(reference.shape)}; give (N, C) or (N, K, C) "
                         "generated ones and (N, C) of the reference")
    if generated.dim() == 3:
        reference = reference[:, None]
    generated, reference = finite_rows(generated, "logits"), finite_rows(reference, "logits")
    values = _terms(generated, reference, form, eps).sum(-1)
    if form == "symmetric":
        values = values + _terms(reference, generated, form, eps).sum(-1)
    return values if values.dim() == 1 else values.mean(1)


def _terms(generated: Tensor, reference: Tensor, form: Form, eps: float) -> Tensor:
    if form == "sigmoid":
        log_p, log_q = F.logsigmoid(generated), F.logsigmoid(reference)
    else:
        log_p, log_q = generated.log_softmax(-1), reference.log_softmax(-1)
    if eps:
        log_p = (log_p.exp() + eps).log()
    return log_q.exp() * (log_q - log_p)


class KLDivergence(ClipMean):
    """Divergence averaged over clips."""

    higher_is_better = False

    def __init__(self, form: Form = "softmax", eps: float = EPSILON) -> None:
        super().__init__()
        self.form, self.eps = form, eps

    def values(self, generated: Tensor, reference: Tensor) -> Tensor:
        """Divergences (N,) from logits of paired clips, (N, C) or (N, K, C) and (N, C)."""
        return kl_divergence(generated, reference, self.form, self.eps)


def inception_score(logits: Tensor, splits: int = 10, seed: int | None = 2020) -> tuple[Tensor, Tensor]:
    """Mean and population std over `splits` parts of logits (N, C): float64 scalars, the mean in 1..C.

    Rows are shuffled by numpy's `RandomState(seed)` as published; None keeps their order. Raises ValueError for fewer
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


class InceptionScore(PooledRows):
    """Inception score of all clips; keeps their logits, since they are shuffled at the end."""

    higher_is_better = True
    two_sides = False

    def __init__(self, splits: int = 10, seed: int | None = 2020) -> None:
        super().__init__()
        self.splits, self.seed = splits, seed

    def update(self, logits: Tensor) -> None:
        """Add logits (N, C)."""
        self.generated.append(logits)

    def value(self, logits: Tensor) -> Tensor:
        """Mean over the splits, >= 1; NaN for fewer rows than splits."""
        return inception_score(logits, self.splits, self.seed)[0] if len(logits) >= self.splits else self.undefined()
