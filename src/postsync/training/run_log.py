"""Output of a training run: a progress bar, a log of scalars, and one of Accelerate's trackers."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from accelerate.tracking import get_available_trackers

from ..errors import PostsyncError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

NO_TRACKER = "none"


def tracker_named(name: str | None) -> str | None:
    """The tracker `name` for Accelerate; None, the default: TensorBoard where it is installed; "none": no tracker.

    Raises PostsyncError for one that Accelerate does not know or whose package is not installed.
    """
    installed = [str(tracker) for tracker in get_available_trackers()]
    if name is None:
        return "tensorboard" if "tensorboard" in installed else None
    if name == NO_TRACKER:
        return None
    if name not in installed:
        raise PostsyncError(f"tracker '{name}' is not installed; use {', '.join((*installed, NO_TRACKER))}, or install "
                            "its package.")
    return name


class RunLog:
    """Writes `folder/log.jsonl`, with `shown` also progress bars on the terminal; nothing in a process that is not the
    `main` one."""

    def __init__(self, folder: Path, shown: bool, main: bool = True) -> None:
        self.folder, self.main = folder, main
        self._stack = ExitStack()
        self._bars = _bars() if shown and main else None
        self._tasks: dict[str, TaskID] = {}
        self._started = time.monotonic()

    def __enter__(self) -> RunLog:
        if not self.main:
            return self
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._bars is not None:
            self._stack.enter_context(self._bars)
        self._log = self._stack.enter_context((self.folder / "log.jsonl").open("a", encoding="utf-8"))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._stack.close()

    def prepared(self, done: int, total: int) -> None:
        """`done` of `total` clips are prepared."""
        self._show("preparing", done / total, f"{done}/{total} clips")

    def step(self, step: int, fraction: float, scalars: dict[str, float]) -> None:
        """The scalars of step `step`, when `fraction` (0..1) of the run is over."""
        if not self.main:
            return
        seconds = round(time.monotonic() - self._started, 2)
        self._log.write(json.dumps({"step": step, "seconds": seconds, **scalars}) + "\n")
        self._log.flush()
        self._show("training", fraction, f"step {step} · " + " · ".join(f"{k} {v:.4g}" for k, v in scalars.items()))

    def _show(self, task: str, fraction: float, text: str) -> None:
        if self._bars is None:
            return
        if task not in self._tasks:
            self._tasks[task] = self._bars.add_task(task, total=1.0, text="")
        self._bars.update(self._tasks[task], completed=fraction, text=text)


def _bars() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    return Progress(TextColumn("{task.description:>9}"), BarColumn(30), TextColumn("{task.percentage:3.0f} %"),
                    TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[text]}"),
                    console=Console(stderr=True))
