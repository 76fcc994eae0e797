"""A clip with its pipeline: conditions are read once for all takes. The command line and applications use this."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from torch import Tensor

from .. import registry
from ..diffusion.guidance import check_guides
from ..errors import ConditionError
from ..features.envelope import Envelope
from ..features.onsets import pick_onsets
from ..media.picture import NoPicture, Picture, open_picture
from ..media.video import VideoInfo
from ..notes import kept_notes
from ..protocols.guide import Guide
from ..protocols.pipeline import Callback, OnProgress, Origin, Pipeline
from ..timing.readers import READERS, reader_name
from ..timing.timing import Timing
from .conditions import (
    TIMING_PART,
    PictureCache,
    check_accepted,
    plan_pictures,
    read_conditions,
    read_picture,
    timing_source,
)
from .kinds import in_kind
from .looking import Seen, looks, with_seen
from .options import Kind, Options, OptionValues, with_settings
from .rendering import make_result
from .result import Result
from .words import advice, announce, with_caption

IN_MEMORY = "(built in memory)"  # preset name of a pipeline that was not loaded from one

EnvelopeLike = Timing | Envelope | Tensor | np.ndarray | Sequence[float] | str | Path
"""A timing; an envelope (M,) of RMS 0..1 at 100 Hz; or a file of one."""

Source = str | Path | np.ndarray | Tensor | Sequence[np.ndarray] | Picture
"""A clip's path; frames (F, H, W, 3) uint8 in memory, with `fps`; or a Picture."""


