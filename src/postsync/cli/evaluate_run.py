"""What `postsync evaluate` does with its options: measures, prints, writes, and fails where asked to be strict."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import Progress

from ..errors import ConditionError
from ..media.output import check_writable

LOG_WIDTH = 120  # columns where no terminal says how many it has


@dataclass(frozen=True)
class Written:
    """Files and folders that the results go to."""

    json: Path | None
    plot: Path | None
    html: Path | None
    num_clips: int  # on the page
    sort_by: str | None  # the metric that chooses them

    def check(self) -> None:
        """Raise PostsyncError before the work where a result could not be written, or would replace what is read."""
        for path, suffix in ((self.json, ".json"), (self.html, ".html")):
            if path is not None:
                check_writable(path)
                if path.exists() and path.suffix.lower() != suffix:
                    raise ConditionError(f"{path}: exists and is not a {suffix} file, so it is not overwritten; name "
                                         f"another output that ends in {suffix}")
        if self.plot is not None and self.plot.exists() and not self.plot.is_dir():
            raise ConditionError(f"{self.plot}: is a file; --plot names the folder that plots go into")


def evaluate(systems: Sequence[Path], reference: Path, suite: str, asked: Mapping[str, Any], written: Written, *,
             strict: bool, quiet: bool) -> None:
    """Run `postsync evaluate`. `asked`: fields of Settings. Raises PostsyncError, typer.Exit (2) where `strict` and
    something was missing."""
    from .lean_imports import import_diffusers

    import_diffusers()  # first, before anything else imports it slowly
    from ..evaluation import suites

    chosen = suites.suite(suite)
    if len({path.resolve() for path in systems}) < len(systems):
        raise ConditionError("a folder is named twice; name different ones to compare them")
    if written.sort_by not in (None, *(metric.name for metric in chosen.metrics)):
        raise ConditionError(f"--sort-by: suite {suite} has no metric '{written.sort_by}'; choose from: "
                             f"{', '.join(metric.name for metric in chosen.metrics)}")
    written.check()
    from ..evaluation.job import Settings, run
    from ..registry import checked_device

    settings = Settings(**asked)
    checked_device(settings.device)
    with Progress(console=Console(stderr=True), transient=True, disable=quiet) as progress:
        task = progress.add_task("measuring", total=None)
        done = run(systems, reference, chosen, settings,
                   lambda number, total: progress.update(task, completed=number, total=total))
        progress.update(task, description="resampling", total=None)
        document = _document(done, _command(systems, reference, suite, asked))
    _show(document, quiet)
    _write(document, written)
    if strict:
        _fail_on_missing(document)


def _command(systems: Sequence[Path], reference: Path, suite: str, asked: Mapping[str, Any]) -> str:
    """The command that reproduces the figures: without output paths."""
    options = {"reference": reference, "suite": suite, "seed": asked["seed"], "duration": asked["duration_s"],
               "resamples": asked["resamples"], "device": asked["device"]}
    words = [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]
    words += [word for name, folder in asked["parts"].items() for word in ("--part", f"{name}={folder}")]
    return shlex.join(["postsync", "evaluate", *map(str, systems), *words])


def _document(done: Any, command: str) -> dict[str, Any]:
    if len(done.systems) == 1:
        from ..evaluation.document import describe

        return describe(done, done.systems[0], command)
    from ..evaluation.document import compare

    return compare(done, command)


def _show(document: Mapping[str, Any], quiet: bool) -> None:
    from ..evaluation.table import print_comparison, print_evaluation

    if not quiet:
        printed = print_comparison if "systems" in document else print_evaluation
        console = Console()
        printed(document, console if console.is_terminal else Console(width=LOG_WIDTH))


def _write(document: dict[str, Any], written: Written) -> None:
    from ..evaluation.document import with_absolute_paths, write_json

    if written.json is not None:
        write_json(document, written.json)
    if written.html is None and written.plot is None:
        return
    from ..evaluation.page import write_html, write_plots

    evaluations = [with_absolute_paths(one) for one in document.get("systems", [document])]
    if written.html is not None:
        write_html(evaluations, written.html, num_clips=written.num_clips, sort_by=written.sort_by)
    if written.plot is not None:
        write_plots(evaluations, written.plot)


def _fail_on_missing(document: Mapping[str, Any]) -> None:
    missing = [entry for one in document.get("systems", [document]) for entry in one["missing"]]
    if missing:
        print(f"postsync: --strict: {len(missing)} problems with clips:", file=sys.stderr)
        for entry in missing:
            print(f"  {entry['clip_id']} ({entry['side']}): {entry['reason']}", file=sys.stderr)
        raise typer.Exit(2)
