"""Earlier results: repeated from their sidecars (`--from`), or with a span regenerated (`--redo`)."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from ..errors import ConditionError, MediaError, WeightsError
from ..media.container import check_readable, sha256_of
from ..media.picture import NoPicture
from ..notes import kept_notes, note
from ..protocols.pipeline import OnProgress, Pipeline
from ..timing.timing import Timing
from .batch import Load, OnResult, Report
from .conditions import PictureCache, check_accepted, on_grid, read_conditions
from .delivery import fingerprint, read_lossless, spliced
from .naming import lossless_path
from .options import Options, with_settings
from .outputs import Outputs
from .rendering import make_result, render
from .result import Result, publish
from .session import fresh_seed
from .sidecar import Provenance, Sidecar, values_used, weight_folders
from .soundtrack import Recipe, Soundtrack
from .words import advice, announce

log = logging.getLogger(__name__)

CONTEXT_S = 0.5  # generated on both sides of a span, at least, so that it matches its surroundings
_RETIMING = ("timing", "kind", "envelope", "onsets")  # options that set the timing
_WHOLE = frozenset({"system", "preset", "parts", "device", "dtype", "start_s", "duration_s", "target_lufs", "sound",
                    "mix_db", "audio_codec"})


def repeat_run(named: Path, video: Path | None, outputs: Outputs, *, load: Load, on_result: OnResult,
               on_progress: OnProgress | None = None) -> Report:
    """Repeat the result that a sidecar describes. `named`: the sidecar or its result; `video`: the clip's present path,
    if it moved. Without an output the result is written to its old path, or to a free name beside it.

    Raises PostsyncError for files that are missing or have changed.
    """
    sidecar = Sidecar.read(named)
    video = sidecar.picture_file if video is None else video
    taken = sidecar.result.exists() or outputs.output is not None
    target = next(_targets(sidecar, outputs, "again")) if taken else sidecar.result
    own = () if target == sidecar.result else (sidecar.path,)  # at its old path the sidecar is rewritten
    _check(sidecar, video if sidecar.needs_picture else None, outputs, {target: ""}, own)
    pipeline, provenance = prepared(sidecar, video, load)
    report = Report()
    result = repeat(sidecar, video, pipeline, on_progress)
    _write(result, target, "", sidecar, provenance, outputs, report, on_result, on_progress)
    return report


def redo_run(named: Path, span: tuple[float, float], changes: Mapping[str, Any], num_samples: int, outputs: Outputs,
             read: tuple[Path, ...], *, load: Load, on_result: OnResult,
             on_progress: OnProgress | None = None) -> Report:
    """Regenerate a span of an earlier result `num_samples` times. `named`: the result or its sidecar; `changes`:
    options that differ from the earlier ones. Results are written beside the earlier one, which is not changed.

    Raises PostsyncError for files that are missing or have changed, and for spans that cannot be redone.
    """
    sidecar = Sidecar.read(named)
    if num_samples > 1 and outputs.output is not None and not outputs.output.is_dir():
        raise MediaError(f"{outputs.output}: is not a folder, and this run writes {num_samples} results; name a folder")
    free = _targets(sidecar, outputs, "redo")
    targets = {next(free): str(k + 1) if num_samples > 1 else "" for k in range(num_samples)}
    _check(sidecar, sidecar.picture_file, outputs, targets, (sidecar.path, sidecar.result, *read))
    pipeline, provenance = prepared(sidecar, sidecar.picture_file, load)
    earlier = earlier_result(sidecar, sidecar.picture_file, pipeline, on_progress)
    announce([_changed(earlier, changes, pipeline)], pipeline)
    seed = changes.get("seed", -1)
    seed = fresh_seed() if seed < 0 else seed
    report, known = Report(), PictureCache()
    for k, (target, mark) in enumerate(targets.items()):
        result = redo(earlier, *span, {**changes, "seed": seed + k}, pipeline, on_progress, known=known)
        _write(result, target, mark, sidecar, provenance, outputs, report, on_result, on_progress, take=k + 1)
    return report


def check_unchanged(sidecar: Sidecar, video: Path, provenance: Provenance) -> None:
    """Raise MediaError if the clip or a reference differs from the sidecar's, WeightsError if weights do.

    Other library versions are a warning: the samples may differ then.
    """
    if sidecar.video_sha256 is not None and sha256_of(video) != sidecar.video_sha256:
        raise MediaError(f"{video}: is not the clip that {sidecar.path.name} was made from (its SHA-256 differs); name "
                         "the original clip, or generate it again with the options that the sidecar holds")
    for recipe, known in zip(sidecar.recipes, sidecar.recordings_sha256):
        for name, sha256 in known.items():
            recording = getattr(recipe.options, name)
            if recording is not None and sha256_of(recording) != sha256:
                raise MediaError(f"{recording}: is not the {name.replace('_', ' ')} that {sidecar.path.name} was made "
                                 "with; restore the original, or generate the clip again")
    names = sidecar.provenance.weights.keys() | provenance.weights.keys()
    if changed := sorted(n for n in names if sidecar.provenance.weights.get(n) != provenance.weights.get(n)):
        raise WeightsError(f"{sidecar.path}: was made with other weights ({', '.join(changed)}); use the version of "
                           f"postsync that made it ({sidecar.provenance.versions.get('postsync')}), or generate "
                           "the clip again.")
    was, now = sidecar.provenance.versions, provenance.versions
    if differing := [f"{name} {was.get(name)} -> {now[name]}" for name in now if was.get(name) != now[name]]:
        note(log, "%s: made with other versions (%s); the samples may differ", sidecar.path, ", ".join(differing))


def repeat(sidecar: Sidecar, video: Path, pipeline: Pipeline, on_progress: OnProgress | None = None) -> Result:
    """The sidecar's result, regenerated from its recipes. Warns if any sample differs.

    Raises ConditionError for a recipe with guides that a program passed as objects.
    """
    for recipe in sidecar.recipes:
        if recipe.guides:
            raise ConditionError(f"{sidecar.path}: was made with guides of a program ({', '.join(recipe.guides)}); "
                                 "repeat it in that program.")
    base, *later = sidecar.recipes
    shown = NoPicture(sidecar.duration_s) if base.created else sidecar.picture(video)
    known, exact = PictureCache(), base.created or sidecar.video is not None
    with kept_notes() as notes:
        if not exact:
            note(log, "%s: its picture was not a file's; where the system looks at it, the samples may differ",
                 sidecar.path)
        conditions = read_conditions(shown, base.options, pipeline, base.timing, known=known, on_progress=on_progress)
        made = make_result(conditions, base.options, pipeline, on_progress=on_progress)
        result = Result(sidecar.picture(video), replace(made.soundtrack, notes=sidecar.notes, seen=sidecar.seen))
        for recipe in later:
            result = _with_span(result, recipe, pipeline, on_progress, known)
        result = replace(result, picture=made.picture)
        if fingerprint(result.waveform) != sidecar.soundtrack_sha256 and exact:
            note(log, "%s: repeated, but not sample for sample; it was made on another machine or with other versions",
                 sidecar.path)
    return result.with_notes(notes)


def earlier_result(sidecar: Sidecar, video: Path, pipeline: Pipeline,
                   on_progress: OnProgress | None = None) -> Result:
    """The sidecar's result with its kept soundtrack, which is rebuilt if missing.

    Raises MediaError if the kept file contains another sound, or the rebuilt one differs.
    """
    kept = lossless_path(sidecar.result)
    if kept.exists():
        soundtrack = Soundtrack(read_lossless(kept), sidecar.recipes, sidecar.gain_db, sidecar.captions, sidecar.notes,
                                weight_folders(pipeline, sidecar.recipes[0].options), sidecar.seen)
        result, advice = Result(sidecar.picture(video), soundtrack), "delete it to have it rebuilt"
    else:
        note(log, "%s is missing; the earlier soundtrack is rebuilt from its sidecar", kept)
        result = repeat(sidecar, video, pipeline, on_progress)
        advice = "restore the file, or generate the whole clip again"
    if fingerprint(result.waveform) != sidecar.soundtrack_sha256:
        raise MediaError(f"{kept}: is not the soundtrack that {sidecar.path.name} describes; {advice}")
    return result


def redo(earlier: Result, start_s: float, end_s: float, changes: Mapping[str, Any], pipeline: Pipeline,
         on_progress: OnProgress | None = None, *, timing: Timing | None = None,
         known: PictureCache | None = None) -> Result:
    """`earlier` with the span between two times regenerated, with its options but for `changes`, at its gain.

    Only the span's own samples change; the cross-fades lie inside it. Times are rounded to 10 ms. The earlier timing is
    kept unless `timing` is another, or the changes name a file or reader; an offset shifts it further. Raises
    ConditionError for a span outside the clip, and for options that concern the whole soundtrack.
    """
    if not 0 <= start_s < min(end_s, earlier.duration_s) or math.isinf(end_s):
        raise ConditionError(f"a span from {start_s:g} to {end_s:g} s does not lie in a clip of "
                             f"{earlier.duration_s:.3f} s; give its start and its end in seconds.")
    start_s, end_s = on_grid(start_s), min(on_grid(end_s), earlier.duration_s)
    if start_s >= end_s:
        raise ConditionError(f"a span of {end_s - start_s:g} s is too short; times are rounded to 10 ms.")
    if fixed := sorted(_WHOLE & changes.keys()):
        raise ConditionError(f"{', '.join(fixed)}: such options concern the whole soundtrack; redo the span without "
                             "them.")
    options = _changed(earlier, {"seed": fresh_seed()} | dict(changes), pipeline)
    kept = earlier.recipes[0].timing is not None and not any(name in changes for name in _RETIMING)
    timing = earlier.timing if kept and timing is None else timing
    recipe = Recipe(options, timing, (start_s, end_s))
    return _with_span(earlier, recipe, pipeline, on_progress, known)


def _changed(earlier: Result, changes: Mapping[str, Any], pipeline: Pipeline) -> Options:
    """The earlier options with changes: fields of Options, or the system's own options, added to those set earlier."""
    new = with_settings(changes, pipeline.options, pipeline.system)
    if "settings" in new:
        new["settings"] = dict(earlier.options.settings) | new["settings"]
    retimed = any(name in changes for name in _RETIMING)
    kept_out = dict.fromkeys(("given_sound", *(_RETIMING if retimed else ())))
    return earlier.options.replaced({"offset_ms": 0.0, **kept_out, **new})


