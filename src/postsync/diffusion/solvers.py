"""Solvers, one signature for all: `solve(model, x, levels, *, noise, solver, before_step, after_step)`.

`sample`: DPM-Solver++ 2M and 3M SDE (Lu et al. 2022; k-diffusion `sampling.py`) for eps and v, on states
`clean + sigma * noise` and a model that gives the clean estimate. `sample_flow`: Euler, Heun and the reverse SDE of the
straight path `(1 - t) clean + t noise` (sihyun-yu/REPA `samplers.py`, MIT, read, not copied), on a model that gives
dx/dt = noise - clean. All noise comes from the caller, so a seed fixes the result on any machine of one kind and no
Brownian tree is needed.

Callbacks: `before_step(i, state)` may return another state for the model's input, `after_step(i, before, after,
output)` another one to continue from; `output` is the model's output at `before`.

History: a multistep solver extrapolates from the clean estimates of earlier steps. Where a callback has moved the state
between two steps, their difference would contain that push besides the path's curvature and extrapolate both, so the
history is dropped there and the next step is of first order; with an untouched path nothing changes. The flow solvers
keep no history.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol

import torch
from torch import Tensor

from ..errors import ConditionError
from .parameterization import Denoiser

SolverName = Literal["dpmpp_2m_sde", "dpmpp_3m_sde"]
FlowSolverName = Literal["euler", "heun", "euler_maruyama"]
BeforeStep = Callable[[int, Tensor], Tensor]
AfterStep = Callable[[int, Tensor, Tensor, Tensor], Tensor]
StepNoise = Callable[[int], Tensor]
Velocity = Callable[[Tensor, float, float], Tensor]
"""`velocity(state, time, step_time)`: dx/dt at `time`; `step_time` is where the step began, which decides whether an
interval of guidance applies (Heun evaluates a second time, at the step's end)."""
Generators = torch.Generator | Sequence[torch.Generator] | None

LAST_SDE_TIME = 0.04
"""From here the SDE goes to 0 in one step without noise: the score of a nearly clean state is too steep."""


@dataclass(frozen=True)
class PastEstimate:
    """An earlier clean estimate and the length of its step in log sigma."""

    denoised: Tensor
    h: Tensor


class SolverStep(Protocol):
    """One deterministic update from `sigma` to `sigma_next` > 0; `history` holds the newest step first."""

    def __call__(self, x: Tensor, denoised: Tensor, h: Tensor, history: Sequence[PastEstimate],
                 eta: float) -> Tensor: ...


def polyexponential_sigmas(num_steps: int, sigma_min: float, sigma_max: float, rho: float = 1.0) -> Tensor:
    """(num_steps + 1,) noise levels from `sigma_max` down to `sigma_min`, then 0 (k-diffusion)."""
    ramp = torch.linspace(1, 0, num_steps, dtype=torch.float64) ** rho
    low, high = torch.tensor([sigma_min, sigma_max], dtype=torch.float64).log()
    return torch.cat([torch.exp(ramp * (high - low) + low), torch.zeros(1, dtype=torch.float64)]).float()


def dpmpp_2m_step(x: Tensor, denoised: Tensor, h: Tensor, history: Sequence[PastEstimate], eta: float) -> Tensor:
    """DPM-Solver++(2M) SDE, midpoint form, without its noise. Source: k-diffusion `sample_dpmpp_2m_sde`."""
    g = h * (1 + eta)
    x = torch.exp(-g) * x - torch.expm1(-g) * denoised
    if history:
        r = history[0].h / h
        x = x - 0.5 * torch.expm1(-g) * (denoised - history[0].denoised) / r
    return x


def dpmpp_3m_step(x: Tensor, denoised: Tensor, h: Tensor, history: Sequence[PastEstimate], eta: float) -> Tensor:
    """DPM-Solver++(3M) SDE without its noise. Source: k-diffusion `sample_dpmpp_3m_sde`."""
    g = h * (1 + eta)
    x = torch.exp(-g) * x - torch.expm1(-g) * denoised
    if not history:
        return x
    phi_2 = torch.expm1(-g) / g + 1
    r0 = history[0].h / h
    a = (denoised - history[0].denoised) / r0
    if len(history) == 1:
        return x + phi_2 * a
    r1 = history[1].h / h
    b = (history[0].denoised - history[1].denoised) / r1
    d1 = a + (a - b) * r0 / (r0 + r1)
    d2 = (a - b) / (r0 + r1)
    return x + phi_2 * d1 - (phi_2 / g - 0.5) * d2


SOLVERS: dict[str, SolverStep] = {"dpmpp_2m_sde": dpmpp_2m_step, "dpmpp_3m_sde": dpmpp_3m_step}


def sample(denoise: Denoiser, x: Tensor, sigmas: Tensor, *, noise: StepNoise, solver: SolverName = "dpmpp_3m_sde",
           eta: float = 1.0, before_step: BeforeStep | None = None, after_step: AfterStep | None = None) -> Tensor:
    """Denoise `x` (noise times sigmas[0]) along `sigmas` (S + 1,), which end at 0.

    `noise(i)` gives unit-normal noise shaped as x; it is called only where eta > 0 and the next sigma is not 0. For the
    callbacks see the module; their `output` is the clean estimate.
    """
    update = SOLVERS[solver]
    history: list[PastEstimate] = []
    for i in range(len(sigmas) - 1):
        sigma, sigma_next = sigmas[i], sigmas[i + 1]
        start = x if before_step is None else before_step(i, x)
        if start is not x:
            x, history = start, []
        denoised = denoise(x, sigma)
        if sigma_next == 0:
            after = denoised
        else:
            h = (sigma / sigma_next).log()
            after = update(x, denoised, h, history, eta)
            if eta > 0:
                after = after + noise(i) * sigma_next * (-torch.expm1(-2 * h * eta)).sqrt()
            history = [PastEstimate(denoised, h), *history[:1]]
        guided = after if after_step is None else after_step(i, x, after, denoised)
        if guided is not after:
            history = []
        x = guided
    return x


def flow_times(num_steps: int, solver: FlowSolverName = "euler") -> Tensor:
    """(num_steps + 1,) float64 times from 1 to 0: evenly spaced, for the SDE down to 0.04.

    Raises ValueError for less than one step.
    """
    if num_steps < 1:
        raise ValueError(f"{num_steps} steps cannot be taken; use 1 or more")
    if solver == "euler_maruyama":
        return torch.cat([torch.linspace(1, LAST_SDE_TIME, num_steps, dtype=torch.float64), torch.zeros(1).double()])
    return torch.linspace(1, 0, num_steps + 1, dtype=torch.float64)


def score_drift(state: Tensor, velocity: Tensor, time: float) -> Tensor:
    """Drift of the reverse SDE with diffusion g = 2 t: v - g/2 * score, with score = -((1 - t) v + x) / t."""
    return velocity + (1 - time) * velocity + state


def to_float64(x: Tensor) -> Tensor:
    """`x` in float64, or in float32 on a device that has no float64 (Apple's)."""
    return x.float() if x.device.type == "mps" else x.double()


def sample_flow(velocity: Velocity, x: Tensor, times: Tensor, *, noise: StepNoise | None = None,
                solver: FlowSolverName = "euler", before_step: BeforeStep | None = None,
                after_step: AfterStep | None = None) -> Tensor:
    """Carry unit-normal `x` to clean latents along `times` (S + 1,), see `flow_times`; float64.

    State and time are float64, so that many small steps do not accumulate rounding; only the network's input has the
    network's precision. `noise(i)` gives unit-normal noise shaped as x for step i of "euler_maruyama" (all but the
    last). For the callbacks see the module; their `output` is the velocity. Raises ValueError where the SDE has no
    noise.
    """
    if solver == "euler_maruyama" and noise is None:
        raise ValueError("the SDE draws noise at every step; give `noise`")
    x, last = to_float64(x), len(times) - 2
    for i, (time, after_time) in enumerate(pairwise(times.tolist())):
        step = after_time - time
        x = x if before_step is None else to_float64(before_step(i, x))
        slope = to_float64(velocity(x, time, time))
        if solver == "euler_maruyama":
            after = x + score_drift(x, slope, time) * step
            if noise is not None and i < last:
                after = after + noise(i).to(after) * (2 * time * -step) ** 0.5
        else:
            after = x + step * slope
            if solver == "heun" and i < last:
                after = x + step * (slope + to_float64(velocity(after, after_time, time))) / 2
        x = after if after_step is None else to_float64(after_step(i, x, after, slope))
    return x


def draw_noise(shape: Sequence[int], generator: Generators, like: Tensor | None = None) -> Tensor:
    """Unit-normal noise (B, ...) float32; a sequence of generators gives one to each sample of the batch.

    Drawn on the generators' device and moved to that of `like`, so a seed means the same noise everywhere.
    """
    device = torch.device("cpu") if like is None else like.device
    if generator is None or isinstance(generator, torch.Generator):
        source = generator.device if generator is not None else torch.device("cpu")
        return torch.randn(tuple(shape), generator=generator, device=source).to(device)
    if len(generator) != shape[0]:
        raise ValueError(f"{len(generator)} generators for a batch of {shape[0]}; give one each, or a single one")
    rows = [torch.randn(tuple(shape[1:]), generator=g, device=g.device).to(device) for g in generator]
    return torch.stack(rows)


def frame_noise(shape: Sequence[int], generator: Generators, shared: float, like: Tensor | None = None) -> Tensor:
    """Unit-normal noise (B, C, T, ...) of moving pictures, of whose variance the part `shared` is the same for all
    frames: what stands still is then denoised alike in each.

    Source: Ge et al., ICCV 2023, arXiv 2305.10474, the mixed noise model; alpha^2 / (1 + alpha^2) is the shared part.
    """
    noise = draw_noise(shape, generator, like)
    if not shared:
        return noise
    common = draw_noise((*shape[:2], 1, *shape[3:]), generator, like)
    return shared ** 0.5 * common + (1 - shared) ** 0.5 * noise


def one_generator_each(generator: Generators, count: int) -> list[torch.Generator]:
    """A generator for each of `count` sounds: of a single one, the k-th has its seed + k; of None, a fresh seed.

    Raises ConditionError for a sequence of another length.
    """
    if generator is None:
        generator = torch.Generator()
        generator.seed()
    if isinstance(generator, torch.Generator):
        seed, device = generator.initial_seed(), generator.device
        return [generator, *(torch.Generator(device).manual_seed(seed + k) for k in range(1, count))]
    if len(generator) != count:
        raise ConditionError(f"{len(generator)} generators for {count} sounds; give one each, or a single one.")
    return list(generator)
