"""Classifier-free guidance, and guides around a step."""

from __future__ import annotations

import pytest
import torch

from postsync.diffusion.guidance import (
    check_guides,
    classifier_free_guidance,
    guided_after,
    guided_before,
    scale_at,
)
from postsync.errors import ConditionError
from postsync.protocols.guide import Step


def step(latents: torch.Tensor) -> Step:
    return Step(0, 1, 0.5, 1.0, 2.0, 1.0, 1.0, latents, latents, None, lambda z: z, lambda clean, *_: clean, 1.0)


class Halve:
    def after_step(self, step: Step) -> torch.Tensor:
        return step.latents / 2


class Raise:
    def before_step(self, step: Step) -> torch.Tensor:
        assert step.latents is step.latents_before
        return step.latents + 3


class Both(Halve, Raise):
    pass


def test_guidance_scale_one_is_the_conditional_prediction():
    c, u = torch.tensor([3.0]), torch.tensor([1.0])
    assert classifier_free_guidance(c, u, 1.0) == c
    assert classifier_free_guidance(c, u, 2.0) == 5.0


def test_guidance_is_given_between_two_times_and_at_them():
    scales = [scale_at(3.0, t, (0.25, 0.75)) for t in (0.0, 0.25, 0.5, 0.75, 0.8)]
    assert scales == [1.0, 3.0, 3.0, 3.0, 1.0]


def test_guides_act_in_turn_where_they_have_a_method_for_it():
    start = torch.ones(1)
    assert guided_after([Raise()], step(start)) is start
    assert guided_before([Halve()], step(start)) is start
    assert guided_before([Raise(), Halve(), Both()], step(start)).item() == 7
    assert guided_after([Halve(), Both()], step(start)).item() == 0.25


def test_what_has_neither_method_is_no_guide():
    check_guides([Halve(), Raise(), Both()])
    with pytest.raises(ConditionError, match="object is not a guide"):
        check_guides([Halve(), object()])
