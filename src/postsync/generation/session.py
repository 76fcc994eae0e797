"""A clip with its pipeline: conditions are read once for all takes. The command line and applications use this."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from .. import registry
from ..errors import ConditionError
from ..features.envelope import Envelope
from ..features.onsets import pick_onsets
from ..media.picture import Picture, open_picture
from ..media.video import VideoInfo
from ..protocols.guide import Guide
from ..protocols.pipeline import Callback, Pipeline
from ..protocols.system import checked_options
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
from .options import Options
from .progress import OnProgress, noted
from .rendering import make_soundtrack
from .result import Result
from .words import advice, announce

IN_MEMORY = "(built in memory)"  # preset name of a pipeline that was not loaded from one

Source = str | Path | np.ndarray | Tensor | Sequence[np.ndarray] | Picture
"""A clip's path; frames (F, H, W, 3) uint8 in memory, with `fps`; or a Picture."""


class ClipSession:
    """A clip that soundtracks are made for. Its picture is decoded at most once."""

    def __init__(self, picture: Picture, pipeline: Pipeline) -> None:
        self.picture, self.pipeline = picture, pipeline
        self._known = PictureCache()

    @property
    def info(self) -> VideoInfo:
        """Size, exact length and rate of the picture. Raises MediaError for a clip that cannot be read."""
        return self.picture.info

    def timing(self, reader: str | None = None, on_progress: OnProgress | None = None) -> Timing:
        """The timing of the picture by the named reader (None: the best installed one). `takes` accepts an edited one.

        Raises MediaError for a clip that cannot be read, ConditionError for an unknown reader.
        """
        name = reader_name(reader)
        read_picture(self.picture, self._known,
             lambda info: plan_pictures(self.pipeline, info, (0.0, info.duration_s), {}), name, on_progress=on_progress)
        return self._known.timings[name, None]

    def takes(self, prompt: str | None = None, *, num_samples: int = 1, seed: int = -1,
              envelope: Timing | Envelope | Tensor | str | Path | None = None, guides: Sequence[Guide] = (),
              callback_on_step_end: Callback | None = None, on_progress: OnProgress | None = None,
              **options: Any) -> Iterator[Result]:
        """Soundtracks, one at a time: take k equals a single run with seed + k.

        Args:
            num_samples: how many takes.
            seed: -1 draws one; every result records its own.
            envelope: the timing, instead of the picture's: a Timing, an envelope (M,) of RMS 0..1 at
                100 Hz, or a file.
            guides: objects that move the latents while they are denoised.
            on_progress: called with the progress of the run; one that raises Cancelled ends it.
            options: fields of `Options`, and the system's own options, such as `guidance_scale` or `cues`.

        Raises ConditionError for options that are unknown, out of range, or not accepted by the system, MediaError for
        unreadable files.
        """
        timing, path = _timing_or_path(envelope)
        asked = options_for(self.pipeline, {"prompt": prompt, "seed": seed, "envelope": path} | options)
        if timing is not None:
            check_accepted(self.pipeline, asked, ["envelope"])
        announce([asked], self.pipeline)
        yield from self.takes_of(asked, range(num_samples), timing=timing, guides=guides, callback=callback_on_step_end,
                                 on_progress=on_progress)

    def takes_of(self, options: Options, numbers: Iterable[int], *, timing: Timing | None = None,
                 guides: Sequence[Guide] = (), callback: Callback | None = None,
                 on_progress: OnProgress | None = None) -> Iterator[Result]:
        """As `takes`, for validated options; `numbers` are those of the takes. Warns only once of each problem."""
        check_accepted(self.pipeline, options, ["guides"] if guides else [])
        options = options.replaced({"seed": options.seed if options.seed >= 0 else fresh_seed()})
        with noted() as read:
            conditions = read_conditions(self.picture, options, self.pipeline, timing, known=self._known,
                                         on_progress=on_progress)
        source = timing_source(options, self.pipeline)
        if timing is None and source in READERS:
            options = options.replaced({"timing": source})  # the actual reader, for the sidecar
        for k in numbers:
            with noted() as made:
                soundtrack = make_soundtrack(conditions, options.replaced({"seed": options.seed + k}), self.pipeline,
                                             guides=guides, callback=callback, on_progress=on_progress)
            notes = dict.fromkeys((*advice([options], self.pipeline), *read, *made))
            yield Result(self.picture, replace(soundtrack, notes=tuple(notes)))