class ClipSession:
    """A clip that soundtracks are made for. Its picture is decoded at most once."""

    def __init__(self, picture: Picture, pipeline: Pipeline) -> None:
        self.picture, self.pipeline = picture, pipeline
        self._known = PictureCache()

    @property
    def info(self) -> VideoInfo:
        """Size, exact length and rate of the picture. The first time everything is read. Raises MediaError."""
        if self.picture.known is None:
            self._read(reader_name() if "envelope" in self.pipeline.accepts else None, None)
        return self.picture.info

    def timing(self, reader: str | None = None, on_progress: OnProgress | None = None, *, prompt: str | None = None,
               kind: Kind | None = None) -> Timing:
        """The timing of the picture by the named reader (None: the best installed one), shaped to the kind of what the
        prompt names, or to `kind`. `takes` accepts an edited one.

        Raises MediaError for a clip that cannot be read, ConditionError for an unknown reader or without a picture.
        """
        name = reader_name(reader)
        if isinstance(self.picture, NoPicture):
            raise ConditionError("there is no picture to read the timing from; use Timing.of_hits or of_envelope.")
        if (name, None) not in self._known.timings:
            self._read(name, on_progress)
        timing = in_kind(self._known.timings[name, None], Options(prompt=prompt, kind=kind), self.info.duration_s)
        # a copy, so that an edited tensor changes nothing here
        return replace(timing, envelope=replace(timing.envelope, values=timing.envelope.values.clone()),
                       onsets_s=timing.onsets_s.clone())

    def takes(self, prompt: str | None = None, *, num_samples: int = 1, seed: int = -1,
              envelope: EnvelopeLike | None = None, guides: Sequence[Guide | str] = (),
              callback_on_step_end: Callback | None = None, on_progress: OnProgress | None = None,
              **options: Unpack[OptionValues]) -> Iterator[Result]:
        """Soundtracks, one at a time: take k equals a single run with seed + k.

        Args:
            num_samples: how many takes, 1 or more.
            seed: -1 draws one; every result records its own.
            envelope: the timing, instead of the picture's: a Timing, an envelope (M,) of RMS 0..1 at
                100 Hz, or a file.
            guides: objects that move the latents while they are denoised, or names of guides.
            on_progress: called with the progress of the run; one that raises Cancelled ends it.
            options: fields of `Options` (listed by `OptionValues`), and the system's own options.

        Raises ConditionError for options that are unknown, out of range, or not accepted by the system,
        MediaError for unreadable files (with the first take).
        """
        if num_samples < 1:
            raise ConditionError(f"num_samples is {num_samples}; it must be 1 or more.")
        timing, path = timing_or_path(envelope)
        names = tuple(guide for guide in guides if isinstance(guide, str))
        asked = options_for(self.pipeline, {"prompt": prompt, "seed": seed, "envelope": path,
                                            "guides": names or None} | dict(options))
        if timing is not None and (asked.timing or asked.onsets):
            raise ConditionError("a timing was given, and timing or onsets name another; give one of them.")
        objects = [guide for guide in guides if not isinstance(guide, str)]
        self._check(asked, timing, objects, callback_on_step_end)
        announce([asked], self.pipeline, pictured=not isinstance(self.picture, NoPicture))
        return self.takes_of(asked, range(num_samples), timing=timing, guides=objects, callback=callback_on_step_end,
                             on_progress=on_progress)

    def takes_of(self, options: Options, numbers: Iterable[int], *, timing: Timing | None = None,
                 guides: Sequence[Guide] = (), callback: Callback | None = None,
                 on_progress: OnProgress | None = None) -> Iterator[Result]:
        """As `takes`, for validated options; `numbers` are those of the takes. Warns only once of each problem."""
        self._check(options, timing, guides, callback)
        options = options.replaced({"seed": options.seed if options.seed >= 0 else fresh_seed()})
        source = None if timing is not None else timing_source(options, self.pipeline)
        reader = source if source in READERS else None
        seen: tuple[Seen, ...] = ()
        with kept_notes() as read:
            if options.captioner is not None:
                options = with_caption(self.picture, options, self._known, on_progress)
            elif looks(options, self.pipeline) and not isinstance(self.picture, NoPicture):
                options, seen = with_seen(self.picture, options, self._known, reader, on_progress)
            conditions = read_conditions(self.picture, options, self.pipeline, timing, known=self._known,
                                         guides=guides, on_progress=on_progress)
        if reader is not None and conditions.timing is not None:
            options = options.replaced({"timing": reader})  # the actual reader, for the sidecar
        advised = advice([options], self.pipeline, pictured=not isinstance(self.picture, NoPicture))
        for k in numbers:
            with kept_notes() as made:
                result = make_result(conditions, options.replaced({"seed": options.seed + k}), self.pipeline,
                                     callback=callback, on_progress=on_progress)
            yield result.with_notes((*advised, *read, *made), seen)

    def _read(self, reader: str | None, on_progress: OnProgress | None) -> None:
        """Read the timing, and the pictures that the pipeline wants where nothing else is given."""
        read_picture(self.picture, self._known,
                     lambda info: plan_pictures(lambda seconds: self.pipeline.pictures_wanted(seconds, {}), info,
                                                (0.0, info.duration_s)), reader, on_progress=on_progress)

    def _check(self, options: Options, timing: Timing | None, guides: Sequence[Guide],
               callback: Callback | None) -> None:
        """Raise ConditionError for what the pipeline does not take, before anything is read."""
        given = {"guides": guides, "envelope": timing is not None, "callback_on_step_end": callback is not None}
        check_accepted(self.pipeline, options, [name for name, value in given.items() if value])
        check_guides(guides)


def open_clip(video: Source | None, pipeline: Pipeline | None = None, *, fps: float | None = None,
              duration_s: float | None = None) -> ClipSession:
    """A session for a clip: a path; frames (F, H, W, 3) uint8 in memory with their `fps`; or, for sound without a
    picture, None with `duration_s`.

    `pipeline`: None loads the default one. Raises PostsyncError if that cannot be loaded, ConditionError for frames of
    another form.
    """
    picture = NoPicture(duration_s or 0.0) if video is None else open_picture(video, fps)
    return ClipSession(picture, registry.load_pipeline() if pipeline is None else pipeline)


