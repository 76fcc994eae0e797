"""What is read of a clip and a reference once, for all takes, and how the pipeline is asked for a part of the clip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ConditionError
from ..features.envelope import ENVELOPE_RATE
from ..media.audio import read_audio
from ..media.video import VideoInfo, iter_frames, probe, read_frames
from .cue_sheet import cues_within
from .loading import check_accepted, follows_timing
from .options import Options
from .soundtrack import DELIVERY_RATE, at_delivery_rate, level, loudness_target
from .timing_of_clip import Timing, read_timing, timing_name

Callback = Callable[..., dict[str, Any]]


@dataclass(frozen=True)
class Conditions:
    """What the soundtrack of a part of a clip follows; `timing` is of the whole clip, without the options' offset."""

    info: VideoInfo
    start_s: float
    end_s: float
    timing: Timing | None  # None: the pipeline follows the picture alone
    frames: Tensor | None  # (n, 3, H, W) uint8 of the part, where the picture says what sounds
    reference: Tensor | None  # (C, N) at the pipeline's rate


def read_conditions(video: Path, options: Options, pipeline: Any, timing: Timing | None = None,
                    part: tuple[float, float] | None = None) -> Conditions:
    """Read all that the options name. `timing`: known already; `part`: start and end in seconds, by default that of the
    options. Raises MediaError, ConditionError, WeightsError."""
    if timing_source(options, pipeline) is None:
        info, timing = probe(video), None
    elif timing is None:
        info, timing = read_timing(video, options)
    else:
        info = probe(video)
    reference = None
    if options.reference is not None:
        reference = torch.from_numpy(read_audio(options.reference, pipeline.sampling_rate, mono=True))
    start_s, end_s = part or part_of(info, options)
    frames = _frames_for(pipeline, info, start_s, end_s, options)
    return Conditions(info, start_s, end_s, timing and timing.fitted(info.duration_s), frames, reference)


def timing_source(options: Options, pipeline: Any) -> str | None:
    """What says when it sounds, see `timing_name`; None where the pipeline follows the picture alone.

    Raises ConditionError for options about time that such a pipeline would not honour.
    """
    if follows_timing(pipeline):
        return timing_name(options)
    check_accepted(pipeline, [name for name in ("timing", "envelope", "onsets", "offset_ms")
                              if getattr(options, name)])
    return None


def _asked(options: Options) -> dict[str, Any]:
    """What says what sounds, besides the picture."""
    given = {"prompt": options.cues or options.prompt, "reference_audio": options.reference}
    return {name: value for name, value in given.items() if value is not None}


def picture_speaks(options: Options, pipeline: Any) -> bool:
    """Whether the pipeline looks at the picture."""
    return pipeline.pictures_wanted(pipeline.native_s, _asked(options)) is not None


def _frames_for(pipeline: Any, info: VideoInfo, start_s: float, end_s: float, options: Options) -> Tensor | None:
    """Frames (n, 3, H, W) uint8 of a part, as many and as large as the pipeline's video encoder looks at: at its rate
    from the part's start on, or, where it has none, those of all that are spread over the whole clip."""
    wanted = pipeline.pictures_wanted(info.duration_s, _asked(options))
    if wanted is None:
        return None
    count, size = wanted.count, wanted.size
    if wanted.fps is None:
        first = min(int(start_s / info.duration_s * count), count - 1)
        last = max(round(end_s / info.duration_s * count), first + 1)
        frames = read_frames(info.path, count, (size, size))[first:last]
    else:
        count = pipeline.pictures_wanted(end_s - start_s, _asked(options)).count
        held = iter_frames(info.path, (size, size), wanted.fps, start_s=start_s, end_s=end_s)
        images = [frame.image for frame in held][:count]
        frames = np.stack(images + images[-1:] * (count - len(images)))
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)


def on_grid(seconds: float) -> float:
    """The nearest time of the envelope's grid (10 ms)."""
    return round(seconds * ENVELOPE_RATE) / ENVELOPE_RATE


def part_of(info: VideoInfo, options: Options) -> tuple[float, float]:
    """Start and end in seconds of the part that gets sound, rounded to 10 ms, within the clip.

    Raises ConditionError where it lies beyond the clip's end.
    """
    start_s = on_grid(options.start_s)
    if start_s >= info.duration_s:
        raise ConditionError(f"the part starts at {start_s:g} s, but {info.path.name} ends at {info.duration_s:.3f} s; "
                             "start earlier.")
    if options.duration_s is None:
        return start_s, info.duration_s
    return start_s, min(on_grid(start_s + options.duration_s), info.duration_s)


def render(conditions: Conditions, options: Options, pipeline: Any, *, kept_gain_db: float | None = None,
           callback: Callback | None = None) -> tuple[np.ndarray, float | None]:
    """Sound (C, n) at 48 kHz for the conditions' part, and its gain.

    `kept_gain_db`: the gain of an earlier result, used in place of a loudness. The gain is None for silence.
    """
    start_s, end_s = conditions.start_s, conditions.end_s
    arguments = _arguments(conditions, options)
    if conditions.timing is not None:
        timing = conditions.timing.moved(options.offset_ms / 1000)
        if not bool((timing.within(start_s, end_s).envelope > 0).any()):  # nothing is to sound
            return np.zeros((1, round(end_s * DELIVERY_RATE) - round(start_s * DELIVERY_RATE)), np.float32), None
        arguments["envelope"] = timing.control(start_s, end_s)
    check_accepted(pipeline, arguments)
    with torch.no_grad():
        audio = pipeline(duration_s=end_s - start_s, generator=torch.Generator().manual_seed(options.seed),
                         callback_on_step_end=callback, **arguments).audios[0]
    waveform = at_delivery_rate(audio, pipeline.sampling_rate, end_s - start_s)
    del audio  # of ten minutes, 38 MB that nobody needs any more
    return waveform, level(waveform, loudness_target(options.target_lufs, kept_gain_db))


def _arguments(conditions: Conditions, options: Options) -> dict[str, Any]:
    """What the pipeline is asked for besides time and chance; what was not given is left to its preset."""
    cues = cues_within(options.cues, options.prompt, conditions.start_s, conditions.end_s)
    asked = {"prompt": cues or options.prompt, "negative_prompt": options.negative_prompt,
             "num_inference_steps": options.num_inference_steps, "guidance_scale": options.guidance_scale,
             "control_scale": options.control_scale, "reference_audio": conditions.reference,
             "video": conditions.frames}
    return {name: value for name, value in asked.items() if value is not None}
