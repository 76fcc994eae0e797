"""Progress of a run, by stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Stage = Literal["reading", "denoising", "decoding", "levelling", "writing"]


@dataclass(frozen=True)
class Progress:
    """`fraction` (0..1) of a stage is done."""

    stage: Stage
    fraction: float


OnProgress = Callable[[Progress], None]
"""Called with the progress of a run. One that raises Cancelled ends the run in any stage, and no partial file is
left."""


def stage(on_progress: OnProgress | None, name: Stage) -> Callable[[float], None] | None:
    """A callback for the fraction of one stage; None without `on_progress`."""
    return None if on_progress is None else lambda fraction: on_progress(Progress(name, min(fraction, 1.0)))
