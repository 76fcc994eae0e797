"""A run over one clip or many: every result is written as soon as it is ready, and no bad clip stops the rest."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Unpack

from ..errors import Cancelled, PostsyncError
from ..media.container import check_readable, sha256_of
from ..media.picture import ClipPicture
from ..protocols.pipeline import OnProgress, Pipeline
from .naming import lossless_path, sidecar_path
from .options import Options, OptionValues
from .outputs import Outputs, Planned, make_folder
from .requests import read_all_requests
from .result import Result, publish
from .session import ClipSession, fresh_seed, load_for, options_for
from .sidecar import Provenance, weight_folders
from .words import announce

log = logging.getLogger(__name__)

OnResult = Callable[[dict[str, Any]], None]  # receives the entry of each result as it is written
Load = Callable[[Options], Pipeline]  # returns the pipeline that the options name


@dataclass
class Report:
    """What a run did; every entry is ready for JSON."""

    results: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    errors: list[dict[str, str]] = field(default_factory=list)
    failures: list[PostsyncError] = field(default_factory=list)  # behind the errors, in their order

    def to_json(self) -> dict[str, Any]:
        """The report as one JSON document."""
        return {"results": self.results, "skipped": self.skipped, "errors": self.errors}

    def failed(self, video: Path | str, error: Exception) -> None:
        """Record a clip, or a sentence, that failed."""
        if not isinstance(error, PostsyncError):
            log.debug("%s", video, exc_info=error)
            error = PostsyncError(f"{video}: unexpected {type(error).__name__} ({error}); please report it")
        self.errors.append({"input": str(video), "error": " ".join(str(error).split())})
        self.failures.append(error)

    def follow(self, work: Iterable[tuple[Path | str, Iterator[dict[str, Any]]]], on_result: OnResult) -> None:
        """Go through clips, or sentences, with the entries that each yields: what fails for one, the others are still
        made. Raises Cancelled."""
        for name, entries in work:
            try:
                for entry in entries:
                    on_result(entry)
            except Cancelled:
                raise
            except Exception as error:  # whatever it is
                self.failed(name, error)

    def made(self, result: Result, target: Path, extras: dict[str, Path], take: int) -> dict[str, Any]:
        """Record a written result; returns its entry."""
        base = result.recipes[0]
        source = result.picture.name if not base.created else base.options.prompt or base.options.given_sound
        entry = {"input": source, "output": str(target), "sidecar": str(sidecar_path(target)),
                 "soundtrack": str(lossless_path(target)),
                 **{f"{kind}_file": str(path) for kind, path in extras.items()},
                 "take": take, "seed": result.seed, "prompt": result.prompt, "duration_s": result.duration_s,
                 "onsets": len(result.onsets_s), "gain_db": result.gain_db, "captions": list(result.captions),
                 "seen": [one.to_json() for one in result.seen], "notes": list(result.notes)}
        self.results.append(entry)
        return entry


def run(planned: Sequence[Planned], outputs: Outputs, read: Sequence[Path], *, skip_existing: bool, load: Load,
        on_result: OnResult, on_progress: OnProgress | None = None) -> Report:
    """Generate the planned results. `read`: further input files, which are never overwritten.

    Errors of single clips go into the report; a pipeline that cannot be loaded raises, and so does Cancelled.
    """
    report = Report()
    wanted = [plan for plan in planned if not (skip_existing and plan.target.exists())]
    report.skipped = [{"input": str(plan.request.video), "output": str(plan.target)} for plan in planned
                      if plan not in wanted]
    sound = []
    for request, plans in groupby(wanted, key=lambda plan: plan.request):
        group = list(plans)
        try:
            _check(group, outputs, read)
            sound.append(group)
        except PostsyncError as error:
            report.failed(request.video, error)
    if not sound:
        return report
    options = sound[0][0].request.options
    pipeline, seed = load(options), fresh_seed()  # one seed for all clips without their own
    announce([group[0].request.options for group in sound], pipeline)
    provenance = Provenance.of(weight_folders(pipeline, options))  # the same for all clips
    report.follow(((group[0].request.video, _make(group, outputs, pipeline, seed, provenance, report, on_progress))
                   for group in sound), on_result)
    return report


def generate_all(clips: Sequence[str | Path], prompt: str | None = None, *, output: str | Path | None = None,
                 pipeline: Pipeline | None = None, num_samples: int = 1, skip_existing: bool = False,
                 force: bool = False, on_result: OnResult | None = None, on_progress: OnProgress | None = None,
                 seed: int = -1, **options: Unpack[OptionValues]) -> Report:
    """Put sound to many clips: files, folders of clips, and CSV files `video,prompt[,...]`; each result is written as
    soon as it is ready, with its sidecar.

    Args:
        output: folder of the results; None: beside each clip.
        pipeline: None loads that which `options` name, once.
        seed: of the first take of each clip without its own; -1 draws one.
        num_samples: takes of each clip.
        skip_existing: leave out those whose file exists; force: overwrite them; else a new result gets a number.
        on_result: called with the entry of each result as it is written.
        options: fields of `Options`, and the system's own options, of all clips.

    Returns the report: results, skipped ones, and errors, which stop nothing but their own clip. Raises PostsyncError
    for options or lists that cannot be used at all; Cancelled if a callback raises it.
    """
    base = options_for(pipeline, {"prompt": prompt, "seed": seed, **options})
    paths = [Path(clip) for clip in clips]
    requests = read_all_requests(paths, base)
    outputs = Outputs(output=None if output is None else Path(output), force=force)
    if outputs.output is not None:
        make_folder(outputs.output)
    return run(outputs.plan(requests, num_samples, batch=True), outputs, paths, skip_existing=skip_existing,
               load=lambda asked: pipeline or load_for(asked), on_result=on_result or (lambda entry: None),
               on_progress=on_progress)


def _check(group: Sequence[Planned], outputs: Outputs, read: Sequence[Path]) -> None:
    """Raise, before the work begins, errors that would prevent these takes of one request."""
    request = group[0].request
    if request.error is not None:
        raise request.error
    check_readable(request.video)
    for plan in group:
        outputs.check(plan.target, plan.mark, (request.video, *read), request.video, request.options)


def _make(group: Sequence[Planned], outputs: Outputs, pipeline: Pipeline, seed: int, provenance: Provenance,
          report: Report, on_progress: OnProgress | None) -> Iterator[dict[str, Any]]:
    """Generate and write the takes of one request; yields the entry of each."""
    video, options = group[0].request.video, group[0].request.options
    digest = sha256_of(video)
    seeded = options if options.seed >= 0 else options.replaced({"seed": seed})
    results = ClipSession(ClipPicture(video), pipeline).takes_of(seeded, [plan.k for plan in group],
                                                                 on_progress=on_progress)
    files = [(plan.k, plan.target, plan.mark) for plan in group]
    yield from write_takes(results, files, outputs, provenance, digest, report, on_progress)


def write_takes(results: Iterable[Result], files: Sequence[tuple[int, Path, str]], outputs: Outputs,
                provenance: Provenance, input_sha256: str | None, report: Report,
                on_progress: OnProgress | None) -> Iterator[dict[str, Any]]:
    """Write each result as it comes, to its file (number of the take, target, mark of the extra files); yields its
    entry. `input_sha256`: see `publish`."""
    for (k, planned, mark), result in zip(files, results, strict=True):
        target = outputs.kept(planned)
        publish(result, target, provenance, input_sha256, on_progress)
        yield report.made(result, target, outputs.write_extras(result, mark), k + 1)
