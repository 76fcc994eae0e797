"""Which pipeline runs, where, and whether it takes what is asked of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from .. import registry
from ..errors import ConditionError
from .options import Options


def load(system: str = "foleygram", preset: str = "mini", *, device: str = "cpu",
         dtype: torch.dtype = torch.float32) -> Any:
    """The pipeline of a system. Raises PostsyncError for names that do not exist or are not available."""
    pipeline = registry.load_pipeline(system, preset, torch_dtype=dtype)
    return pipeline if device == "cpu" else pipeline.to(device)


def load_for(options: Options) -> Any:
    """The pipeline that the options name. Raises PostsyncError, ConditionError for a device that is not here."""
    return load(options.system, options.preset, device=checked_device(options.device),
                dtype=torch.float32 if options.dtype == "float32" else torch.bfloat16)


def checked_device(name: str) -> str:
    """The device if it is here; raises ConditionError naming those that are."""
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not here.get(name.split(":")[0], False):
        choice = ", ".join(name for name, there in here.items() if there)
        raise ConditionError(f"no device '{name}' here; choose one of {choice}.")
    return name


def follows_timing(pipeline: Any) -> bool:
    """Whether the pipeline is told when to sound; if not, it takes that from the picture itself."""
    return "envelope" in pipeline.accepts


def check_accepted(pipeline: Any, arguments: Iterable[str]) -> None:
    """Raise ConditionError for arguments the pipeline does not honour."""
    refused = sorted(set(arguments) - pipeline.accepts)
    if refused:
        raise ConditionError(f"{type(pipeline).__name__} does not take {', '.join(refused)}; leave that away (it takes "
                             f"{', '.join(sorted(pipeline.accepts))}).")
