"""Reading the conditions of a clip and a reference, once for all takes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import registry
from ..errors import ConditionError
from ..features.envelope import ENVELOPE_RATE
from ..media.audio import read_audio
from ..media.picture import NoPicture, Picture
from ..media.shots import CutFinder
from ..media.video import Frame, VideoInfo
from ..media.watch import FramePlan, regular, spread, watch
from ..notes import note
from ..protocols.guide import Guide
from ..protocols.pipeline import ConditionedGuide, OnProgress, Pictures, Pipeline, stage
from ..protocols.system import checked_options
from ..timing.files import read_envelope, read_onsets
from ..timing.readers import ANALYSIS_SIZE, READERS, open_reader, reader_name
from ..timing.timing import Timing
from .kinds import in_kind, shape_of
from .options import Options, of_system

log = logging.getLogger(__name__)

_CHOSEN = frozenset({"prompt", "negative_prompt", "num_inference_steps", "guidance_scale", "envelope", "control_scale",
                     "reference_audio", "guides", "sound"})  # arguments that are a user's to give
TIMING_PART = "timing"  # name of the part for the timing reader's weights


@dataclass(frozen=True)
class Conditions:
    """Conditions for a part of a clip; `timing` is of the whole clip, without the options' offset."""

    picture: Picture
    start_s: float
    end_s: float
    timing: Timing | None  # None: the pipeline follows the picture alone
    frames: Tensor | None  # (n, 3, H, W) uint8 of the part, if the pipeline uses pictures
    reference: Tensor | None  # (C, N) at the pipeline's rate
    sound: Tensor | None = None  # (C, N) at the pipeline's rate, a given one that gets pictures
    guides: tuple[Guide, ...] = ()  # those that the options name, then those that were given; told what to follow


@dataclass
class PictureCache:
    """What was read from a clip's picture so far: timings by reader and its folder, pictures by their plan, and when it
    cuts from shot to shot (None: not looked for)."""

    timings: dict[tuple[str, str | None], Timing] = field(default_factory=dict)
    pictures: dict[FramePlan, np.ndarray] = field(default_factory=dict)
    cuts: tuple[float, ...] | None = None

    def pictures_of(self, plan: FramePlan) -> np.ndarray | None:
        """The pictures of a plan (n, H, W, 3), if they were read."""
        for known, images in self.pictures.items():
            if (known.size, known.slack_s) == (plan.size, plan.slack_s) and set(plan.times_s) <= set(known.times_s):
                return images[[known.times_s.index(time) for time in plan.times_s]]
        return None


def read_conditions(picture: Picture, options: Options, pipeline: Pipeline, timing: Timing | None = None,
                    part: tuple[float, float] | None = None, *, known: PictureCache | None = None,
                    guides: Sequence[Guide] = (), on_progress: OnProgress | None = None) -> Conditions:
    """Read all that the options name; the picture is decoded once, and once more for a guide that looks at it.

    `timing`: used instead of reading it; `part`: start and end in seconds, by default that of the options; `known`:
    earlier readings, which is extended; `guides`: beside those that the options name. Raises MediaError,
    ConditionError, WeightsError.
    """
    known = PictureCache() if known is None else known
    source, asked = timing_source(options, pipeline), pipeline_arguments(options)
    if source is not None:
        asked["envelope"] = source if timing is None else timing
    reader = source if timing is None and source in READERS else None

    def plan(info: VideoInfo) -> FramePlan | None:
        return plan_pictures(lambda seconds: pipeline.pictures_wanted(seconds, asked), info,
                             part or part_of(info.duration_s, options))

    if isinstance(picture, NoPicture):
        reader, source = None, source if source in ("envelope", "onsets") else None
    images = read_picture(picture, known, plan, reader, options.parts.get(TIMING_PART), on_progress)
    duration_s = picture.info.duration_s
    if reader is not None:
        timing = in_kind(known.timings[reader, options.parts.get(TIMING_PART)], options, duration_s)
    elif timing is None and source is not None:
        timing = read_timing_file(options, duration_s)
    reference, sound = (None if file is None else torch.from_numpy(read_audio(file, pipeline.sampling_rate))
                        for file in (options.reference, options.given_sound))
    start_s, end_s = part or part_of(duration_s, options)
    timing = timing and timing.fitted(duration_s)
    if timing is not None and options.control_scale != 0 and timing.moved(options.offset_ms / 1000).silent(start_s,
                                                                                                           end_s):
        why = "nothing moves in the picture as if it sounded" if reader else "the timing is silent"
        note(log, "%s: %s, so the soundtrack is silent; give hits (--onsets-in) or an envelope, name a steady sound "
             "such as rain, or free the sound from the timing (--control-scale 0)", picture.name, why)
    all_guides = (*_named_guides(options, pipeline), *guides)
    for guide in all_guides:
        if isinstance(guide, ConditionedGuide):
            _tell(guide, picture, options, (start_s, end_s), known)
    return Conditions(picture, start_s, end_s, timing, frames_of(images), reference, sound, all_guides)


