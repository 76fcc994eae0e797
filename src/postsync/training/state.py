"""State of a training run: the average of the trained parameters and the position, saved to disk for resuming."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import PostsyncError
from ..media.output import whole_folder
from ..protocols.objective import Objective, unfrozen_buffers

FILE = "trained.safetensors"  # "trained.NAME" and "average.NAME"; the optimiser's state is Accelerate's, beside it
_EARLIER = ("model.safetensors", "pytorch_model.bin")  # whole objectives, including frozen parts


class ExponentialMovingAverage:
    """Keeps `teacher`, a copy of `objective` whose trained parameters follow it slowly.

    The decay starts low, min(decay, (1 + step) / (10 + step)), so that a short run does not average its random start.
    Parameters that need no gradient and buffers of `frozen` modules are shared with the objective, not copied; other
    saved buffers are copied as they are. What is tied in the objective is tied in the teacher.
    """

    def __init__(self, objective: nn.Module, decay: float, frozen: Sequence[nn.Module] = ()) -> None:
        self.decay = decay
        shared: dict[int, object] = {id(p): p for p in objective.parameters() if not p.requires_grad}
        for module in frozen:
            shared |= {id(buffer): buffer for buffer in module.buffers()}
            if not any(p.requires_grad for p in module.parameters()):
                shared[id(module)] = module
        self.teacher = copy.deepcopy(objective, dict(shared)).requires_grad_(False).eval()
        self._names = [name for name, p in objective.named_parameters() if p.requires_grad]
        self._buffers = list(unfrozen_buffers(objective, frozen))

    @torch.no_grad()
    def update(self, objective: nn.Module, step: int) -> None:
        """Move the average towards `objective` after optimiser step `step` (0-based)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        mine, theirs = dict(self.teacher.named_parameters()), dict(objective.named_parameters())
        torch._foreach_lerp_([mine[n] for n in self._names], [theirs[n].detach() for n in self._names], 1 - decay)
        self.copy_buffers(objective)

    @torch.no_grad()
    def copy_buffers(self, objective: nn.Module) -> None:
        """Copy the buffers of `objective` to the teacher."""
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
        """Restore the result of `state_dict`; raises KeyError for a missing parameter."""
        mine = dict(self.teacher.named_parameters())
        for name in self._names:
            mine[name].copy_(state[name])


@dataclass
class Position:
    """Position of a run."""

    step: int = 0
    elapsed_s: float = 0.0


class SavedState:
    """The folder of a run's saved state: the trained parameters, their average, the position and the optimiser.

    Frozen parts are not in it, and of tied ones each once: the objective that resumes has the parts and the ties.
    """

    def __init__(self, folder: Path, accelerator: Accelerator, objective: Objective, average: ExponentialMovingAverage,
                 position: Position) -> None:
        self.folder, self.accelerator, self.objective = folder, accelerator, objective
        self.average, self.position = average, position
        accelerator.register_save_state_pre_hook(lambda models, weights, folder: weights.clear())  # see `save`
        accelerator.register_load_state_pre_hook(lambda models, folder: models.clear())
        if accelerator.is_main_process:
            for left in folder.parent.glob(f".{folder.name}.*.part"):  # by a run killed while saving
                shutil.rmtree(left, ignore_errors=True)

    def save(self) -> None:
        """Write the state beside the old one, then replace it; only in the main process.

        Raises PostsyncError if it cannot be written.
        """
        if not self.accelerator.is_main_process:
            return
        tensors = {f"trained.{name}": value for name, value in self.objective.trained_state().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.state_dict().items()}
        tensors = {name: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
                   for name, value in tensors.items()}  # copies, for safetensors takes no views of one memory
        position = {"step": str(self.position.step), "elapsed_s": repr(self.position.elapsed_s)}
        try:
            with whole_folder(self.folder) as partial:
                save_file(tensors, partial / FILE, metadata=position)
                self.accelerator.save_state(str(partial))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise PostsyncError(f"{self.folder}: the state could not be written ({error}); check the free space and "
                                "permissions of its folder.") from error

    def load(self) -> None:
        """Continue from the saved state. Raises PostsyncError if there is none, or if it is damaged, of an earlier
        version, or of another objective."""
        folder = self.folder
        if not folder.is_dir():
            raise PostsyncError(f"nothing to resume in {folder}; start without --resume.")
        if not (folder / FILE).is_file() and any((folder / name).is_file() for name in _EARLIER):
            raise PostsyncError(f"{folder} was saved by an earlier version, whose states this one does not read; "
                                "finish the run with that version, or restart without --resume.")
        try:
            with safe_open(folder / FILE, framework="pt") as file:
                position = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            self._restore(tensors)
            self.accelerator.load_state(str(folder))
            self.position.step, self.position.elapsed_s = int(position["step"]), float(position["elapsed_s"])
        except (PostsyncError, MemoryError):
            raise
        except Exception as error:  # whatever the readers of its files make of damaged ones
            raise PostsyncError(f"{folder}: the saved state is damaged, or another run's ({error}); restart "
                                "without --resume.") from error

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        trained = {name.removeprefix("trained."): v for name, v in tensors.items() if name.startswith("trained.")}
        average = {name.removeprefix("average."): v for name, v in tensors.items() if name.startswith("average.")}
        if differing := sorted(trained.keys() ^ self.objective.trained_state().keys()):
            raise PostsyncError(f"{self.folder} holds the state of another objective (they differ in {differing[0]}); "
                                "resume with the same name, preset, parts and options.")
        self.objective.load_state_dict(trained, strict=False)
        self.average.load_state_dict(average)
        self.average.copy_buffers(self.objective)