def generate(video: Source | None, prompt: str | None = None, *, pipeline: Pipeline | None = None,
             fps: float | None = None, seed: int = -1,
             envelope: EnvelopeLike | None = None, guides: Sequence[Guide | str] = (),
             callback_on_step_end: Callback | None = None, on_progress: OnProgress | None = None,
             **options: Unpack[OptionValues]) -> Result:
    """Sound for a silent clip; the clip's own audio is never listened to.

    Arguments are those of `open_clip` and `ClipSession.takes`; options by keyword: negative_prompt, cues, captioner,
    look, reference, given_sound, num_inference_steps, guidance_scale, control_scale, timing, kind, onsets, offset_ms,
    start_s, duration_s, target_lufs, sound, audio_codec, mix_db, and the system's own (`pipeline.options`). Without a
    `pipeline`: system, preset, parts, device, dtype. With `video` None, `duration_s` is the length of the sound.

    Returns:
        Result with a waveform of exactly the clip's length at 48 kHz.

    Raises:
        MediaError: the clip or the reference cannot be read.
        ConditionError: an unknown name or value, or a condition that the system does not accept.
        Cancelled: a callback cancelled the run.
    """
    if pipeline is None:
        pipeline = load_for(options_for(None, options))
    duration_s = options.pop("duration_s", None) if video is None else None
    return next(open_clip(video, pipeline, fps=fps, duration_s=duration_s).takes(
        prompt, seed=seed, envelope=envelope, guides=guides, callback_on_step_end=callback_on_step_end,
        on_progress=on_progress, **options))


def load_for(options: Options, *, progress_bar: bool = True) -> Pipeline:
    """The pipeline that the options name; `progress_bar`: see `postsync.load`.

    Raises PostsyncError, ConditionError for an unavailable device.
    """
    parts = {name: folder for name, folder in options.parts.items() if name != TIMING_PART}
    return registry.load_pipeline(options.system, options.preset, device=options.device, dtype=options.dtype,
                                  parts=parts, progress_bar=progress_bar)


def options_for(pipeline: Pipeline | None, given: Mapping[str, Any]) -> Options:
    """Options from values by name, None where not given: fields of Options, or the system's own options.

    Those for a pipeline record how it was loaded. Raises ConditionError for other names, and for values that
    contradict the pipeline's.
    """
    values = {name: _plain(value) for name, value in given.items() if value is not None}
    if pipeline is None:
        entry = registry.system(values.get("system", registry.default_system()))
        return Options(**{"system": entry.name} | with_settings(values, entry.options, entry.name))
    origin = pipeline.origin or Origin(IN_MEMORY)
    fixed = {"system": pipeline.system, "preset": origin.preset, "device": origin.device, "dtype": origin.dtype}
    if contradicted := [name for name, value in fixed.items() if values.get(name, value) != value]:
        raise ConditionError("; ".join(f"{name} is {values[name]}, but the pipeline was loaded with {fixed[name]}"
                                       for name in contradicted) + "; drop that.")
    parts = dict(values.get("parts", {}))
    reader = {TIMING_PART: parts.pop(TIMING_PART)} if TIMING_PART in parts else {}
    if parts and parts != dict(origin.parts):
        raise ConditionError(f"parts {', '.join(sorted(parts))}: a pipeline has its parts from loading; name them "
                             "there.")
    return Options(**with_settings(values, pipeline.options, pipeline.system) | fixed
                   | {"parts": dict(origin.parts) | reader})


def _plain(value: Any) -> Any:
    """A path as text, a NumPy number as Python's."""
    return str(value) if isinstance(value, Path) else value.item() if isinstance(value, np.generic) else value


def fresh_seed() -> int:
    """A random seed; it is printed and stored, so that the run can be repeated."""
    return secrets.randbelow(2**31)


def timing_or_path(envelope: EnvelopeLike | None) -> tuple[Timing | None, str | None]:
    """A given timing, or the path of a file that contains it."""
    if envelope is None or isinstance(envelope, str | Path):
        return None, None if envelope is None else str(envelope)
    if isinstance(envelope, Timing):
        return envelope, None
    if isinstance(envelope, Envelope):
        return Timing(envelope, pick_onsets(envelope.values, envelope.rate)), None
    return Timing.of_envelope(envelope), None
