"""What a diffusion network predicts (eps, v or flow) and the clean estimate that follows from it.

Every state is `alpha * clean + sigma * noise`. The three predictions are
eps: the noise; v: `alpha * noise - sigma * clean` (Salimans & Ho 2022, alpha^2 + sigma^2 = 1);
flow: `noise - clean` on the straight path (alpha + sigma = 1, SiT and rectified flow).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import pi
from typing import Literal

import torch
from torch import Tensor

Prediction = Literal["eps", "v", "flow"]
Network = Callable[[Tensor, Tensor], Tensor]
Denoiser = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Parameterization:
    """From a network's output to the clean estimate. `alpha` and `sigma` broadcast against the state."""

    prediction: Prediction

    def target(self, clean: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """What the network should predict for the state `alpha * clean + sigma * noise`."""
        if self.prediction == "eps":
            return noise
        if self.prediction == "v":
            return alpha * noise - sigma * clean
        return noise - clean

    def clean_estimate(self, state: Tensor, output: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """The clean latents that `output` implies for `state`; differentiable in both."""
        if self.prediction == "eps":
            return (state - sigma * output) / alpha
        if self.prediction == "v":
            return alpha * state - sigma * output
        return state - sigma * output

    def noise_estimate(self, state: Tensor, output: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """The noise that `output` implies for `state`."""
        if self.prediction == "eps":
            return output
        if self.prediction == "v":
            return sigma * state + alpha * output
        return state + alpha * output


def cosine_path(t: Tensor) -> tuple[Tensor, Tensor]:
    """alpha, sigma of Stable Audio's path at time t in 0 (clean) .. 1 (noise)."""
    return torch.cos(t * pi / 2), torch.sin(t * pi / 2)


def time_of_sigma(sigma: Tensor) -> Tensor:
    """Time of the cosine path at which noise / signal equals `sigma` (k-diffusion's VDenoiser)."""
    return torch.atan(sigma) * 2 / pi


def v_denoiser(network: Network) -> Denoiser:
    """Make a v network `network(state, t (B,))` a `denoise(x, sigma)` for x = clean + sigma * noise.

    Source: k-diffusion `external.VDenoiser`, sigma_data 1.
    """
    v = Parameterization("v")

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        scale = (sigma**2 + 1).rsqrt()
        shape = (-1,) + (1,) * (x.dim() - 1)
        sigmas = sigma.expand(x.shape[0])
        alpha = scale.expand(x.shape[0]).reshape(shape)
        output = network(x * alpha, time_of_sigma(sigmas))
        return v.clean_estimate(x * alpha, output, alpha, sigmas.reshape(shape) * alpha)

    return denoise
