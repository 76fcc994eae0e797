"""Which tokens are masked: the ratios of training, and the rounds in which a sound is filled in.

Source: arXiv 2411.05679; `DragonLiu1995/video-to-audio-through-text: vatt/vt2a/modules/vt2a_mlm_alibi_uni_coder.py`
(read, not copied); after MaskGIT (Chang et al. 2022). Batches and known tokens are ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ...errors import ConditionError

Distribution = Literal["truncated_gaussian", "moving_gaussian", "uniform", "arc_cosine"]
Order = Literal["free", "coarse_first"]


@dataclass(frozen=True)
class MaskRatio:
    """The share of the tokens that a training step masks, as a distribution.

    "truncated_gaussian": of `mean` and `std`, within `low` and `high`; "moving_gaussian": its mean rises over the
    training from 0.25 by 0.7 sin(pi/2 done); "uniform" between the limits; "arc_cosine": 2/pi arccos(u), as the rounds
    of decoding need.
    """

    distribution: Distribution = "truncated_gaussian"
    mean: float = 0.75
    std: float = 0.25
    low: float = 0.5
    high: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 1 or self.std <= 0:
            raise ConditionError(f"mask ratios from {self.low} to {self.high} with std {self.std}: the limits lie in "
                                 "0..1, the first below the second, and std is above 0.")

    def quantile(self, u: Tensor, done: float = 0.0) -> Tensor:
        """Uniform numbers (0..1) -> ratios. `done`: finished share of the training, 0..1."""
        if self.distribution == "uniform":
            return self.low + (self.high - self.low) * u
        if self.distribution == "arc_cosine":
            return 2 / math.pi * torch.arccos(u)
        mean = self.mean if self.distribution == "truncated_gaussian" else 0.25 + 0.7 * math.sin(math.pi / 2 * done)
        below, above = (0.5 * (1 + math.erf((edge - mean) / self.std / math.sqrt(2))) for edge in (self.low, self.high))
        inside = (below + u.double() * (above - below)).clamp(1e-12, 1 - 1e-12)
        ratios = mean + self.std * math.sqrt(2) * torch.erfinv(2 * inside - 1)
        return ratios.clamp(self.low, self.high).to(u.dtype)


def draw_mask(shape: tuple[int, int, int], ratio: MaskRatio, generator: torch.Generator, done: float = 0.0,
              coarse_share: float = 0.0, blank_share: float = 0.0) -> Tensor:
    """(B, K, T) booleans, true where masked: each token for itself, with one ratio for each sample.

    `coarse_share` of the samples are masked as decoding in the order "coarse_first" meets them: codebooks before a
    drawn one are known, those after it are masked (Borsos et al., SoundStorm 2023, section 3.2). `blank_share` of them
    are masked whole, as decoding begins.
    """
    ratios = ratio.quantile(torch.rand(shape[0], generator=generator), done)
    mask = torch.rand(shape, generator=generator) < ratios[:, None, None]
    if coarse_share == 0 and blank_share == 0:
        return mask
    levels = torch.randint(shape[1], (shape[0], 1), generator=generator) - torch.arange(shape[1])
    draw = torch.rand(shape[0], generator=generator)[:, None, None]
    ordered = (mask & (levels == 0)[..., None]) | (levels < 0)[..., None]
    return torch.where(draw < coarse_share, ordered, mask) | (draw > 1 - blank_share)


def num_to_mask(step: int, steps: int, total: int, masked: int) -> int:
    """How many of `total` tokens are masked again after a step (0-based), of which `masked` were before: the cosine
    schedule, in float32 as published."""
    ratio = torch.tensor((step + 1) / steps, dtype=torch.float32)
    count = int((torch.cos(ratio * math.pi / 2).clamp_min(1e-10) * total).floor())
    return count if step == steps - 1 else min(max(count, 1), masked - 1)


@dataclass(frozen=True)
class DecodingSettings:
    """`num_inference_steps` rounds; `temperature` and `top_k` of the draws; `remask_temperature` of the random part of
    the confidence, which falls to 0. `order`: "free", as published, all codebooks compete; or "coarse_first", a
    codebook is filled in before the next one (ours, after SoundStorm)."""

    num_inference_steps: int = 16
    temperature: float = 1.0
    top_k: int = 256
    remask_temperature: float = 25.5
    order: Order = "free"

    def __post_init__(self) -> None:
        if self.num_inference_steps < 1 or self.temperature <= 0 or self.top_k < 1 or self.remask_temperature < 0:
            raise ConditionError(f"num_inference_steps={self.num_inference_steps}, temperature={self.temperature}, "
                                 f"top_k={self.top_k}, remask_temperature={self.remask_temperature}: steps and top_k "
                                 "are 1 or more, temperatures above 0, the last 0 or more.")


FAR = 1e4  # confidence between two codebooks that follow each other: more than noise and probabilities differ

Predict = Callable[[Tensor], Tensor]
"""Tokens (B, K, T) -> guided logits (B, K, T, V)."""


def decode_in_parallel(predict: Predict, tokens: Tensor, mask_token: int, settings: DecodingSettings,
                       generators: Sequence[torch.Generator],
                       after_step: Callable[[int, Tensor], None] | None = None) -> Tensor:
    """Fill in the masked tokens (B, K, T), all codebooks at once; those that are known stay.

    All samples have as many masked. `generators`: one a sample, so that a batch equals its samples alone.
    `after_step`: told of each round's number and tokens.
    """
    masked = total = int((tokens[0] == mask_token).sum())
    steps = min(settings.num_inference_steps, max(total, 1))
    for step in range(steps if total else 0):
        hidden, before = tokens == mask_token, masked
        masked = num_to_mask(step, steps, total, masked)
        reached = reached_codebooks(hidden[0], before - masked) if settings.order == "coarse_first" else slice(None)
        drawn, probability = draw_tokens(predict(tokens)[:, reached], settings.temperature, settings.top_k, generators)
        noise = settings.remask_temperature * (1 - (step + 1) / steps) * gumbel(tokens.shape[1:], generators)
        confidence = noise.to(probability)
        confidence[:, reached] += probability.log()
        if settings.order == "coarse_first":
            confidence = confidence - FAR * torch.arange(tokens.shape[1], device=tokens.device)[:, None]
        confidence = confidence.masked_fill(~hidden, torch.inf)
        filled = tokens.clone()
        filled[:, reached] = torch.where(hidden[:, reached], drawn, tokens[:, reached])
        tokens = filled.masked_fill(least_confident(confidence, masked), mask_token)
        if after_step is not None:
            after_step(step, tokens)
    return tokens


def reached_codebooks(hidden: Tensor, count: int) -> slice:
    """The codebooks, in their order, that `count` of the hidden slots (K, T) lie in: no others need be drawn."""
    totals = hidden.sum(1).cumsum(0)
    return slice(int((totals == 0).sum()), int((totals < count).sum()) + 1)


def draw_tokens(logits: Tensor, temperature: float, top_k: int,
                generators: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
    """Logits (B, K, T, V) -> a draw among the `top_k` likeliest of each slot and its probability, (B, K, T) both."""
    chances = likeliest(logits, temperature, top_k)
    drawn = torch.stack([torch.multinomial(row.flatten(0, 1).cpu(), 1, generator=generator).view(row.shape[:2])
                         for row, generator in zip(chances, generators, strict=True)]).to(logits.device)
    return drawn, chances.gather(-1, drawn[..., None])[..., 0]


def likeliest(logits: Tensor, temperature: float, top_k: int) -> Tensor:
    """Probabilities in float32 with all but the `top_k` largest logits left out; ties are kept."""
    logits = logits.float()
    least = logits.topk(min(top_k, logits.shape[-1]), dim=-1).values[..., -1:]
    return (logits.masked_fill(logits < least, -torch.inf) / temperature).softmax(-1)


def least_confident(confidence: Tensor, count: int) -> Tensor:
    """(B, K, T) -> booleans: the `count` of lowest confidence in each sample, strictly below the next one."""
    flat = confidence.flatten(1)
    bound = flat.sort(dim=1).values[:, min(count, flat.shape[1] - 1), None]
    return (flat < bound).view(confidence.shape)


def gumbel(shape: Sequence[int], generators: Sequence[torch.Generator]) -> Tensor:
    """Standard Gumbel noise (B, *shape), a sample from each generator."""
    uniform = torch.stack([torch.rand(tuple(shape), generator=generator) for generator in generators])
    return -(-uniform.clamp(1e-20, 1 - 1e-7).log()).log()
