"""Perturb true envelopes like a predictor's errors, so that a control branch trained on them tolerates predicted ones.

Recipe of envelope_from_video.md section 6. All randomness comes from the generator.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .envelope import ENVELOPE_RATE
from .mu_law import decode, mu_law_edges, quantise
from .onsets import OnsetConfig, loudness_rise


@dataclass(frozen=True)
class PerturbConfig:
    """Strength of the perturbations; all of them apply to each chosen envelope."""

    jitter_s: float = 0.04  # time runs early or late by up to this, redrawn every `jitter_period_s`
    jitter_period_s: float = 0.5
    gain: tuple[float, float] = (0.7, 1.4)
    smoothing_s: tuple[float, float] = (0.02, 0.12)  # full width at half maximum
    num_classes: int = 64
    drop_probability: float = 0.1  # of each hit


def perturb_envelope(envelope: Tensor, generator: torch.Generator, probability: float = 0.5,
                   config: PerturbConfig | None = None) -> Tensor:
    """Perturb each envelope of a batch (B, M) at 100 Hz with `probability`; (B, M) in 0..1, the others unchanged.

    Hits are dropped, time jitters, edges are smoothed, the level changes, and loudness is quantised in mu-law.
    The generator must live on the CPU, so that the same seed gives the same result on every device.
    """
    config = config or PerturbConfig()
    chosen = torch.rand(len(envelope), generator=generator) < probability
    perturbed = drop_hits(envelope, generator, config.drop_probability)
    perturbed = jitter_time(perturbed, generator, config.jitter_s, config.jitter_period_s)
    perturbed = smooth(perturbed, _uniform(len(envelope), config.smoothing_s, generator))
    perturbed = perturbed * _uniform(len(envelope), config.gain, generator).to(envelope)[:, None]
    edges = mu_law_edges(config.num_classes)
    perturbed = decode(quantise(perturbed, edges), edges, midpoint=True).to(envelope)
    return torch.where(chosen.to(envelope.device)[:, None], perturbed, envelope)


def drop_hits(envelope: Tensor, generator: torch.Generator, probability: float) -> Tensor:
    """Silence each hit with `probability`: from its rise to the next it is held at its quietest; (B, M) -> (B, M)."""
    settings = OnsetConfig()
    rise = loudness_rise(envelope, ENVELOPE_RATE, settings)
    reach = round(settings.min_distance_s * ENVELOPE_RATE)
    peak = (rise >= settings.threshold) & (rise == F.max_pool1d(rise, 2 * reach + 1, stride=1, padding=reach))
    lead = round(settings.rise_s * ENVELOPE_RATE)  # the segment of a hit starts before its steepest point
    start = F.pad(peak[:, lead:], (0, lead))
    segment = start.long().cumsum(1)  # 0 before the first hit
    dropped = torch.rand(segment.shape, generator=generator).to(envelope.device) < probability
    dropped[:, 0] = False
    quietest = torch.full_like(envelope, torch.inf).scatter_reduce(1, segment, envelope, "amin")
    return torch.where(dropped.gather(1, segment), quietest.gather(1, segment), envelope)


def jitter_time(envelope: Tensor, generator: torch.Generator, jitter_s: float, period_s: float) -> Tensor:
    """Bend time by up to +-`jitter_s`, smoothly between values drawn every `period_s`; (B, M) -> (B, M)."""
    batch, length = envelope.shape
    knots = max(2, round(length / ENVELOPE_RATE / period_s) + 1)
    offset = (torch.rand(batch, 1, knots, generator=generator) * 2 - 1) * jitter_s * ENVELOPE_RATE
    offset = F.interpolate(offset, size=length, mode="linear", align_corners=True)[:, 0].to(envelope)
    position = (torch.arange(length, device=envelope.device) + offset).clamp(0, length - 1)
    left = position.floor().long()
    right = (left + 1).clamp_max(length - 1)
    return torch.lerp(envelope.gather(1, left), envelope.gather(1, right), position - left)


def smooth(envelope: Tensor, width_s: Tensor) -> Tensor:
    """Gaussian smoothing of each envelope with its own full width at half maximum; (B, M), (B,) seconds -> (B, M)."""
    sigma = (width_s / 2.3548 * ENVELOPE_RATE).clamp_min(1e-3)
    reach = int(3 * sigma.max()) + 1  # on the device of the widths, so that no other device is waited for
    sigma = sigma.to(envelope)
    distance = torch.arange(-reach, reach + 1, device=envelope.device)
    kernel = torch.exp(-0.5 * (distance / sigma[:, None]) ** 2)
    kernel = kernel / kernel.sum(1, keepdim=True)
    return F.conv1d(F.pad(envelope[None], (reach, reach), mode="replicate"), kernel[:, None], groups=len(envelope))[0]


def _uniform(count: int, bounds: tuple[float, float], generator: torch.Generator) -> Tensor:
    return bounds[0] + (bounds[1] - bounds[0]) * torch.rand(count, generator=generator)
