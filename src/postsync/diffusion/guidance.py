"""Classifier-free guidance, and the contract of guides: objects that nudge latents while they are denoised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor


def classifier_free_guidance(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """u + scale * (c - u) (Ho & Salimans 2022); scale 1 is the conditional prediction alone."""
    return unconditional + scale * (conditional - unconditional)


def scale_at(scale: float, time: float, interval: tuple[float, float]) -> float:
    """The guidance scale at `time` in 0 (clean) .. 1 (noise): 1 outside of `interval` (both ends in it).

    Guiding only while it is decided what sounds costs half as much elsewhere (Kynkäänniemi et al. 2024).
    """
    low, high = interval
    return scale if low <= time <= high else 1.0


@dataclass(frozen=True)
class Step:
    """What a guide sees after one solver step.

    `timestep` is the model's own time of the step, `latents_before` the state it was asked about, `latents` the state
    the solver reached, `model_output` the guided prediction in the backbone's own parameterization (eps, v or flow).
    `clean_estimate(latents)` applies that output, held fixed, at this step's noise level: the sound the latents are on
    their way to, differentiable in `latents`. `decode(clean)` gives the waveform (B, N), differentiable as well.
    """

    index: int
    num_steps: int
    timestep: float
    latents_before: Tensor
    latents: Tensor
    model_output: Tensor
    clean_estimate: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor], Tensor]


@runtime_checkable
class Guide(Protocol):
    """Moves latents after each step. A guide that needs gradients enables them itself (`torch.enable_grad`)."""

    def after_step(self, step: Step) -> Tensor:
        """The latents to go on with; returning `step.latents` itself leaves the run untouched."""
        ...