def _with_span(earlier: Result, recipe: Recipe, pipeline: Pipeline, on_progress: OnProgress | None,
               known: PictureCache | None) -> Result:
    """Generate the span with sound around it, up to the model's native length, at no extra cost."""
    assert recipe.span is not None
    start_s, end_s = recipe.span
    context_s = max(CONTEXT_S, (pipeline.native_s - (end_s - start_s)) / 2)
    first_s, last_s = max(0.0, on_grid(start_s - context_s)), min(on_grid(end_s + context_s), earlier.duration_s)
    check_accepted(pipeline, recipe.options)
    with kept_notes() as notes:
        conditions = read_conditions(earlier.picture, recipe.options, pipeline, recipe.timing, (first_s, last_s),
                                     known=known, on_progress=on_progress)
        new = render(conditions, recipe.options, pipeline, kept_gain_db=earlier.gain_db, on_progress=on_progress)
    waveform = spliced(earlier.waveform, new.waveform, first_s, start_s, end_s)
    latest = replace(recipe, timing=conditions.timing, used=values_used(pipeline, recipe.options))
    soundtrack = replace(earlier.soundtrack, waveform=waveform, captions=new.captions or earlier.captions,
                         recipes=(*earlier.recipes, latest))
    return Result(earlier.picture, soundtrack).with_notes((*advice([recipe.options], pipeline), *notes))


