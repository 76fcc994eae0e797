"""The objective: what a training step minimises, and what it reads of a clip."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
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


SPARSE_FRAMES = FrameRequest(64, 4.0)  # for encoders that use a few frames of a scene: rendering them all is slow
NATIVE_S = 8.16  # native length of the mini systems: 204 latent frames at 25 a second


@dataclass(frozen=True)
class ClipRequest:
    """What `prepare` reads of a clip. `duration_s`: length of a scene rendered for it. `channels`: with 1, the sound
    comes mixed down; with more it comes as it is in the file."""

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
        """Write the trained parts in their published form."""

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
        """What a saved state holds: trained parameters and the buffers of modules that are not frozen."""
        still = {f"{name}." for name, module in self.named_modules() for part in self.frozen()
                 if module is part and name}
        names = {name for name, p in self.named_parameters() if p.requires_grad}
        parameters = dict(self.named_parameters())
        return {name: value for name, value in self.state_dict().items()
                if name in names or (name not in parameters and not name.startswith(tuple(still)))}
