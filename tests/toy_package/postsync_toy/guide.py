"""A guide that takes gradients through the decoder: latents go where the sound has less energy."""

from __future__ import annotations

import torch
from torch import Tensor

from postsync.protocols.guide import Step
from postsync.protocols.pipeline import Pipeline


class Quiet:
    """Moves latents down the gradient of the sound's log energy, by `strength` of their own size."""

    def __init__(self, pipeline: Pipeline, strength: float = 0.5) -> None:
        self.strength = strength

    def after_step(self, step: Step) -> Tensor:
        with torch.enable_grad():
            latents = step.latents.detach().requires_grad_(True)
            energy = step.decode(step.clean_estimate(latents)).square().mean().log()
            gradient, = torch.autograd.grad(energy, latents)
        size = latents.detach().norm() / gradient.norm().clamp(min=1e-12)
        return (latents.detach() - self.strength * size * gradient).to(step.latents.dtype)
