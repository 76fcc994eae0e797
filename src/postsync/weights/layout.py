"""Published state dicts -> ours: every key is used, or skipped for a documented reason.

Each tower names its layout by two tables of regular expressions: how official keys become ours, and which are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from ..errors import ConditionError, WeightsError

Table = Sequence[tuple[str, str]]
ModelT = TypeVar("ModelT", bound=nn.Module)


def rename(state: Mapping[str, Tensor], table: Table, ignored: Table = ()) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Official state dict -> ours in float32, and the keys that are skipped, each with the reason.

    table: (pattern, replacement) pairs, all applied in their order. ignored: (pattern at the key's start, reason).
    Raises WeightsError if two keys become one.
    """
    ours: dict[str, Tensor] = {}
    skipped: dict[str, str] = {}
    for official, value in state.items():
        reason = next((why for pattern, why in ignored if re.match(pattern, official)), None)
        if reason is not None:
            skipped[official] = reason
            continue
        key = official
        for pattern, replacement in table:
            key = re.sub(pattern, replacement, key)
        if key in ours:
            raise WeightsError(f"the checkpoint holds '{key}' twice, the second time as '{official}'; it mixes two "
                               "layouts. Use the file as it was published.")
        ours[key] = value.float() if value.is_floating_point() else value
    return ours, skipped


def blended(start: Mapping[str, Tensor], trained: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """`share` of the trained values and the rest of those of `start`, float32 on the CPU (weight-space ensembling:
    Wortsman et al., CVPR 2022, section 3); whole numbers and what `start` lacks stay as trained."""
    return {name: torch.lerp(start[name].float().cpu(), value.float().cpu(), share)
            if name in start and value.is_floating_point() else value.cpu() for name, value in trained.items()}


def check_blend(blend: float | None, start: Path | None) -> None:
    """Raise ConditionError for a blend without trained weights to blend with."""
    if blend is not None and start is None:
        raise ConditionError("blend mixes the trained weights with those of a start; name it with --part start=FOLDER.")


@contextmanager
def readable(folder: str | PathLike[str], what: str, advice: str) -> Iterator[None]:
    """Within the block what libraries raise for a folder that is not what they load becomes a WeightsError: `folder`
    holds no `what`, and `advice`. A folder that is not there is refused before, or they would look for it on a hub."""
    if not Path(folder).is_dir():
        raise WeightsError(f"{folder} holds no {what}: there is no such folder; {advice}")
    try:
        yield
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError, SafetensorError) as error:
        raise WeightsError(f"{folder} holds no {what} ({' '.join(str(error).split())[:200]}); {advice}") from error


class Part(nn.Module):
    """A part of a pipeline that is no model of diffusers, which asks all parts where they are and of which type."""

    @property
    def device(self) -> torch.device:
        """That of its first weights."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """That of its first weights."""
        return next(self.parameters()).dtype


def is_saved(folder: Path, class_name: str) -> bool:
    """Whether `folder` has a config.json that names this class, or kind of model."""
    config = folder / "config.json"
    return config.is_file() and f'"{class_name}"' in config.read_text(encoding="utf-8")


def build(make: Callable[[], ModelT], state: Mapping[str, Tensor], what: str) -> ModelT:
    """The model that `make` builds, holding `state` (not copied), in eval mode.

    what: the name of the network for the message. Raises WeightsError where keys or shapes differ.
    """
    with torch.device("meta"):
        model = make()
    wanted = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    found = {k: tuple(v.shape) for k, v in state.items()}
    if wanted != found:
        wrong = sorted(k for k in wanted.keys() | found.keys() if wanted.get(k) != found.get(k))
        key = wrong[0]
        raise WeightsError(f"this is not a checkpoint of {what}: {len(wrong)} tensors differ, first '{key}' (file "
                           f"{found.get(key, 'none')}, network {wanted.get(key, 'none')}). Use the published file.")
    model.load_state_dict(state, assign=True)
    return model.eval()
