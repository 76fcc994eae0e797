"""How far a run is: its stage and the part of it that is done; and the warnings that concern it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

Stage = Literal["reading", "denoising", "decoding", "levelling", "writing"]


@dataclass(frozen=True)
class Progress:
    """`fraction` (0..1) of a stage is done."""

    stage: Stage
    fraction: float


OnProgress = Callable[[Progress], None]
"""Is called as a run goes on. One that raises Cancelled ends the run in any stage, and nothing half-written stays."""


def stage(on_progress: OnProgress | None, name: Stage) -> Callable[[float], None] | None:
    """What reports the fraction of one stage; None where nobody listens."""
    return None if on_progress is None else lambda fraction: on_progress(Progress(name, min(fraction, 1.0)))


class _Notebook(logging.Handler):
    """Keeps the warnings of one thread, each once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.notes: dict[str, None] = {}
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.notes[record.getMessage()] = None


@contextmanager
def noted() -> Iterator[dict[str, None]]:
    """Within the block, what this package warns of on this thread is also kept; gives it, in order, as keys."""
    log, notebook = logging.getLogger("postsync"), _Notebook()
    log.addHandler(notebook)
    try:
        yield notebook.notes
    finally:
        log.removeHandler(notebook)
