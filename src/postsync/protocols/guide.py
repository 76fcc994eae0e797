"""Guides: objects that move latents while they are denoised, and the step that they receive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor


class Decode(Protocol):
    """Clean latents -> waveform (B, C, N), differentiable; `start_s` and `end_s` bound what is decoded."""

    def __call__(self, clean: Tensor, start_s: float = 0.0, end_s: float | None = None) -> Tensor: ...


@dataclass(frozen=True)
class Step:
    """One solver step, before or after it was taken. A state is `alpha * clean + sigma * noise`.

    `latents_before` is the model's input state, at `alpha` and `sigma`; `latents` the state that the solver reached, at
    `alpha_next` and `sigma_next` (before the step: the same as `latents_before`). `timestep` is the model's own time of
    the step. `model_output` is the guided prediction in the backbone's own parameterization (eps, v or flow), None
    before the step. `clean_estimate(latents)` applies that output, held fixed, at the noise level of `latents_before`:
    the clean latents that these latents imply, differentiable in `latents`; before the step it raises ValueError.
    `duration_s` is the length of the sound that `decode` gives. `decode_mel`: as `decode`, but to the log-mel
    (B, T, mels) before the vocoder, which costs less; None where the codec has none.
    """

    index: int
    num_steps: int
    timestep: float
    alpha: float
    sigma: float
    alpha_next: float
    sigma_next: float
    latents_before: Tensor
    latents: Tensor
    model_output: Tensor | None
    clean_estimate: Callable[[Tensor], Tensor]
    decode: Decode
    duration_s: float
    decode_mel: Decode | None = None


@runtime_checkable
class BeforeStep(Protocol):
    """Moves the state before it is given to the model."""

    def before_step(self, step: Step) -> Tensor:
        """The latents to continue with; returning `step.latents` itself leaves the run untouched."""
        ...


@runtime_checkable
class AfterStep(Protocol):
    """Moves the state that the solver reached. A guide that needs gradients enables them (`torch.enable_grad`)."""

    def after_step(self, step: Step) -> Tensor:
        """The latents to continue with; returning `step.latents` itself leaves the run untouched."""
        ...


Guide = BeforeStep | AfterStep
"""A guide has one of the two methods, or both."""
