"""Volume of the parallelotope spanned by embeddings, and the contrastive loss built on it.

Source: GRAM (arXiv 2412.11959) and `ispamm/GRAM: utils/volume.py, model/gram.py`. For unit vectors the volume lies in
0 (linearly dependent) to 1 (orthogonal). It is sign-blind: negating a vector leaves it unchanged.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

DETERMINANT_FLOOR = 1e-12  # the gradient of sqrt is infinite at 0


def pairwise_volume(anchor: Tensor, *others: Tensor) -> Tensor:
    """Volume of every anchor with every tuple of the other modalities: entry [i, j] spans anchor_i and others_j.

    anchor (B1, D), each of `others` (B2, D); not normalised here. Returns sqrt(|det G|) of shape (B1, B2), in float32
    or wider (`utils/volume.py`). Where the volume vanishes the gradient is 0 instead of infinite.
    """
    anchor, *rest = (_at_least_float32(x) for x in (anchor, *others))
    shape = (anchor.shape[0], rest[0].shape[0])
    cross = [anchor @ x.T for x in rest]
    inner = [[(x * y).sum(-1).expand(shape) for y in rest] for x in rest]
    first_row = [(anchor * anchor).sum(-1, keepdim=True).expand(shape), *cross]
    gram = [first_row] + [[c, *row] for c, row in zip(cross, inner)]
    return determinant(gram).abs().clamp_min(DETERMINANT_FLOOR).sqrt()


def volume(*vectors: Tensor, normalize: bool = False, form: Literal["residual", "determinant"] = "residual") -> Tensor:
    """Volume of each sample's own vectors: k tensors (..., D) -> (...), in float32 or wider.

    Unit vectors are expected; `normalize` makes them so. "determinant" is sqrt(max(det G, 1e-12)) (GRAM-LDM
    `pipeline_audioldm.py`, with a floor); "residual" multiplies the lengths of what each vector adds to the span of
    those before it, which is the same number and keeps its digits near 0. Both have finite gradients everywhere.
    """
    wide = [_at_least_float32(x) for x in vectors]
    if normalize:
        wide = [F.normalize(x, dim=-1) for x in wide]
    if form == "determinant":
        gram = [[(x * y).sum(-1) for y in wide] for x in wide]
        return determinant(gram).clamp_min(DETERMINANT_FLOOR).sqrt()
    product = torch.ones(wide[0].shape[:-1], dtype=wide[0].dtype, device=wide[0].device)
    basis: list[Tensor] = []
    for x in wide:
        for axis in basis:
            x = x - (x * axis).sum(-1, keepdim=True) * axis
        length = x.square().sum(-1, keepdim=True).clamp_min(DETERMINANT_FLOOR).sqrt()
        basis.append(x / length)
        product = product * length.squeeze(-1)
    return product


def determinant(rows: list[list[Tensor]]) -> Tensor:
    """Determinant of a small matrix given as rows of equally shaped tensors, by expansion along the first row.

    A polynomial of its entries, so its gradient is finite for singular matrices too (an LU based one is not).
    """
    if len(rows) == 1:
        return rows[0][0]
    if len(rows) == 2:
        return rows[0][0] * rows[1][1] - rows[0][1] * rows[1][0]
    minors = [determinant([row[:j] + row[j + 1:] for row in rows[1:]]) for j in range(len(rows))]
    terms = [x * m if j % 2 == 0 else -x * m for j, (x, m) in enumerate(zip(rows[0], minors))]
    return torch.stack(terms).sum(0)


def volume_contrastive_loss(text: Tensor, *conditions: Tensor, temperature: Tensor | float,
                            label_smoothing: float = 0.1, detached_gather: bool = True,
                            excluded: Tensor | None = None) -> Tensor:
    """Volume contrastive loss, text as the anchor (GRAM; `model/gram.py`). Scalar.

    text and each condition (video, audio, ...): (B, D) unit vectors. Mean of two cross-entropies over the logits
    -volume / temperature: text i among all conditions, and condition i among all texts. `detached_gather`: the side
    that is searched carries no gradient, as in the official code. `excluded` (B, B) bool, symmetric, False on the
    diagonal: pairs that are not negatives.
    """
    searched = [c.detach() for c in conditions] if detached_gather else list(conditions)
    by_text = pairwise_volume(text, *searched)
    by_condition = pairwise_volume(text.detach() if detached_gather else text, *conditions).T
    rows = matching_cross_entropy(-by_text / temperature, label_smoothing, excluded)
    columns = matching_cross_entropy(-by_condition / temperature, label_smoothing, excluded)
    return 0.5 * (rows + columns)


def cosine_contrastive_loss(a: Tensor, b: Tensor, temperature: Tensor | float, label_smoothing: float = 0.1,
                            excluded: Tensor | None = None) -> Tensor:
    """Symmetric InfoNCE on the cosine of two (B, D) sets of unit vectors. Unlike the volume it distinguishes signs."""
    logits = _at_least_float32(a) @ _at_least_float32(b).T / temperature
    return 0.5 * (matching_cross_entropy(logits, label_smoothing, excluded)
                  + matching_cross_entropy(logits.T, label_smoothing, excluded))


def matching_cross_entropy(logits: Tensor, label_smoothing: float = 0.0, excluded: Tensor | None = None) -> Tensor:
    """Cross-entropy of a (B, B) matrix against its diagonal; `excluded` pairs count neither in the sum nor in the
    smoothing."""
    if excluded is None:
        excluded = torch.zeros_like(logits, dtype=torch.bool)
    log_p = logits.masked_fill(excluded, float("-inf")).log_softmax(dim=1)
    spread = log_p.masked_fill(excluded, 0.0).sum(1) / (~excluded).sum(1)
    return -((1 - label_smoothing) * log_p.diagonal() + label_smoothing * spread).mean()


def hard_negative_weights(volumes: Tensor, temperature: Tensor | float, excluded: Tensor | None = None) -> Tensor:
    """Weights for drawing a negative in each row of a (B, B) volume matrix: softmax(-volume / temperature) + 1e-4.

    The sample itself gets 0, and so do the `excluded` pairs.
    """
    weights = (-volumes / temperature).softmax(dim=1) + 1e-4
    own = torch.eye(len(volumes), dtype=torch.bool, device=volumes.device)
    return weights.masked_fill(own if excluded is None else own | excluded, 0.0)


def _at_least_float32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