def _named_guides(options: Options, pipeline: Pipeline) -> list[Guide]:
    """The guides that the options name, each with its settings GUIDE.NAME."""
    return [registry.build_guide(name, pipeline, {key.removeprefix(f"{name}."): value
                                                  for key, value in options.settings.items()
                                                  if key.startswith(f"{name}.")}) for name in options.guides]


def _tell(guide: ConditionedGuide, picture: Picture, options: Options, part: tuple[float, float],
          known: PictureCache) -> None:
    """Tell a guide the words, and show it the pictures that it wants, of a part of the clip."""
    images = read_picture(picture, known, lambda info: plan_pictures(guide.pictures_wanted, info, part), None)
    words = options.prompt or ", ".join(cue.text for cue in options.cues if cue.text) or None
    guide.condition([words], frames_of(images))


def frames_of(images: np.ndarray | None) -> Tensor | None:
    """Pictures (n, H, W, 3) as (n, 3, H, W)."""
    return None if images is None else torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)


def read_picture(picture: Picture, known: PictureCache, plan: Callable[[VideoInfo], FramePlan | None],
                 reader: str | None, folder: str | None = None, on_progress: OnProgress | None = None, *,
                 shots: bool = False) -> np.ndarray | None:
    """The pictures of a plan; with a `reader` (whose weights are in `folder`) the timing is read as well, with `shots`
    the times of cuts.

    The picture is decoded only for what is not cached yet.
    """
    if isinstance(picture, NoPicture):
        return None
    timed, cut = reader is None or (reader, folder) in known.timings, not shots or known.cuts is not None
    if picture.known is not None and timed and cut:
        exact = plan(picture.known)
        images = None if exact is None else known.pictures_of(exact)
        if exact is None or images is not None:
            return images
    source = None if reader is None or timed else open_reader(reader, None if folder is None else Path(folder))
    finder = None if cut else CutFinder()

    def on_luma(frame: Frame) -> None:
        if source is not None:
            source.push(frame.image, frame.time_s)
        if finder is not None:
            finder.push(frame)

    watched = watch(picture, on_luma=None if source is None and finder is None else on_luma,
                    luma_size=(ANALYSIS_SIZE, ANALYSIS_SIZE), plan=plan, on_progress=stage(on_progress, "reading"))
    if reader is not None and source is not None:
        known.timings[reader, folder] = source.finish(watched.info.duration_s)
    if finder is not None:
        known.cuts = finder.cuts()
    exact = plan(watched.info)
    if exact is not None and watched.frames is not None:
        known.pictures[exact] = watched.frames
    return watched.frames


