"""From conditions to a soundtrack: the pipeline is run, and its output normalised and placed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..media.picture import FramesPicture, Picture
from ..protocols.pipeline import Callback, OnProgress, Pipeline, stage
from .conditions import Conditions, pipeline_arguments
from .delivery import DELIVERY_RATE, as_it_is, at_delivery_rate, level, loudness_target, on_24_bits, placed
from .kinds import is_hit
from .options import Options
from .requests import cues_within
from .result import Result
from .sidecar import values_used, weight_folders
from .soundtrack import Recipe, Soundtrack


@dataclass(frozen=True)
class Rendered:
    """Sound (C, n) at 48 kHz of a part, its gain (None for silence), and the pipeline's captions and picture."""

    waveform: np.ndarray
    gain_db: float | None
    captions: tuple[str, ...] = ()
    picture: Picture | None = None


def make_result(conditions: Conditions, options: Options, pipeline: Pipeline, *, callback: Callback | None = None,
                on_progress: OnProgress | None = None) -> Result:
    """The soundtrack of a whole clip, silent outside the conditions' part, under its picture or the pipeline's own."""
    part = render(conditions, options, pipeline, callback=callback, on_progress=on_progress)
    given = conditions.guides[len(options.guides):]  # objects, which no sidecar can name
    picture = part.picture or conditions.picture
    num_samples = round(picture.info.duration_s * DELIVERY_RATE)
    waveform = on_24_bits(placed(part.waveform, conditions.start_s, num_samples))
    recipe = Recipe(options, conditions.timing, guides=tuple(type(guide).__name__ for guide in given),
                    used=values_used(pipeline, options), created=part.picture is not None)
    soundtrack = Soundtrack(waveform, (recipe,), part.gain_db, part.captions, weights=weight_folders(pipeline, options))
    return Result(picture, soundtrack)


def render(conditions: Conditions, options: Options, pipeline: Pipeline, *, kept_gain_db: float | None = None,
           callback: Callback | None = None, on_progress: OnProgress | None = None) -> Rendered:
    """The sound for the conditions' part. `kept_gain_db`: the gain of an earlier result, used instead of a loudness.
    """
    start_s, end_s = conditions.start_s, conditions.end_s
    arguments = _arguments(conditions, options)
    if conditions.timing is not None and options.control_scale != 0:  # at 0 the sound is free of the timing
        timing = conditions.timing.moved(options.offset_ms / 1000)
        if timing.silent(start_s, end_s):
            num_samples = round(end_s * DELIVERY_RATE) - round(start_s * DELIVERY_RATE)
            return Rendered(np.zeros((pipeline.channels, num_samples), np.float32), None)
        arguments["envelope"] = timing.part(start_s, end_s, hits=is_hit(options))
    if conditions.guides:
        arguments["guides"] = conditions.guides
    if "callback_on_step_end" in pipeline.accepts:
        arguments["callback_on_step_end"] = _reporting(callback, options.num_inference_steps
                                                       or pipeline.num_inference_steps, on_progress)
    decoding, levelling = stage(on_progress, "decoding"), stage(on_progress, "levelling")
    with torch.no_grad():  # not inference_mode: a guide takes gradients of tensors created here
        output = pipeline(duration_s=end_s - start_s, generator=torch.Generator().manual_seed(options.seed),
                          **arguments)
    if decoding is not None:
        decoding(1.0)
    audio = output.audios[0]
    assert isinstance(audio, Tensor)
    picture = None if output.frames is None else FramesPicture(output.frames[0], fps=output.frame_rate)
    captions = output.captions or ()
    del output
    if options.given_sound is not None:
        return Rendered(as_it_is(Path(options.given_sound), end_s - start_s), 0.0, captions, picture)
    waveform = at_delivery_rate(audio, pipeline.sampling_rate, end_s - start_s)
    del audio  # of ten minutes, 38 MB that are no longer needed
    gain_db = level(waveform, loudness_target(options.target_lufs, kept_gain_db), levelling)
    return Rendered(waveform, gain_db, captions, picture)


def _arguments(conditions: Conditions, options: Options) -> dict[str, Any]:
    """The arguments of the pipeline besides times, seeds and guides; those not given are left to its preset."""
    cues = cues_within(options.cues, options.prompt, conditions.start_s, conditions.end_s)
    read = {"prompt": cues or options.prompt, "reference_audio": conditions.reference, "sound": conditions.sound,
            "video": conditions.frames, "envelope": None, "guides": None}
    return {name: value for name, value in (pipeline_arguments(options) | read).items() if value is not None}


def _reporting(callback: Callback | None, num_steps: int, on_progress: OnProgress | None) -> Callback | None:
    """The caller's callback, which also reports the progress of denoising; None if neither is needed."""
    denoising, decoding = stage(on_progress, "denoising"), stage(on_progress, "decoding")
    if denoising is None or decoding is None:
        return callback

    def after_step(pipeline: Any, step: int, timestep: float, latents: dict[str, Tensor]) -> dict[str, Tensor] | None:
        answer = None if callback is None else callback(pipeline, step, timestep, latents)
        denoising((step + 1) / num_steps)
        if step + 1 >= num_steps:
            decoding(0.0)
        return answer

    return after_step