def _targets(sidecar: Sidecar, outputs: Outputs, word: str) -> Iterator[Path]:
    """The given output file, or free names beside the earlier result (or in the given folder)."""
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


def _check(sidecar: Sidecar, video: Path | None, outputs: Outputs, targets: Mapping[Path, str],
           own: tuple[Path, ...]) -> None:
    """Raise MediaError if the clip is missing, where one is needed, or a file cannot be written."""
    if video is not None:
        if not video.exists():
            raise MediaError(f"{video}: the clip of {sidecar.path.name} no longer exists; restore it, or name it: "
                             "postsync generate CLIP --from SIDECAR")
        check_readable(video)
        own = (video, *own)
    for target, mark in targets.items():
        outputs.check(target, mark, own, None if sidecar.video is None else video,
                      sidecar.recipes[0].options)


def prepared(sidecar: Sidecar, video: Path, load: Load) -> tuple[Pipeline, Provenance]:
    """The sidecar's pipeline, after checking that nothing has changed."""
    options: Options = sidecar.recipes[0].options
    pipeline = load(options)
    provenance = Provenance.of(weight_folders(pipeline, options))
    check_unchanged(sidecar, video, provenance)
    return pipeline, provenance


def _write(result: Result, target: Path, mark: str, sidecar: Sidecar, provenance: Provenance, outputs: Outputs,
           report: Report, on_result: OnResult, on_progress: OnProgress | None, take: int = 1) -> None:
    if target != sidecar.result:  # at its old place the result is restored, and its sidecar rewritten
        target = outputs.kept(target)
    publish(result, target, provenance, sidecar.video_sha256, on_progress)
    on_result(report.made(result, target, outputs.write_extras(result, mark), take))