def open_clip(video: Source, pipeline: Pipeline | None = None, *, fps: float | None = None) -> ClipSession:
    """A session for a clip: a path, or frames (F, H, W, 3) uint8 in memory with their `fps`.

    `pipeline`: None loads the default one. Raises PostsyncError if that cannot be loaded, ConditionError for frames of
    another form.
    """
    return ClipSession(open_picture(video, fps), registry.load_pipeline() if pipeline is None else pipeline)


def generate(video: Source, prompt: str | None = None, *, pipeline: Pipeline | None = None, fps: float | None = None,
             seed: int = -1, envelope: Timing | Envelope | Tensor | str | Path | None = None,
             guides: Sequence[Guide] = (), callback_on_step_end: Callback | None = None,
             on_progress: OnProgress | None = None, **options: Any) -> Result:
    """Sound for a silent clip; the clip's own audio is never listened to.

    Arguments are those of `open_clip` and `ClipSession.takes`. Without a `pipeline`, `options` name its system, preset,
    parts, device and dtype.

    Returns:
        Result with a waveform of exactly the clip's length at 48 kHz.

    Raises:
        MediaError: the clip or the reference cannot be read.
        ConditionError: an unknown name or value, or a condition that the system does not accept.
        Cancelled: a callback cancelled the run.
    """
    if pipeline is None:
        pipeline = load_for(options_for(None, options))
    return next(open_clip(video, pipeline, fps=fps).takes(
        prompt, seed=seed, envelope=envelope, guides=guides, callback_on_step_end=callback_on_step_end,
        on_progress=on_progress, **options))


def load_for(options: Options) -> Pipeline:
    """The pipeline that the options name. Raises PostsyncError, ConditionError for an unavailable device."""
    parts = {name: folder for name, folder in options.parts.items() if name != TIMING_PART}
    return registry.load_pipeline(options.system, options.preset, device=options.device, dtype=options.dtype,
                                  parts=parts)


def options_for(pipeline: Pipeline | None, given: Mapping[str, Any]) -> Options:
    """Options from values by name, None where not given: fields of Options, or the system's own options.

    Those for a pipeline record its system and preset. Raises ConditionError for other names, and if the named system is
    not the pipeline's.
    """
    named = {name: str(value) if isinstance(value, Path) else value for name, value in given.items()
             if value is not None}
    system = named.get("system", registry.default_system()) if pipeline is None else pipeline.system
    if named.get("system", system) != system:
        raise ConditionError(f"system is '{named['system']}', but the pipeline runs {system}; drop one of them.")
    known = registry.system(system).options if pipeline is None else pipeline.options
    own = {name: named.pop(name) for name in list(named) if name not in Options.model_fields}
    settings: dict[str, Any] = dict(given.get("settings") or {}) | own
    fields = {name: value for name, value in settings.items() if "." not in name}
    if unknown := sorted(set(fields) - set(known)):
        raise ConditionError(f"there is no option {', '.join(unknown)}; the options are "
                             f"{', '.join([*Options.model_fields, *known])}.")
    settings = settings | checked_options(fields, known, system)
    origin = {} if pipeline is None else {"preset": pipeline.preset or IN_MEMORY}
    return Options(**{"system": system} | named | origin | {"settings": settings})


def fresh_seed() -> int:
    """A random seed; it is printed and stored, so that the run can be repeated."""
    return secrets.randbelow(2**31)


def _timing_or_path(envelope: Timing | Envelope | Tensor | str | Path | None) -> tuple[Timing | None, str | None]:
    """A given timing, or the path of a file that contains it."""
    if envelope is None or isinstance(envelope, str | Path):
        return None, None if envelope is None else str(envelope)
    if isinstance(envelope, Timing):
        return envelope, None
    if isinstance(envelope, Envelope):
        return Timing(envelope, pick_onsets(envelope.values, envelope.rate)), None
    return Timing.of_envelope(envelope), None
