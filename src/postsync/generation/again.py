"""A run over an earlier result: repeated from its sidecar (`--from`), or with a span made anew (`--redo`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from ..errors import MediaError
from ..media.container import check_readable
from .batch import Load, Report, Told
from .conditions import timing_source
from .job import announce, fresh_seed
from .outputs import Outputs
from .provenance import Provenance
from .redo import check_unchanged, earlier_result, redo, repeat
from .result import Result
from .sidecar import Sidecar, publish


def repeat_run(named: Path, video: Path | None, outputs: Outputs, *, load: Load, told: Told) -> Report:
    """Repeat the result that a sidecar describes. `named`: the sidecar or its result; `video`: where the clip lies
    now, if elsewhere. Without an output the result takes its old place, or a name beside it where that is taken.

    Raises PostsyncError for what is missing or has changed.
    """
    sidecar = Sidecar.read(named)
    video = sidecar.video if video is None else video
    taken = sidecar.result.exists() or outputs.output is not None
    target = next(_targets(sidecar, outputs, "again")) if taken else sidecar.result
    own = () if target == sidecar.result else (sidecar.path,)  # in its old place the sidecar is written again
    _check(sidecar, video, outputs, {target: ""}, own)
    pipeline, provenance = _prepared(sidecar, video, load)
    report = Report()
    result = repeat(sidecar, video, pipeline)
    _write(result, target, "", sidecar, provenance, outputs, report, told)
    return report


def redo_run(named: Path, span: tuple[float, float], changes: Mapping[str, Any], num_samples: int, outputs: Outputs,
             read: tuple[Path, ...], *, load: Load, told: Told) -> Report:
    """Make a span of an earlier result anew, `num_samples` times. `named`: the result or its sidecar; `changes`:
    options to be others than the earlier ones. Results lie beside the earlier one, which stays as it is.

    Raises PostsyncError for what is missing, has changed, or cannot be redone.
    """
    sidecar = Sidecar.read(named)
    if num_samples > 1 and outputs.output is not None and not outputs.output.is_dir():
        raise MediaError(f"{outputs.output}: is no folder, and this run writes {num_samples} results; name a folder")
    free = _targets(sidecar, outputs, "redo")
    targets = {next(free): str(k + 1) if num_samples > 1 else "" for k in range(num_samples)}
    _check(sidecar, sidecar.video, outputs, targets, (sidecar.path, sidecar.result, *read))
    pipeline, provenance = _prepared(sidecar, sidecar.video, load)
    earlier = earlier_result(sidecar, sidecar.video, pipeline)
    announce([earlier.options.replaced({k: v for k, v in changes.items() if k in ("prompt", "negative_prompt", "cues",
                                                                                 "reference")})], pipeline)
    seed = changes.get("seed", -1)
    seed = fresh_seed() if seed < 0 else seed
    report = Report()
    for k, (target, mark) in enumerate(targets.items()):
        result = redo(earlier, *span, {**changes, "seed": seed + k}, pipeline)
        _write(result, target, mark, sidecar, provenance, outputs, report, told, take=k + 1)
    return report


def _targets(sidecar: Sidecar, outputs: Outputs, word: str) -> Iterator[Path]:
    """The file asked for, or names beside the earlier result (in the folder asked for) that are still free."""
    output = outputs.output
    if output is not None and not output.is_dir():
        yield output
        return
    folder = sidecar.result.parent if output is None else output
    stem = re.sub(rf"\.{word}\d+$", "", sidecar.result.stem)
    for number in count(1):
        path = folder / f"{stem}.{word}{number}{sidecar.result.suffix}"
        if not path.exists():
            yield path


def _check(sidecar: Sidecar, video: Path, outputs: Outputs, targets: Mapping[Path, str], own: tuple[Path, ...]) -> None:
    """Raise MediaError where the clip is gone or a file cannot be written."""
    if not video.exists():
        raise MediaError(f"{video}: the clip of {sidecar.path.name} is no longer there; bring it back, or name it: "
                         "postsync generate CLIP --from SIDECAR")
    check_readable(video)
    for target, mark in targets.items():
        outputs.check(target, mark, inputs=(video, *own))


def _prepared(sidecar: Sidecar, video: Path, load: Load) -> tuple[Any, Provenance]:
    """The sidecar's pipeline, once all is found as it was."""
    options = sidecar.recipes[0].options
    pipeline = load(options)
    provenance = Provenance.of(pipeline, timing_source(options, pipeline))
    check_unchanged(sidecar, video, provenance)
    return pipeline, provenance


def _write(result: Result, target: Path, mark: str, sidecar: Sidecar, provenance: Provenance, outputs: Outputs,
           report: Report, told: Told, take: int = 1) -> None:
    publish(result, target, provenance, sidecar.video_sha256)
    told(report.made(result, target, outputs.write_extras(result, mark), take))
