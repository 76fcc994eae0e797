"""The noise schedule of a DDIM scheduler: what training and sampling of eps and v networks share.

Source: DDIM (Song et al. 2021, arXiv 2010.02502), diffusers' `DDIMScheduler`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from ..errors import WeightsError
from .parameterization import Parameterization, Prediction

PREDICTIONS: dict[str, Prediction] = {"epsilon": "eps", "v_prediction": "v"}


class Schedule:
    """Noise levels of a DDIM scheduler, at any of its timesteps and along any list of them."""

    def __init__(self, scheduler: DDIMScheduler) -> None:
        """Raises WeightsError for a scheduler whose network predicts the sample."""
        if scheduler.config["prediction_type"] not in PREDICTIONS:
            raise WeightsError(f"a scheduler of the type {scheduler.config['prediction_type']} is not known; use "
                               f"{' or '.join(PREDICTIONS)}.")
        self.scheduler = scheduler
        self.parameterization = Parameterization(PREDICTIONS[scheduler.config["prediction_type"]])

    @property
    def total(self) -> int:
        """Timesteps of training."""
        return int(self.scheduler.config["num_train_timesteps"])

    def timesteps(self, num_inference_steps: int, exponent: float = 1.0) -> list[int]:
        """The scheduler's list of that length, falling, each t moved to T (t/T)^exponent. Entries can repeat."""
        scheduler = DDIMScheduler.from_config(self.scheduler.config)
        scheduler.set_timesteps(num_inference_steps)
        moved = (scheduler.timesteps.double() / self.total) ** exponent * self.total
        return moved.round().long().tolist()

    def levels(self, timesteps: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """alpha and sigma at timesteps (B,), which broadcast against states (B, ...)."""
        abar = self.scheduler.alphas_cumprod[timesteps.cpu()].to(like).view(-1, *[1] * (like.dim() - 1))
        return abar.sqrt(), (1 - abar).sqrt()

    def run(self, timesteps: Sequence[int]) -> tuple[list[float], list[float]]:
        """alpha and sigma of a whole run: at its S timesteps, and at the end, S + 1 of each."""
        abar = torch.cat([self.scheduler.alphas_cumprod[list(timesteps)], self.scheduler.final_alpha_cumprod[None]])
        return abar.double().sqrt().tolist(), (1 - abar.double()).sqrt().tolist()

    def add_noise(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """States at timesteps (B,)."""
        alpha, sigma = self.levels(timesteps, clean)
        return alpha * clean + sigma * noise

    def target(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the network is to predict at timesteps (B,)."""
        return self.parameterization.target(clean, noise, *self.levels(timesteps, clean))

    def clean_estimate(self, state: Tensor, output: Tensor, timesteps: Tensor) -> Tensor:
        """The clean latents that outputs imply for states at timesteps (B,)."""
        return self.parameterization.clean_estimate(state, output, *self.levels(timesteps, state))

    def step(self, state: Tensor, output: Tensor, alphas: Sequence[float], sigmas: Sequence[float],
             i: int) -> tuple[Tensor, Tensor]:
        """Step i of a run with the levels of `run`: the next state, by DDIM without drawn noise, and the clean
        estimate. The next level is that of the list, which diffusers' own step would not know."""
        alpha, sigma = (torch.tensor(level).to(state) for level in (alphas[i], sigmas[i]))
        clean = self.parameterization.clean_estimate(state, output, alpha, sigma)
        noise = self.parameterization.noise_estimate(state, output, alpha, sigma)
        return alphas[i + 1] * clean + sigmas[i + 1] * noise, clean
