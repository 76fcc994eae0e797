"""Cosine similarity of paired embeddings: CLAP-score, IB-AV, IB-TA, IB-TV and CAVP similarity, by their networks.

Neither clamped at 0 nor multiplied by 100, as some tables do (metrics.md sections 9 and 10).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from .mean import ClipMean, finite_rows


def cosine_similarity(first: Tensor, second: Tensor) -> Tensor:
    """Cosine of each pair of embeddings (N, D): (N,) float64 in -1..1.

    Sequences (N, T, D) are compared time by time and averaged, as CAVP's rows are. Raises ValueError for shapes that
    differ and for values that are not finite.
    """
    if first.shape != second.shape or first.dim() not in (2, 3):
        raise ValueError(f"embeddings of {tuple(first.shape)} and {tuple(second.shape)}; give (N, D) or "
                         "(N, T, D) twice")
    values = F.cosine_similarity(finite_rows(first, "embeddings"), finite_rows(second, "embeddings"), dim=-1, eps=1e-6)
    return values if values.dim() == 1 else values.mean(1)


class CosineSimilarity(ClipMean):
    """Cosine similarity averaged over clips."""

    higher_is_better = True

    def update(self, first: Tensor, second: Tensor) -> None:
        """Add pairs of embeddings, (N, D) or (N, T, D)."""
        self.add_values(cosine_similarity(first, second))
