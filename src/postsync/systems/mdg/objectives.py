"""What guidance minimises: how far a sound's embedding lies from those of the words and the picture.

Each objective takes the sound's unit vectors (B, D) and those of one or two other modalities, words first, and returns
one number a sample (B,), in float32 or wider, finite with finite gradients for degenerate vectors too. With one other
modality the volume is the area |sin(angle)|.

Source: MDG (arXiv 2509.24550; `Zulino/GRAM-LDM`, read, not copied) for `volume`; Seeing-and-Hearing (arXiv 2402.17723)
for `cosine_to_audio`; the other rows are alternatives to compare them with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...encoders.volume import DETERMINANT_FLOOR, determinant
from ...encoders.volume import volume as spanned_volume

Objective = Callable[[Tensor, Sequence[Tensor]], Tensor]

SIGN_WEIGHT = 1.0  # of the signed term


def volume(audio: Tensor, others: Sequence[Tensor]) -> Tensor:
    """Volume that all vectors span (MDG): 0 where they are linearly dependent, 1 where they are orthogonal.

    It is blind to signs: opposite vectors span nothing either, so from an unaligned start it may lead to the opposite.
    Words and picture only scale its gradient; the sound is drawn into the plane of both, anywhere in it.
    """
    return spanned_volume(*others, audio)


def determinant_volume(audio: Tensor, others: Sequence[Tensor]) -> Tensor:
    """The same by its closed form sqrt(1 + 2 c_tv c_ta c_va - c_tv^2 - c_ta^2 - c_va^2), as the published code takes
    it, with a floor; it loses digits near 0."""
    return spanned_volume(*others, audio, form="determinant")


def gram_determinant(audio: Tensor, others: Sequence[Tensor]) -> Tensor:
    """Square of the volume: the same direction, a gradient that fades near 0."""
    vectors = [_wide(vector) for vector in (*others, audio)]
    return determinant([[_cosine(one, other) for other in vectors] for one in vectors])


def log_volume(audio: Tensor, others: Sequence[Tensor]) -> Tensor:
    """Logarithm of the volume: the same direction, a gradient that grows near 0."""
    return 0.5 * (gram_determinant(audio, others).clamp_min(0) + DETERMINANT_FLOOR).log()


def signed_volume(audio: Tensor, others: Sequence[Tensor]) -> Tensor:
    """The volume, and the negative part of the sound's cosines, which drives it away from opposites."""
    away = torch.stack([(-_cosine(other, audio)).clamp_min(0) for other in others]).sum(0)
    return volume(audio, others) + SIGN_WEIGHT * away


def cosine_to_audio(audio: Tensor, others: Sequence[Tensor]) -> Tensor:
    """Sum of 1 - cosine of the sound with each other modality (Seeing-and-Hearing)."""
    return torch.stack([1 - _cosine(other, audio) for other in others]).sum(0)


def cosine_sum(audio: Tensor, others: Sequence[Tensor]) -> Tensor:
    """Sum of 1 - cosine over all pairs; its gradient at the sound is that of `cosine_to_audio`."""
    pairs = [1 - _cosine(one, other) for i, one in enumerate(others) for other in others[i + 1:]]
    return torch.stack([cosine_to_audio(audio, others), *pairs]).sum(0)


def triangle_area(audio: Tensor, others: Sequence[Tensor]) -> Tensor:
    """Area of the triangle of the three tips, which opposite vectors do not close; the distance of two tips where there
    is one other modality."""
    first, *rest = (_wide(other) - _wide(audio) for other in others)
    if not rest:
        return first.square().sum(-1).clamp_min(DETERMINANT_FLOOR).sqrt()
    return 0.5 * spanned_volume(first, rest[0])


def mahalanobis(audio: Tensor, others: Sequence[Tensor], precision: Tensor | None = None) -> Tensor:
    """(a - m)^T P (a - m) with m the mean of the other vectors; `precision` (D, D), the inverse covariance of sounds
    around m in matching clips, by default the identity."""
    away = _wide(audio) - torch.stack([_wide(other) for other in others]).mean(0)
    scaled = away if precision is None else away @ precision.to(away)
    return (scaled * away).sum(-1)


OBJECTIVES: dict[str, Objective] = {
    "volume": volume, "determinant_volume": determinant_volume, "gram_determinant": gram_determinant,
    "log_volume": log_volume, "signed_volume": signed_volume, "cosine_to_audio": cosine_to_audio,
    "cosine_sum": cosine_sum, "triangle_area": triangle_area, "mahalanobis": mahalanobis,
}


def _cosine(one: Tensor, other: Tensor) -> Tensor:
    return (_wide(one) * _wide(other)).sum(-1)


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
