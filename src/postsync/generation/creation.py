"""A clip from one sentence: a system makes the picture with its sound, or the picture for a given sound."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from .. import registry
from ..errors import ConditionError, MediaError
from ..media.audio import sound_length_s
from ..media.holding import check_container
from ..media.picture import NoPicture
from ..notes import kept_notes, note
from ..protocols.pipeline import Callback, OnProgress, Pipeline
from .batch import Load, OnResult, Report, write_takes
from .naming import name_of_words
from .options import Options, OptionValues
from .outputs import Outputs, make_folder
from .result import Result
from .session import ClipSession, fresh_seed, load_for, options_for
from .sidecar import Provenance, weight_folders
from .words import announce

log = logging.getLogger(__name__)


def create(prompt: str | None = None, *, pipeline: Pipeline | None = None, seed: int = -1,
           callback_on_step_end: Callback | None = None, on_progress: OnProgress | None = None,
           **options: Unpack[OptionValues]) -> Result:
    """A clip whose picture and sound are made together from a sentence; or the picture for a recording.

    Args:
        prompt: what is to be seen and heard; it may stay away where a sound is given.
        pipeline: of a system that creates; None loads that which `options` name, by default the first one.
        seed, callback_on_step_end, on_progress, options: see `ClipSession.takes`. Of them `given_sound` is a recording,
            which is kept as it is and gets a picture; and `duration_s`, rounded down to whole pictures, is by default
            the recording's length, or what the system was trained on.

    Returns a Result whose picture lies in memory. Raises ConditionError for an empty sentence, a length below one
    picture, and a pipeline that makes no pictures; MediaError for a recording that cannot be read; Cancelled.
    """
    if pipeline is None:
        pipeline = load_for(options_for(None, {"system": registry.creating_systems()[0], **options}))
    with kept_notes() as notes:
        length_s = picture_length(pipeline, options.pop("duration_s", None), options.get("given_sound"))
    result = next(ClipSession(NoPicture(length_s), pipeline).takes(
        prompt, seed=seed, callback_on_step_end=callback_on_step_end, on_progress=on_progress, **options))
    return result.with_notes(notes)


def picture_length(pipeline: Pipeline, duration_s: float | None, sound: str | Path | None) -> float:
    """The length in seconds of as many whole pictures as `duration_s`, the recording, or the system's own length
    holds; see `create`."""
    entry = registry.SYSTEMS.get(pipeline.system)
    if entry is not None and not entry.creates:
        raise ConditionError(f"{pipeline.system} makes no pictures; these do: "
                             f"{', '.join(registry.creating_systems()) or 'none'}.")
    wanted = pipeline.pictures_wanted(pipeline.native_s, {})
    if wanted is None or wanted.fps is None:
        raise ConditionError(f"{pipeline.system} makes no pictures at a rate of its own.")
    if duration_s is None:
        duration_s = pipeline.native_s if sound is None else sound_length_s(sound)
    count = int(duration_s * wanted.fps + 1e-6)
    if count < 1:
        raise ConditionError(f"{duration_s:g} s hold no picture at {wanted.fps:g} a second; give "
                             f"{1 / wanted.fps:g} s or more.")
    if abs(count / wanted.fps - duration_s) > 1e-3:
        note(log, "%.3f s are no whole number of pictures at %g a second; %.3f s are made", duration_s, wanted.fps,
             count / wanted.fps)
    return float(count / wanted.fps)


@dataclass(frozen=True)
class PlannedClip:
    """A clip to be created: its sentence (None: the picture of a given sound), and each take's file with the mark of
    its extra files."""

    sentence: str | None
    takes: tuple[tuple[Path, str], ...]


def plan_clips(sentences: Sequence[str], options: Options, num_samples: int, outputs: Outputs) -> list[PlannedClip]:
    """The files of a run, named after the sentences, and checked. Raises ConditionError where there is nothing to make,
    MediaError for files that cannot be written."""
    wanted: list[str | None] = list(sentences) or ([None] if options.given_sound is not None else [])
    if not wanted or not all(text is None or text.strip() for text in wanted):
        raise ConditionError("the sentence is empty; say what is to be seen and heard.")
    output, single = outputs.output, len(wanted) * num_samples == 1
    if single and output is not None and output.suffix and not output.is_dir():
        check_container(output)
        planned = [PlannedClip(wanted[0], ((output, ""),))]
    else:
        if output is not None and output.exists() and not output.is_dir():
            raise MediaError(f"{output}: is a file, and this run writes several clips; name a folder")
        if output is not None:
            make_folder(output)
        planned = [_named(text, str(number) if len(wanted) > 1 else "", options, num_samples, output or Path())
                   for number, text in enumerate(wanted, start=1)]
    read = () if options.given_sound is None else (Path(options.given_sound),)
    for clip in planned:
        for target, mark in clip.takes:
            outputs.check(target, mark, read, None, options)
    return planned


def _named(text: str | None, number: str, options: Options, num_samples: int, folder: Path) -> PlannedClip:
    stem, takes = name_of_words(text or Path(str(options.given_sound)).stem), []
    for k in range(num_samples):
        mark = ".".join(part for part in (number, str(k + 1) if num_samples > 1 else "") if part)
        takes.append((folder / f"{stem}{f'.{mark}' if mark else ''}.mp4", mark))
    return PlannedClip(text, tuple(takes))


def create_all(planned: Sequence[PlannedClip], options: Options, outputs: Outputs, *, duration_s: float | None,
               load: Load, on_result: OnResult, on_progress: OnProgress | None = None) -> Report:
    """Create and write the planned clips; one that fails does not stop the others. Raises PostsyncError for a pipeline
    that cannot be loaded or makes no pictures, Cancelled."""
    report, pipeline = Report(), load(options)
    told = [options.replaced({"prompt": clip.sentence}) for clip in planned]
    announce(told, pipeline, pictured=False)
    with kept_notes() as notes:
        length_s = picture_length(pipeline, duration_s, options.given_sound)
    provenance, seed = Provenance.of(weight_folders(pipeline, options)), fresh_seed()

    def entries(clip: PlannedClip, asked: Options) -> Iterator[dict[str, Any]]:
        seeded = asked if asked.seed >= 0 else asked.replaced({"seed": seed})
        results = ClipSession(NoPicture(length_s), pipeline).takes_of(seeded, range(len(clip.takes)),
                                                                      on_progress=on_progress)
        files = [(k, target, mark) for k, (target, mark) in enumerate(clip.takes)]
        yield from write_takes((result.with_notes(notes) for result in results), files, outputs, provenance, None,
                               report, on_progress)

    report.follow(((clip.sentence or str(options.given_sound), entries(clip, asked))
                   for clip, asked in zip(planned, told, strict=True)), on_result)
    return report
