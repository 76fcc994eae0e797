"""`postsync evaluate`: measure folders of generated clips against real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..evaluation import SUITES
from ..protocols.system import read_pairs

SUITE_HELP = f"one of {', '.join(SUITES)}"


def evaluate(
    generated: Annotated[list[Path], typer.Argument(
        help="folder of generated sounds or videos, or with a manifest; several are compared with each other")],
    reference: Annotated[Path, typer.Option(
        help="folder of the real clips, or with a manifest; paired by clip id, which is the file name without suffix")],
    suite: Annotated[str, typer.Option(help=SUITE_HELP)] = "scenes",
    json_: Annotated[Path | None, typer.Option("--json", help="also all figures as JSON", show_default=False)] = None,
    plot: Annotated[Path | None, typer.Option(help="also plots, PNG, into this folder", show_default=False)] = None,
    html: Annotated[Path | None, typer.Option(help="also one page that opens offline", show_default=False)] = None,
    num_clips: Annotated[int, typer.Option(help="clips on the page, half the worst and half the best", min=0)] = 6,
    sort_by: Annotated[str | None, typer.Option(help="the metric that orders the clips on the page",
                                                show_default=False)] = None,
    strict: Annotated[bool, typer.Option("--strict", help="fail (exit 2) if any clip is missing, silent, short or "
                                                          "unreadable")] = False,
    seed: Annotated[int, typer.Option(help="of the bootstrap")] = 0,
    duration: Annotated[float | None, typer.Option(help="seconds of each clip; default: the suite's",
                                                   show_default=False)] = None,
    resamples: Annotated[int, typer.Option(help="of the bootstrap over clips")] = 1000,
    device: Annotated[str, typer.Option(help="cpu, cuda, mps")] = "cpu",
    part: Annotated[list[str] | None, typer.Option(metavar="NAME=FOLDER", help="trained network in place of a bundled "
                    "one (scene_classifier, gram); may be repeated", show_default=False)] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no table, no progress")] = False,
) -> None:
    """Measure generated clips: one table, and one JSON from which others can reproduce it."""
    from ..registry import checked_parts
    from . import evaluate_run

    folders = read_pairs(part or (), "--part NAME=FOLDER")
    parts = checked_parts("evaluate", folders, folders)
    evaluate_run.evaluate(
        generated, reference, suite, {"seed": seed, "duration_s": duration, "resamples": resamples, "device": device,
                                       "parts": parts},
        evaluate_run.Written(json_, plot, html, num_clips, sort_by), strict=strict, quiet=quiet)
