"""Sound and picture of a generated clip judged by a classifier: Align-Acc of Diff-Foley and DeSync of Synchformer.

The classifiers are `encoders/`; here is what becomes of their answers (metrics.md sections 7 and 14).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .mean import ClipMean, finite_rows

OFFSET_REACH_S = 2.0  # Synchformer's classes are offsets from -2 s to 2 s, equally spaced


def aligned(probabilities: Tensor) -> Tensor:
    """Whether each clip is called real and aligned, by probabilities (N,): (N,) float64 of 0 and 1; 0.5 is not."""
    probabilities = finite_rows(probabilities, "probabilities")
    if probabilities.numel() and (probabilities.min() < 0 or probabilities.max() > 1):
        raise ValueError("probabilities lie outside 0..1; apply the sigmoid first")
    return (probabilities > 0.5).double()


def align_accuracy(probabilities: Tensor) -> Tensor:
    """Share of the clips that are called real and aligned, 0..1 (tables print it times 100)."""
    return aligned(probabilities).mean()


def predicted_offset_s(logits: Tensor) -> Tensor:
    """Offset of sound against picture in seconds of the likeliest class, logits (..., classes) -> (...), float64."""
    grid = torch.linspace(-OFFSET_REACH_S, OFFSET_REACH_S, logits.shape[-1], dtype=torch.float64, device=logits.device)
    return grid[finite_rows(logits, "logits").argmax(-1)]


def desync_s(logits: Tensor) -> Tensor:
    """Distance of sound and picture in seconds, 0..2, (N,) float64, averaged over the windows of logits (N, W, 21).

    Published: two windows, the first and the last 14 segments of the clip. Raises ValueError for another shape.
    """
    if logits.dim() != 3:
        raise ValueError(f"logits of {tuple(logits.shape)}; give (N, windows, classes)")
    return predicted_offset_s(logits).abs().mean(1)


class AlignAccuracy(ClipMean):
    """Share of the clips that the alignment classifier calls real and aligned, 0..1."""

    higher_is_better = True

    def update(self, probabilities: Tensor) -> None:
        """Add probabilities (N,) of the classifier."""
        self.add_values(aligned(probabilities))


class DeSync(ClipMean):
    """Mean distance of sound and picture in seconds."""

    higher_is_better = False

    def update(self, logits: Tensor) -> None:
        """Add offset logits (N, W, 21) of the windows of each clip."""
        self.add_values(desync_s(logits))
