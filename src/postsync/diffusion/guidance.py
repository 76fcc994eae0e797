"""Guidance: classifier-free, and by guides (`protocols/guide.py`) that move the latents around a solver's step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from ..errors import ConditionError
from ..protocols.guide import AfterStep, BeforeStep, Guide, Step


def classifier_free_guidance(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """u + scale * (c - u) (Ho & Salimans 2022); scale 1 is the conditional prediction alone."""
    return unconditional + scale * (conditional - unconditional)


def scale_at(scale: float, time: float, interval: tuple[float, float]) -> float:
    """The guidance scale at `time` in 0 (clean) .. 1 (noise): 1 outside of `interval` (both ends in it).

    Outside the interval a step costs half as much (Kynkäänniemi et al. 2024).
    """
    low, high = interval
    return scale if low <= time <= high else 1.0


def check_guides(guides: Sequence[Guide]) -> None:
    """Raise ConditionError for an object that is not a guide."""
    for guide in guides:
        if not isinstance(guide, BeforeStep | AfterStep):
            raise ConditionError(f"{type(guide).__name__} is not a guide: it has neither before_step nor after_step.")


def guided_before(guides: Sequence[Guide], step: Step) -> Tensor:
    """The state after the `before_step` of each guide in turn; `step.latents` itself where none moved it."""
    for guide in guides:
        if isinstance(guide, BeforeStep):
            moved = guide.before_step(step)
            step = replace(step, latents_before=moved, latents=moved)
    return step.latents


def guided_after(guides: Sequence[Guide], step: Step) -> Tensor:
    """The state after the `after_step` of each guide in turn; `step.latents` itself where none moved it."""
    for guide in guides:
        if isinstance(guide, AfterStep):
            step = replace(step, latents=guide.after_step(step))
    return step.latents
