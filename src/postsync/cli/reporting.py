"""What a run says while it works and at its end: stages, results and warnings, for a person or as JSON."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from ..generation.options import Options
from ..protocols.pipeline import Progress
from . import exit_with

if TYPE_CHECKING:
    from ..generation.batch import Report
    from ..protocols.pipeline import Pipeline


class Reporter:
    """Reports progress on standard output; with --json on standard error, with a report at the end."""

    def __init__(self, as_json: bool, quiet: bool) -> None:
        self.as_json, self.quiet = as_json, quiet
        self.bars = Bars(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"),
                         TimeRemainingColumn(), console=Console(stderr=True), transient=True, disable=quiet)
        self._task: TaskID | None = None

    def load(self, options: Options) -> Pipeline:
        """The options' pipeline."""
        from ..generation.session import load_for

        return load_for(options, progress_bar=False)  # the bar here shows every stage

    def on_progress(self, progress: Progress) -> None:
        """Show the stage."""
        if self._task is None:
            self._task = self.bars.add_task(progress.stage, total=1.0)
        self.bars.update(self._task, description=progress.stage, completed=progress.fraction)

    def say(self, text: str) -> None:
        """A line for a person."""
        if not self.quiet:
            typer.echo(text, err=self.as_json)

    def on_result(self, entry: Mapping[str, Any]) -> None:
        """Report a result that was written."""
        self.say(f"{entry['duration_s']:.3f} s, {entry['onsets']} onsets, seed {entry['seed']}")
        for shot in entry["seen"]:
            if shot["prompt"] is not None:
                self.say(f"seen: {shot['sound']} ({shot['confidence']:.2f}), so “{shot['prompt']}”")
        for caption in entry["captions"]:
            self.say(f"caption: {caption}")
        for kind in ("output", "wav_file", "envelope_file", "onsets_file", "plot_file"):
            if kind in entry:
                self.say(f"wrote {entry[kind]}")

    def end(self, report: Report) -> None:
        """The report; raises the one error of a single clip, typer.Exit (2) after a list of several."""
        for entry in report.skipped:
            self.say(f"skipped {entry['input']}: {entry['output']} exists")
        if self.as_json:
            typer.echo(json.dumps(report.to_json(), indent=2))
        if report.failures and not report.results and not report.skipped and len(report.failures) == 1:
            raise report.failures[0]
        total = len({entry["input"] for entry in (*report.results, *report.skipped, *report.errors)})
        exit_with([entry["error"] for entry in report.errors], total)


@contextlib.contextmanager
def warnings_shown(quiet: bool) -> Iterator[None]:
    """Warnings go to standard error, one line each; none where only errors are printed."""
    log, handler = logging.getLogger("postsync"), logging.StreamHandler()
    handler.setLevel(logging.ERROR if quiet else logging.WARNING)
    handler.setFormatter(logging.Formatter("postsync: %(message)s"))
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
