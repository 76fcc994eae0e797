"""The average: slow start, right value, frozen parts shared, state restored."""

from __future__ import annotations

import pytest
import torch
from postsync.training.ema import ExponentialMovingAverage
from torch import nn


def parts() -> nn.ModuleDict:
    module = nn.ModuleDict({"trained": nn.Linear(2, 2), "frozen": nn.Linear(2, 2), "norm": nn.BatchNorm1d(2)})
    module["frozen"].requires_grad_(False)
    return module


def fill(module: nn.Module, value: float) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(value)


def test_average_follows_with_a_decay_that_grows() -> None:
    module = parts()
    fill(module["trained"], 0.0)
    ema = ExponentialMovingAverage(module, 0.5, [module["frozen"]])
    fill(module["trained"], 1.0)
    ema.update(module, step=0)
    assert float(ema.teacher["trained"].weight[0, 0]) == pytest.approx(0.9)  # decay 1 / 10
    ema.update(module, step=1000)
    assert float(ema.teacher["trained"].weight[0, 0]) == pytest.approx(0.95)  # decay 0.5


def test_frozen_parts_are_shared_and_the_teacher_needs_no_gradient() -> None:
    module = parts()
    ema = ExponentialMovingAverage(module, 0.9, [module["frozen"]])
    assert ema.teacher["frozen"] is module["frozen"]
    assert ema.teacher["trained"] is not module["trained"]
    assert not any(p.requires_grad for p in ema.teacher.parameters())
    assert all(p.requires_grad for p in module["trained"].parameters())
    assert not ema.teacher.training


def test_buffers_are_copied() -> None:
    module = parts()
    ema = ExponentialMovingAverage(module, 0.9)
    module["norm"](torch.randn(8, 2) + 5)
    ema.update(module, step=0)
    assert torch.equal(ema.teacher["norm"].running_mean, module["norm"].running_mean)


def test_state_is_restored() -> None:
    module = parts()
    ema = ExponentialMovingAverage(module, 0.9)
    state = {name: value.clone() for name, value in ema.state_dict().items()}
    assert not any(name.startswith("frozen") for name in state)
    fill(module["trained"], 7.0)
    ema.update(module, step=5)
    ema.load_state_dict(state)
    ema.copy_to(module)
    assert torch.equal(module["trained"].weight, state["trained.weight"])
