"""What is read of a clip and a reference once, for all takes, and how the pipeline is asked for a part of the clip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..features.envelope import ENVELOPE_RATE
from ..media.audio import read_audio
from ..media.video import VideoInfo, probe, read_frames
from .cue_sheet import cues_within
from .loading import check_accepted
from .options import Options
from .soundtrack import DELIVERY_RATE, at_delivery_rate, level, loudness_target
from .timing_of_clip import Timing, read_timing

Callback = Callable[..., dict[str, Any]]


@dataclass(frozen=True)
class Conditions:
    """What a clip's soundtrack follows; `timing` is without the options' offset."""

    info: VideoInfo
    timing: Timing
    frames: Tensor | None  # (n, 3, H, W) uint8, spread over the whole clip, where the picture says what sounds
    reference: Tensor | None  # (C, N) at the pipeline's rate


def read_conditions(video: Path, options: Options, pipeline: Any, timing: Timing | None = None) -> Conditions:
    """Read all that the options name. `timing`: known already. Raises MediaError, ConditionError, WeightsError."""
    if timing is None:
        info, timing = read_timing(video, options)
    else:
        info = probe(video)
    reference = None
    if options.reference is not None:
        reference = torch.from_numpy(read_audio(options.reference, pipeline.sampling_rate, mono=True))
    frames = _frames_for(pipeline, info) if picture_speaks(options, pipeline) else None
    return Conditions(info, timing.fitted(info.duration_s), frames, reference)


def picture_speaks(options: Options, pipeline: Any) -> bool:
    """Whether the picture says what sounds: where the pipeline knows film or takes no words, or nothing else says it.
    """
    return bool(pipeline.sees_film) or "prompt" not in pipeline.accepts or (
        options.prompt is None and not options.cues and options.reference is None)


def _frames_for(pipeline: Any, info: VideoInfo) -> Tensor:
    """Frames (n, 3, H, W) uint8, as many and as large as the pipeline's video encoder looks at."""
    count, size = pipeline.frames_wanted(info.duration_s)
    frames = read_frames(info.path, count, (size, size))
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)


def on_grid(seconds: float) -> float:
    """The nearest time of the envelope's grid (10 ms)."""
    return round(seconds * ENVELOPE_RATE) / ENVELOPE_RATE


def render(conditions: Conditions, options: Options, pipeline: Any, start_s: float, end_s: float, *,
           kept_gain_db: float | None = None, callback: Callback | None = None) -> tuple[np.ndarray, float | None]:
    """Sound (C, n) at 48 kHz for the clip between two times of the envelope's grid (or the clip's end), and its gain.

    `kept_gain_db`: the gain of an earlier result, used in place of a loudness. The gain is None for silence.
    """
    timing = conditions.timing.moved(options.offset_ms / 1000)
    follows = "envelope" in pipeline.accepts
    if follows and not bool((timing.within(start_s, end_s).envelope > 0).any()):  # nothing is to sound
        return np.zeros((1, round(end_s * DELIVERY_RATE) - round(start_s * DELIVERY_RATE)), np.float32), None
    arguments = _arguments(conditions, options, pipeline, start_s, end_s)
    if follows or options.envelope is not None or options.onsets is not None:
        arguments["envelope"] = timing.control(start_s, end_s)
    check_accepted(pipeline, arguments)
    with torch.inference_mode():
        audio = pipeline(duration_s=end_s - start_s, generator=torch.Generator().manual_seed(options.seed),
                         callback_on_step_end=callback, **arguments).audios[0]
    waveform = at_delivery_rate(audio, pipeline.sampling_rate, end_s - start_s)
    del audio  # of ten minutes, 38 MB that nobody needs any more
    return waveform, level(waveform, loudness_target(options.target_lufs, kept_gain_db))


def _arguments(conditions: Conditions, options: Options, pipeline: Any, start_s: float,
               end_s: float) -> dict[str, Any]:
    """What the pipeline is asked for besides time and chance; what was not given is left to its preset."""
    cues = cues_within(options.cues, options.prompt, start_s, end_s)
    asked = {"prompt": cues or options.prompt, "negative_prompt": options.negative_prompt,
             "num_inference_steps": options.num_inference_steps, "guidance_scale": options.guidance_scale,
             "control_scale": options.control_scale, "reference_audio": conditions.reference}
    arguments = {name: value for name, value in asked.items() if value is not None}
    if conditions.frames is not None:
        count, length = len(conditions.frames), conditions.info.duration_s
        first = min(int(start_s / length * count), count - 1)
        arguments["video"] = conditions.frames[first:max(round(end_s / length * count), first + 1)]
    return arguments
