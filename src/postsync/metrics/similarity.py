"""Similarity of embeddings: cosine similarity, GRAM's volume, retrieval (recall at k, AUC) and average precision.

CLAP-score, IB-AV, IB-TA, IB-TV and CAVP similarity are cosines of their networks' embeddings, neither clamped at 0 nor
multiplied by 100 as in some tables (metrics.md sections 9 and 10). For retrieval by GRAM the score is minus the volume
(gram_encoders.md section 9); ties count against the query.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from ..encoders.volume import volume
from .accumulators import ClipMean, finite_rows


def cosine_similarity(first: Tensor, second: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """Cosine of each pair of embeddings (N, D): (N,) in -1..1, computed in `dtype`.

    Sequences (N, T, D) are compared time by time and averaged, as CAVP's rows are. Raises ValueError for shapes that
    differ and for values that are not finite.
    """
    if first.shape != second.shape or first.dim() not in (2, 3):
        raise ValueError(f"embeddings of {tuple(first.shape)} and {tuple(second.shape)}; give (N, D) or "
                         "(N, T, D) twice")
    first, second = (finite_rows(rows, "embeddings").to(dtype) for rows in (first, second))
    values = F.cosine_similarity(first, second, dim=-1, eps=1e-6)
    return values if values.dim() == 1 else values.mean(1)


class CosineSimilarity(ClipMean):
    """Cosine similarity averaged over clips. `dtype`: float32 for figures that were first published in it."""

    higher_is_better = True

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.cosine_dtype = dtype

    def values(self, first: Tensor, second: Tensor) -> Tensor:
        """Of pairs of embeddings, (N, D) or (N, T, D)."""
        return cosine_similarity(first, second, self.cosine_dtype)


class EmbeddingVolume(ClipMean):
    """Volume that the embeddings of a clip span, averaged over clips: 0 if linearly dependent, 1 if orthogonal."""

    higher_is_better = False

    def values(self, *embeddings: Tensor) -> Tensor:
        """(N,) from k unit vectors a clip, each (N, D)."""
        return volume(*embeddings)


def retrieval_hits(scores: Tensor, k: int = 1, query_labels: Tensor | None = None,
                   candidate_labels: Tensor | None = None) -> Tensor:
    """Which queries (Q,) find a target among their k best candidates, by scores (Q, C), greater is better.

    Without labels the target of query i is candidate i. With labels (Q,) and (C,) any candidate of its label is a
    target, and others of that label do not count against it. Raises ValueError for a query without target.
    """
    num_queries, num_candidates = scores.shape
    if query_labels is None and candidate_labels is None:
        query_labels = torch.arange(num_queries, device=scores.device)
        candidate_labels = torch.arange(num_candidates, device=scores.device)
    if query_labels is None or candidate_labels is None:
        raise ValueError("give the labels of both queries and candidates, or of neither")
    relevant = query_labels.to(scores.device)[:, None] == candidate_labels.to(scores.device)
    if not relevant.any(1).all():
        index = int(torch.nonzero(~relevant.any(1))[0])
        raise ValueError(f"no candidate matches query {index}; drop such queries")
    best = scores.masked_fill(~relevant, -torch.inf).amax(1, keepdim=True)
    ahead = (scores >= best) & ~relevant
    return ahead.sum(1) < k


def recall_at_k(scores: Tensor, k: int = 1, query_labels: Tensor | None = None,
                candidate_labels: Tensor | None = None) -> Tensor:
    """Share of the queries with a target among their k best candidates, a scalar; see retrieval_hits."""
    return retrieval_hits(scores, k, query_labels, candidate_labels).double().mean()


def triplet_auc(matched: Tensor, mismatched: Tensor) -> Tensor:
    """Probability that a matched score (P,) exceeds a mismatched one (N,), over all pairs, 0..1; ties count half.

    Raises ValueError where one side is empty.
    """
    if matched.numel() == 0 or mismatched.numel() == 0:
        raise ValueError("the AUC needs at least one matched and one mismatched score")
    ordered = mismatched.flatten().double().sort().values
    values = matched.flatten().double().contiguous()
    below = torch.searchsorted(ordered, values, right=False).double()
    up_to = torch.searchsorted(ordered, values, right=True).double()
    return ((below + up_to) / 2).mean() / len(ordered)


def average_precision(labels: Tensor, scores: Tensor) -> Tensor:
    """Area under precision against recall, in steps: labels (N,) of 0 and 1, scores (N,), greater is more confident;
    0..1.

    Equal scores count as one threshold, as in scikit-learn. 0 without a positive. Raises ValueError for other shapes.
    """
    if labels.shape != scores.shape or labels.dim() != 1:
        raise ValueError(f"labels of {tuple(labels.shape)} and scores of {tuple(scores.shape)}; give (N,) twice")
    if not labels.any():
        return torch.zeros((), dtype=torch.float64)
    scores, order = scores.double().sort(descending=True, stable=True)
    true = labels[order].double().cumsum(0)
    last = torch.cat([scores[1:] != scores[:-1], torch.ones(1, dtype=torch.bool, device=scores.device)])
    precision = true / torch.arange(1, len(true) + 1, device=scores.device)
    recall = true[last] / true[-1]
    return (torch.diff(recall, prepend=torch.zeros_like(recall[:1])) * precision[last]).sum()


class RetrievalRecall(ClipMean):
    """Recall at k over several galleries, each added as one score matrix; 0..1."""

    higher_is_better = True

    def __init__(self, k: int = 1) -> None:
        super().__init__()
        self.k = k

    def values(self, scores: Tensor, query_labels: Tensor | None = None,
               candidate_labels: Tensor | None = None) -> Tensor:
        """Whether each query of one gallery finds a target; arguments of retrieval_hits."""
        return retrieval_hits(scores, self.k, query_labels, candidate_labels)


class TripletAUC(Metric):
    """AUC of matched against mismatched scores (for GRAM: minus the volume of a triplet)."""

    higher_is_better = True
    is_differentiable = False
    full_state_update = False
    matched: list[Tensor]
    mismatched: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("matched", default=[], dist_reduce_fx="cat")
        self.add_state("mismatched", default=[], dist_reduce_fx="cat")

    def update(self, matched: Tensor, mismatched: Tensor) -> None:
        """Add scores (P,) and (N,), greater is better."""
        self.matched.append(matched.flatten().double())
        self.mismatched.append(mismatched.flatten().double())

    def compute(self) -> Tensor:
        """Scalar 0..1; raises ValueError where nothing was added."""
        return triplet_auc(dim_zero_cat(self.matched), dim_zero_cat(self.mismatched))
