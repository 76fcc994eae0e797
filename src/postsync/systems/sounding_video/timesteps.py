"""Timestep adjustment: sound and picture are denoised along lists of timesteps of their own, at levels that fit.

Source: arXiv 2409.17550; `SonyResearch/SVG_baseline: src/va_core/model/svg/scheduler_ddim_rev.py` (read, not copied).
gamma found from the schedules or from losses (`fit_gamma`) is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from ...diffusion.schedule import Schedule
from ...errors import ConditionError

GAMMAS = tuple(2.0 ** (k / 16) for k in range(-48, 49))  # 1/8 to 8


def exponents(gamma: float) -> tuple[float, float]:
    """Of sound and picture: n(t) = T (t/T)^(1/sqrt(gamma)), m(t) = T (t/T)^sqrt(gamma), so that m/T = (n/T)^gamma.

    Above 1 the picture is ahead, with less noise than the sound at every step. Raises ConditionError for gamma of 0 or
    less.
    """
    if not 0 < gamma < float("inf"):
        raise ConditionError(f"gamma is {gamma}; it is above 0, and 1 leaves the timesteps as they are.")
    return 1 / sqrt(gamma), sqrt(gamma)


def adjusted(audio: Schedule, video: Schedule, num_inference_steps: int, gamma: float = 1.0) -> tuple[list[int],
                                                                                                   list[int]]:
    """The timesteps of sound and picture, one pair for each joint step.

    Raises ConditionError for steps or gamma out of range, and for schedules of other lengths.
    """
    if audio.total != video.total:
        raise ConditionError(f"the schedules of sound and picture have {audio.total} and {video.total} timesteps; "
                             "they must have as many.")
    if not 1 <= num_inference_steps <= audio.total:
        raise ConditionError(f"num_inference_steps is {num_inference_steps}; it is 1 to {audio.total}.")
    of_audio, of_video = exponents(gamma)
    return audio.timesteps(num_inference_steps, of_audio), video.timesteps(num_inference_steps, of_video)


@dataclass(frozen=True)
class GammaFit:
    """An automatic gamma and its evidence: how far apart the two curves are at each of `gammas`."""

    gamma: float
    gammas: tuple[float, ...]
    distances: tuple[float, ...]


Curve = Callable[[Tensor], Tensor]
"""A quantity at shares t/T (N,) of the schedule, 0..1."""


def fit_gamma(audio: Curve, video: Curve, gammas: Sequence[float] = GAMMAS, points: int = 201) -> GammaFit:
    """The gamma at which the curves of sound and picture lie nearest, by mean squared difference along the run."""
    t = torch.linspace(0.005, 0.995, points, dtype=torch.float64)
    distances = []
    for gamma in gammas:
        of_audio, of_video = exponents(gamma)
        distances.append(float((audio(t**of_audio) - video(t**of_video)).square().mean()))
    return GammaFit(gammas[distances.index(min(distances))], tuple(gammas), tuple(distances))


def log_snr(schedule: Schedule) -> Curve:
    """The logarithm of signal over noise of a schedule, interpolated."""
    squares = schedule.scheduler.alphas_cumprod.double()
    return interpolated((squares / (1 - squares)).log())


def relative_loss(losses: Tensor) -> Curve:
    """Losses (N,) at evenly spaced timesteps, from none to full noise, as shares of the largest."""
    return interpolated(losses.double() / losses.max())


def interpolated(values: Tensor) -> Curve:
    """Values (N,), evenly spaced from 0 to 1, as a curve of straight pieces."""
    def curve(t: Tensor) -> Tensor:
        place = t.clamp(0, 1) * (len(values) - 1)
        low = place.floor().long().clamp_max(len(values) - 2)
        return torch.lerp(values[low], values[low + 1], place - low)

    return curve
