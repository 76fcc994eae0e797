"""Solvers of the straight path x_t = (1 - t) clean + t noise, from t = 1 (noise) to 0: ODE and reverse SDE.

Source: sihyun-yu/REPA `samplers.py` (MIT, read, not copied). The network predicts dx/dt = noise - clean. State and time
are float64, so that many small steps do not round; only what the network is shown has its precision. No solver here
keeps a history, so a guide may move the latents after any step.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

FlowSolverName = Literal["euler", "heun", "euler_maruyama"]
Velocity = Callable[[Tensor, float, float], Tensor]
"""`velocity(state, time, step_time)`: dx/dt at `time`; `step_time` is where the step began, by which an interval of
guidance is judged (Heun asks a second time, at the step's end)."""
AfterFlowStep = Callable[[int, Tensor, Tensor, Tensor], Tensor]

LAST_SDE_TIME = 0.04
"""From here the SDE goes to 0 in one step without noise: the score of a nearly clean state is too steep to follow."""


def flow_times(num_steps: int, solver: FlowSolverName = "euler") -> Tensor:
    """(num_steps + 1,) float64 times from 1 to 0: even ones, for the SDE even down to 0.04.

    Raises ValueError for less than one step.
    """
    if num_steps < 1:
        raise ValueError(f"{num_steps} steps lead nowhere; take 1 or more")
    if solver == "euler_maruyama":
        return torch.cat([torch.linspace(1, LAST_SDE_TIME, num_steps, dtype=torch.float64), torch.zeros(1).double()])
    return torch.linspace(1, 0, num_steps + 1, dtype=torch.float64)


def score_drift(state: Tensor, velocity: Tensor, time: float) -> Tensor:
    """Drift of the reverse SDE with diffusion g = 2 t: v - g/2 * score, with score = -((1 - t) v + x) / t."""
    return velocity + (1 - time) * velocity + state


def exact(x: Tensor) -> Tensor:
    """`x` in float64, or in float32 on a device that has no float64 (Apple's)."""
    return x.float() if x.device.type == "mps" else x.double()


def sample_flow(velocity: Velocity, x: Tensor, num_steps: int, *, solver: FlowSolverName = "euler",
                noise: Callable[[int], Tensor] | None = None, after_step: AfterFlowStep | None = None) -> Tensor:
    """Carry unit-normal `x` to clean latents in `num_steps` steps; float64.

    `noise(i)` gives unit-normal noise shaped as x for step i of "euler_maruyama" (all but the last). `after_step(i,
    before, after, velocity)` may return other latents; `velocity` is that at `before`. Raises ValueError where the SDE
    has no noise.
    """
    if solver == "euler_maruyama" and noise is None:
        raise ValueError("the SDE draws noise at every step; give `noise`")
    times = flow_times(num_steps, solver).tolist()
    x = exact(x)
    for i, (time, after_time) in enumerate(pairwise(times)):
        step = after_time - time
        slope = exact(velocity(x, time, time))
        if solver == "euler_maruyama":
            after = x + score_drift(x, slope, time) * step
            if noise is not None and i < num_steps - 1:
                after = after + noise(i).to(after) * (2 * time * -step) ** 0.5
        else:
            after = x + step * slope
            if solver == "heun" and i < num_steps - 1:
                after = x + step * (slope + exact(velocity(after, after_time, time))) / 2
        x = after if after_step is None else exact(after_step(i, x, after, slope))
    return x
