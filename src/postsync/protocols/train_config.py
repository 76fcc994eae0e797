"""How long, how fast and with what randomness to train. Imports nothing heavy, so that the registry may use it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ..errors import PostsyncError


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one run of the loop. Raises PostsyncError for an unknown precision or a negative seed."""

    steps: int = 2000  # optimiser steps; with max_minutes whichever ends first
    batch_size: int = 16  # clips in a batch, in each process
    accumulation: int = 1  # batches per optimiser step, in each process
    lr: float = 3e-4  # of groups without their own
    weight_decay: float = 0.01  # of groups without their own
    betas: tuple[float, float] = (0.9, 0.99)
    schedule: Literal["cosine", "constant"] = "cosine"  # of the rate after its warm-up
    warmup: int = 100  # steps of linear warm-up
    max_grad_norm: float = 1.0
    ema_decay: float = 0.999
    seed: int = 0
    max_minutes: float | None = None  # wall-clock budget; the cosine then follows the time spent
    mixed_precision: str = "no"  # "no" | "bf16" | "fp16"
    checkpoint_every: int = 1000  # steps between saved states
    checkpoint_minutes: float = 5.0  # and at least this often
    log_every: int = 20

    def __post_init__(self) -> None:
        if self.mixed_precision not in ("no", "bf16", "fp16"):
            raise PostsyncError(f"precision {self.mixed_precision} is not known; use no, bf16 or fp16.")
        if self.seed < 0:
            raise PostsyncError(f"the seed is {self.seed}; use 0 or more.")

    def lr_factor(self, step: int, elapsed_s: float = 0.0) -> float:
        """Factor on every group's rate at `step` (0-based): linear warm-up, then 1, or a cosine to 0 at the end."""
        rise = min(1.0, (step + 1) / max(1, self.warmup))
        if self.schedule == "constant":
            return rise
        return rise * 0.5 * (1 + math.cos(math.pi * self.done(step, elapsed_s)))

    def done(self, step: int, elapsed_s: float) -> float:
        """Finished share of the run, 0..1, by steps or by time, whichever is further."""
        by_steps = step / max(1, self.steps)
        by_time = elapsed_s / (60 * self.max_minutes) if self.max_minutes else 0.0
        return min(1.0, max(by_steps, by_time))
