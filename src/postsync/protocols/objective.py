"""The objective: what a training step minimises, and what it reads of a clip."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from .clip import Clip

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class FrameRequest:
    """Pictures of a clip: squares of `size` pixels a side, `fps` a second; None: every frame at its own time."""

    size: int
    fps: float | None = None


@dataclass(frozen=True)
class ClipRequest:
    """What `prepare` reads of a clip. `duration_s`: length of a scene rendered for it. `channels`: with 1, the
    sound comes mixed down; with more it comes as it is, mono where the file or the scene is (scenes always are), and
    `prepare` brings it to the channels it needs (`codecs.chunking.with_channels`)."""

    frames: FrameRequest | None
    sample_rate: int | None  # None: no sound
    duration_s: float
    channels: int = 1

    @property
    def needs(self) -> frozenset[str]:
        """"frames", "waveform", or both."""
        parts = {"frames": self.frames is not None, "waveform": self.sample_rate is not None}
        return frozenset(name for name, wanted in parts.items() if wanted)


class Objective(nn.Module, ABC):
    """Base class. `prepare` makes a sample of a clip once, `forward` the loss of a batch of stacked samples.

    Generators live on the CPU, whatever the device: draw there and move the result.
    """

    @property
    @abstractmethod
    def wants(self) -> ClipRequest:
        """What `prepare` reads of a clip."""

    @abstractmethod
    def prepare(self, clip: Clip) -> Batch:
        """One training sample: tensors of the same shapes for every clip. Raises PostsyncError for an unfit clip."""

    @abstractmethod
    def forward(self, batch: Batch, *, step: int, teacher: nn.Module | None = None,
                generator: torch.Generator | None = None) -> Batch:
        """`loss` (a scalar) and further scalars to log. `teacher`: the loop's average of this objective."""

    @abstractmethod
    def export(self, folder: Path) -> None:
        """Write the trained parts in their published form. Tied weights: with `safetensors.torch.save_model` or as a
        transformers model; diffusers' `save_pretrained` refuses them."""

    def frozen(self) -> list[nn.Module]:
        """Parts kept in eval mode; none by default."""
        return []

    def parameter_groups(self) -> list[dict[str, Any]]:
        """AdamW groups of what is trained; by default all that requires gradients, weight decay for matrices only."""
        trained = [p for p in self.parameters() if p.requires_grad]
        return [{"params": [p for p in trained if p.dim() > 1]},
                {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0}]

    def fit(self, samples: Iterable[Batch]) -> None:
        """Measure prepared samples before the first step, and again when a run is resumed; by default nothing."""

    def reads(self, clip_id: str) -> list[Path]:
        """Files besides the clip's own that `prepare` reads; none by default."""
        return []

    def preparation(self) -> tuple[dict[str, Any], dict[str, nn.Module]]:
        """Settings and modules that `prepare` depends on, by name; by default the whole objective."""
        return {}, {"": self}

    def trained_state(self) -> dict[str, Tensor]:
        """What a saved state holds: trained parameters and the buffers of modules that are not frozen.

        The objective's own tensors, each under the first of its names: writing to it restores the others.
        """
        trained = {name: p for name, p in self.named_parameters() if p.requires_grad}
        return trained | unfrozen_buffers(self, self.frozen())


def unfrozen_buffers(module: nn.Module, frozen: Sequence[nn.Module] = ()) -> dict[str, Tensor]:
    """The persistent buffers of the modules in `module` that are not in a `frozen` part; a shared one comes once, under
    the first of its names."""
    still = {id(part) for root in frozen for part in root.modules()}
    persistent = module.state_dict().keys()
    names: dict[Tensor, str] = {}  # tensors are compared by identity
    for prefix, owner in module.named_modules():
        for name, value in owner.named_buffers(prefix, recurse=False, remove_duplicate=False):
            if id(owner) not in still and name in persistent:
                names.setdefault(value, name)
    return {name: value for value, name in names.items()}
