"""The exponential moving average of an objective's trained parameters: the teacher, and what is exported."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class ExponentialMovingAverage:
    """Keeps `teacher`, a copy of `objective` whose trainable parameters follow it slowly.

    The decay starts low, min(decay, (1 + step) / (10 + step)), so that a short run does not average its random start.
    Frozen modules are shared with the objective, not copied; saved buffers are copied as they are.
    """

    def __init__(self, objective: nn.Module, decay: float, frozen: list[nn.Module] | None = None) -> None:
        self.decay = decay
        shared = {id(part): part for module in frozen or [] for part in (module, *module.parameters())}
        self.teacher = copy.deepcopy(objective, shared).requires_grad_(False).eval()
        self._names = [name for name, p in objective.named_parameters() if p.requires_grad]
        self._buffers = sorted(objective.state_dict().keys() - dict(objective.named_parameters()).keys())

    @torch.no_grad()
    def update(self, objective: nn.Module, step: int) -> None:
        """Move the average towards `objective` after optimiser step `step` (0-based)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        mine, theirs = dict(self.teacher.named_parameters()), dict(objective.named_parameters())
        torch._foreach_lerp_([mine[n] for n in self._names], [theirs[n].detach() for n in self._names], 1 - decay)
        for name in self._buffers:
            self.teacher.get_buffer(name).copy_(objective.get_buffer(name))

    @torch.no_grad()
    def copy_to(self, objective: nn.Module) -> None:
        """Put the averaged parameters into `objective`."""
        mine = dict(self.teacher.named_parameters())
        for name, parameter in objective.named_parameters():
            if name in self._names:
                parameter.copy_(mine[name])

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged parameters by name."""
        mine = dict(self.teacher.named_parameters())
        return {name: mine[name] for name in self._names}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` gave; raises KeyError where a parameter is missing."""
        mine = dict(self.teacher.named_parameters())
        for name in self._names:
            mine[name].copy_(state[name])
