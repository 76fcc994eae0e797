"""Loudness as classes: the two mu-law codings of published envelope predictors, their labels and their losses.

Video-Foley's bins (jnwnlee/video-foley data_utils.py, criterion.py): 64 classes, class 0 is silence. Stable-V2A's
codes: `librosa.mu_compress` with mu 127, whose non-negative half gives 64 classes (envelope_from_video.md 2 and 3).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def mu_law_edges(num_classes: int = 64, minimum: float = 0.01) -> Tensor:
    """Lower edges of classes 1 and up, (num_classes,) float64 from `minimum` to 1, equally spaced in mu-law."""
    mu = num_classes - 1
    compressed = torch.linspace(math.log1p(mu * minimum) / math.log1p(mu), 1, num_classes, dtype=torch.float64)
    return torch.expm1(compressed * math.log1p(mu)) / mu


def quantise(values: Tensor, edges: Tensor, clamp: bool = True) -> Tensor:
    """Class of each RMS value, same shape, int64: the number of edges at or below it; negatives are silence (0).

    The published code does not clamp and gives class `num_classes`, which does not exist, for values of 1 and more.
    """
    classes = torch.bucketize(values.clamp_min(0).double(), edges.to(values.device), right=True)
    return classes.clamp_max(len(edges) - 1) if clamp else classes


def decode(classes: Tensor, edges: Tensor, midpoint: bool = False) -> Tensor:
    """RMS of each class, same shape, float32: its edge of that index, 0 for class 0.

    Class k covers edge k - 1 to edge k, so the published decoding is biased upwards; `midpoint` takes the mean of both.
    """
    levels = edges.to(classes.device).float()
    if midpoint:
        levels = torch.cat([levels[:1], (levels[:-1] + levels[1:]) / 2])
    levels = torch.cat([torch.zeros_like(levels[:1]), levels[1:]])
    return levels[classes.clamp(0, len(edges) - 1)]


def smooth_labels(classes: Tensor, num_classes: int = 64, recipe: str = "video_foley") -> Tensor:
    """Soft targets (..., num_classes) for classes (...).

    "video_foley": weight 1, exp(-0.5), exp(-1) at distance 0, 1, 2, not normalised; silence stays one-hot and gets no
    weight from its neighbours. "gaussian" (the Stable-Foley notebook): exp(-d^2 / 2) for d <= 2, normalised.
    """
    if recipe not in ("video_foley", "gaussian"):
        raise ValueError(f"unknown label recipe '{recipe}'; choose video_foley or gaussian")
    distance = (torch.arange(num_classes, device=classes.device) - classes[..., None]).abs()
    if recipe == "gaussian":
        weights = torch.exp(-(distance**2) / 2.0) * (distance <= 2)
        return weights / weights.sum(-1, keepdim=True)
    weights = torch.where(distance == 0, 1.0, torch.exp(-(2.0**distance) / 4)) * (distance <= 2)
    silence = F.one_hot(torch.zeros_like(classes), num_classes).to(weights)
    weights = weights * (1 - silence)
    return torch.where((classes == 0)[..., None], silence, weights)


def label_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of logits (..., classes) with soft labels of the same shape: summed over classes, then the mean."""
    return -(labels * logits.log_softmax(-1)).sum(-1).mean()


def mu_compress(values: Tensor, mu: int = 127) -> Tensor:
    """Codes of `librosa.mu_compress(values, mu=mu, quantize=True)`, int64; 0..(mu - 1) / 2 for RMS values 0..1."""
    values = values.double().clamp(-1, 1)
    compressed = values.sign() * torch.log1p(mu * values.abs()) / math.log1p(mu)
    levels = torch.linspace(-1, 1, 1 + mu, dtype=torch.float64, device=values.device)
    return torch.bucketize(compressed, levels, right=False) - (mu + 1) // 2


def mu_expand(codes: Tensor, mu: int = 127) -> Tensor:
    """Values of `librosa.mu_expand(codes, mu=mu, quantize=True)`, float32 in -1..1."""
    compressed = codes.double() * (2.0 / (1 + mu))
    return (compressed.sign() / mu * (torch.pow(1.0 + mu, compressed.abs()) - 1)).float()