def plan_pictures(wanted_of: Callable[[float], Pictures | None], info: VideoInfo,
                  part: tuple[float, float]) -> FramePlan | None:
    """The pictures of a part of a clip that a pipeline or a guide wants, by the length of the clip in seconds; None if
    it uses none."""
    start_s, end_s = part
    wanted = wanted_of(info.duration_s)
    if wanted is None:
        return None
    if wanted.fps is not None:
        wanted = wanted_of(end_s - start_s)
        assert wanted is not None
        assert wanted.fps is not None
        return regular(start_s, end_s, wanted.fps, wanted.count, (wanted.size, wanted.size))
    first = min(int(start_s / info.duration_s * wanted.count), wanted.count - 1)
    last = max(round(end_s / info.duration_s * wanted.count), first + 1)
    return spread(info, wanted.count, (wanted.size, wanted.size), first, last)


def pipeline_arguments(options: Options) -> dict[str, Any]:
    """The arguments of the pipeline's call, other than times and seeds, that the options set, by name."""
    asked = {"prompt": options.cues or None if options.prompt is None else options.prompt,
             "negative_prompt": options.negative_prompt,
             "num_inference_steps": options.num_inference_steps, "guidance_scale": options.guidance_scale,
             "control_scale": options.control_scale, "reference_audio": options.reference, "sound": options.given_sound,
             "envelope": options.timing or options.envelope or options.onsets or (options.offset_ms or None),
             "guides": options.guides or None, **of_system(options.settings)}
    return {name: value for name, value in asked.items() if value is not None}


def timing_source(options: Options, pipeline: Pipeline) -> str | None:
    """The source of the timing: "envelope", "onsets", or the name of a reader; None if the pipeline follows the picture
    alone. Raises ConditionError for an unknown reader, WeightsError where its weights are not installed."""
    if "envelope" not in pipeline.accepts:
        return None
    return next((name for name in ("envelope", "onsets") if getattr(options, name) is not None),
                None) or reader_name(options.timing)


def read_timing_file(options: Options, duration_s: float) -> Timing:
    """The timing of the options' envelope or list of hits. Raises ConditionError for a file that is not one."""
    if options.envelope is not None:
        return Timing.of_envelope(read_envelope(options.envelope, duration_s))
    assert options.onsets is not None
    onsets, strengths = read_onsets(options.onsets)
    beyond = int((onsets >= duration_s).sum())
    if beyond:
        note(log, "%s: %d hits lie beyond the end of the clip at %.2f s and are dropped", options.onsets, beyond,
             duration_s)
    shape = shape_of(options.prompt)
    return Timing.of_hits(onsets, duration_s, strengths, rise_s=shape.rise_s, ring_s=shape.ring_s)


def check_accepted(pipeline: Pipeline, options: Options, more: Iterable[str] = ()) -> None:
    """Raise ConditionError for options that the pipeline does not accept. `more`: further arguments."""
    asked = pipeline_arguments(options)
    own = of_system(options.settings)
    if options.captioner is not None:
        more = (*more, "prompt")
    if refused := sorted({*asked, *more} - own.keys() - pipeline.accepts):
        names = {"envelope": "a timing", "reference_audio": "a reference", "sound": "a given sound"}
        taken = sorted(name for name in pipeline.accepts if name in _CHOSEN)
        raise ConditionError(f"{pipeline.system} does not take {', '.join(names.get(n, n) for n in refused)}; drop "
                             f"that (it takes {', '.join(names.get(n, n) for n in taken)}).")
    checked_options(own, pipeline.options, pipeline.system)


def on_grid(seconds: float) -> float:
    """The nearest time of the envelope's grid (10 ms)."""
    return round(seconds * ENVELOPE_RATE) / ENVELOPE_RATE


def part_of(duration_s: float, options: Options) -> tuple[float, float]:
    """Start and end in seconds of the part that gets sound, rounded to 10 ms, within a clip of this length.

    Raises ConditionError where it lies beyond the clip's end.
    """
    start_s = on_grid(options.start_s)
    if start_s >= duration_s:
        raise ConditionError(f"the part starts at {start_s:g} s, but the clip ends at {duration_s:.3f} s; start "
                             "earlier.")
    if options.duration_s is None:
        return start_s, duration_s
    return start_s, min(on_grid(start_s + options.duration_s), duration_s)
