"""Progress of a run, by stage, and its warnings."""

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
"""Called with the progress of a run. One that raises Cancelled ends the run in any stage, and no partial file is
left."""


def stage(on_progress: OnProgress | None, name: Stage) -> Callable[[float], None] | None:
    """A callback for the fraction of one stage; None without `on_progress`."""
    return None if on_progress is None else lambda fraction: on_progress(Progress(name, min(fraction, 1.0)))


class _Notebook(logging.Handler):
    """Collects the warnings of one thread, each once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.notes: dict[str, None] = {}
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.notes[record.getMessage()] = None


@contextmanager
def noted() -> Iterator[dict[str, None]]:
    """Within the block, this package's warnings on this thread are also collected; yields them, in order, as keys."""
    log, notebook = logging.getLogger("postsync"), _Notebook()
    log.addHandler(notebook)
    try:
        yield notebook.notes
    finally:
        log.removeHandler(notebook)
