"""The table of timing readers. A new reader is a file with a function and a row here.

Nothing heavy is imported until a reader is opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from .. import weights
from ..errors import ConditionError, WeightsError

if TYPE_CHECKING:
    import numpy as np

    from .timing import Timing

ANALYSIS_SIZE = 96  # pixels a side of the pictures that readers are given; larger ones did not improve timing


class TimingReader(Protocol):
    """Reads one clip, frame by frame, keeping little of each."""

    def push(self, frame: np.ndarray, time_s: float, /) -> None:
        """Take the next frame, (ANALYSIS_SIZE, ANALYSIS_SIZE) uint8 luma; `time_s` is when its display starts."""

    def finish(self, duration_s: float, /) -> Timing:
        """The timing of a clip of this length, after all its frames."""


@dataclass(frozen=True)
class ReaderEntry:
    """One reader, by name."""

    name: str
    summary: str
    build: str  # "module:function" of (folder: Path | None) -> TimingReader
    weights: str | None = None  # bundled folder of its weights


READERS: Mapping[str, ReaderEntry] = {entry.name: entry for entry in (  # in order of preference
    ReaderEntry("predicted", "four small networks on motion statistics, trained on scenes",
                "postsync.timing.predictor:open_reader", weights="timing"),
    ReaderEntry("motion", "a recipe without weights: things that strike stop suddenly",
                "postsync.timing.motion:open_reader"),
)}


def reader_name(asked: str | None = None) -> str:
    """The requested reader, by default the first whose weights are installed.

    Raises ConditionError for an unknown name, WeightsError if its weights are not installed.
    """
    if asked is None:
        return next(name for name in READERS if _installed(name))
    if asked not in READERS:
        raise ConditionError(f"no timing reader is called '{asked}'; there are: {', '.join(READERS)}.")
    if not _installed(asked):
        raise WeightsError(f"the weights of the timing reader '{asked}' are not installed; use --timing "
                           f"{reader_name()}, or reinstall postsync.")
    return asked


def open_reader(name: str, folder: Path | None = None) -> TimingReader:
    """A new reader for one clip. `folder`: its weights, by default the bundled ones.

    Raises ConditionError for an unknown name, WeightsError if weights are missing.
    """
    if folder is None or name not in READERS:
        name = reader_name(name)
    module, function = READERS[name].build.split(":")
    return cast(TimingReader, getattr(import_module(module), function)(folder))


def _installed(name: str) -> bool:
    needed = READERS[name].weights
    return needed is None or needed in weights.available()
