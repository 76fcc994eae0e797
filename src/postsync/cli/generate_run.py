"""What `postsync generate` does with its options: checks their combination, starts the run, reports the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import registry
from ..errors import ConditionError
from ..generation.options import Options, with_settings
from ..generation.outputs import Outputs, make_folder
from ..generation.requests import read_all_requests, read_cues
from .reporting import Reporter, warnings_shown
from .run_options import check_takes, given_options

if TYPE_CHECKING:
    from ..generation.batch import Report


def generate(videos: Sequence[Path], asked: Mapping[str, Any], pairs: Mapping[str, Sequence[str]], cues: Path | None,
             own: Sequence[str], num_samples: int, span: tuple[float, float] | None, from_: Path | None,
             skip_existing: bool, written: Mapping[str, Any], *, as_json: bool, quiet: bool) -> None:
    """Run `postsync generate`. `asked`: options by name, None where not given; `pairs`: the values of --set and --part;
    `own`: what becomes of the clip's own sound; `written`: fields of Outputs. Raises PostsyncError for a single clip,
    typer.Exit (2) for several."""
    given = given_options(asked, pairs["set"], pairs["part"])
    if len(own) > 1:
        raise ConditionError(f"--{' and --'.join(own)} cannot be combined; the clip's own sound is replaced, mixed or "
                             "kept.")
    given |= {"sound": own[0]} if own else {}
    given |= {"cues": read_cues(cues)} if cues is not None else {}
    check_takes(num_samples)
    outputs, reporter = Outputs(**written), Reporter(as_json, quiet)
    files = [Path(given[name]) for name in ("reference", "envelope", "onsets") if name in given]
    read = tuple(files + ([] if cues is None else [cues]))
    with warnings_shown(quiet), reporter.bars:
        if span is not None or from_ is not None:
            report = _repeat_or_redo(videos, given, num_samples, span, from_, outputs, read, reporter)
        else:
            report = _new(videos, given, num_samples, skip_existing, outputs, read, reporter)
    reporter.end(report)


def _new(videos: Sequence[Path], given: Mapping[str, Any], num_samples: int, skip_existing: bool, outputs: Outputs,
         read: tuple[Path, ...], reporter: Reporter) -> Report:
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
                    reporter: Reporter) -> Report:
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
