"""What `postsync generate` does with its options: checks their combination, starts the run, reports the results."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from .. import registry
from ..errors import ConditionError
from ..generation.options import Options, with_settings
from ..generation.outputs import Outputs, make_folder
from ..generation.requests import read_all_requests, read_cues
from ..protocols.pipeline import Progress
from ..protocols.system import read_pairs
from . import exit_with

if TYPE_CHECKING:
    from ..generation.batch import Report
    from ..protocols.pipeline import Pipeline


def generate(videos: Sequence[Path], asked: Mapping[str, Any], pairs: Mapping[str, Sequence[str]], cues: Path | None,
             own: Sequence[str], num_samples: int, span: tuple[float, float] | None, from_: Path | None,
             skip_existing: bool, written: Mapping[str, Any], *, as_json: bool, quiet: bool) -> None:
    """Run `postsync generate`. `asked`: options by name, None where not given; `pairs`: the values of --set and --part;
    `own`: what becomes of the clip's own sound; `written`: fields of Outputs. Raises PostsyncError for a single clip,
    typer.Exit (2) for several."""
    given = {name: str(value) if isinstance(value, Path) else value for name, value in asked.items()
             if value is not None}
    if len(own) > 1:
        raise ConditionError(f"--{' and --'.join(own)} cannot be combined; the clip's own sound is replaced, mixed or "
                             "kept.")
    given |= {"sound": own[0]} if own else {}
    given |= {"cues": read_cues(cues)} if cues is not None else {}
    given |= {"parts": read_pairs(pairs["part"], "--part NAME=FOLDER")} if pairs["part"] else {}
    given |= {"settings": read_pairs(pairs["set"], "--set NAME=VALUE")} if pairs["set"] else {}
    if num_samples < 1 or num_samples > 1000:
        raise ConditionError(f"--num-samples is {num_samples}; it must be between 1 and 1000.")
    outputs, reporter = Outputs(**written), _Reporter(as_json, quiet)
    files = [Path(given[name]) for name in ("reference", "envelope", "onsets") if name in given]
    read = tuple(files + ([] if cues is None else [cues]))
    with _warnings(quiet), reporter.bars:
        if span is not None or from_ is not None:
            report = _repeat_or_redo(videos, given, num_samples, span, from_, outputs, read, reporter)
        else:
            report = _new(videos, given, num_samples, skip_existing, outputs, read, reporter)
    reporter.end(report)


def _new(videos: Sequence[Path], given: Mapping[str, Any], num_samples: int, skip_existing: bool, outputs: Outputs,
         read: tuple[Path, ...], reporter: _Reporter) -> Report:
    if not videos:
        raise ConditionError("no clip given; name clips, folders of clips or CSV files.")
    system = registry.system(given.get("system", registry.default_system()))
    requests = read_all_requests(videos, Options(**with_settings(given, system.options, system.name)))
    batch = len(videos) > 1 or [request.video for request in requests] != list(videos)
    planned = outputs.plan(requests, num_samples, batch)
    if batch:
        read = (*read, *videos)
    if outputs.output is not None and not any(plan.target == outputs.output for plan in planned):
        make_folder(outputs.output)
    from .lean_imports import import_diffusers

    import_diffusers()  # first, before anything else imports it slowly
    from ..generation.batch import run

    return run(planned, outputs, read, skip_existing=skip_existing, load=reporter.load, on_result=reporter.on_result,
               on_progress=reporter.on_progress)


def _repeat_or_redo(videos: Sequence[Path], given: Mapping[str, Any], num_samples: int,
                    span: tuple[float, float] | None, from_: Path | None, outputs: Outputs, read: tuple[Path, ...],
                    reporter: _Reporter) -> Report:
    from .lean_imports import import_diffusers

    import_diffusers()
    from ..generation.repetition import redo_run, repeat_run

    if len(videos) > 1:
        raise ConditionError(f"--redo and --from take one clip or result at a time, not {len(videos)}.")
    video = videos[0] if videos else None
    if span is not None and from_ is not None:
        raise ConditionError("--redo and --from cannot be combined; give the earlier result with --redo alone.")
    if from_ is not None:
        if given or num_samples > 1:
            extra = ", ".join(sorted(given)) or "num_samples"
            raise ConditionError(f"--from repeats a result unchanged; drop {extra}.")
        return repeat_run(from_, video, outputs, load=reporter.load, on_result=reporter.on_result,
                          on_progress=reporter.on_progress)
    if video is None:
        raise ConditionError("--redo needs an earlier result; name it, or its sidecar.")
    assert span is not None
    return redo_run(video, span, given, num_samples, outputs, read, load=reporter.load, on_result=reporter.on_result,
                    on_progress=reporter.on_progress)


class _Reporter:
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
def _warnings(quiet: bool) -> Iterator[None]:
    """Warnings go to standard error, one line each; none where only errors are printed."""
    log, handler = logging.getLogger("postsync"), logging.StreamHandler()
    handler.setLevel(logging.ERROR if quiet else logging.WARNING)
    handler.setFormatter(logging.Formatter("postsync: %(message)s"))
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
