"""One clip in, its takes out."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from .conditions import Callback, Conditions, picture_speaks, read_conditions, render, timing_source
from .loading import check_accepted, load
from .options import Options
from .result import Recipe, Result
from .soundtrack import DELIVERY_RATE, on_24_bits, placed
from .timing_of_clip import Timing
from .words import warn_of_new_words

log = logging.getLogger(__name__)


def generate(video: str | Path, prompt: str | None = None, *, negative_prompt: str | None = None, pipeline: Any = None,
             reference: str | Path | None = None, seed: int = -1, num_inference_steps: int | None = None,
             guidance_scale: float | None = None, envelope: Tensor | str | Path | None = None,
             control_scale: float | None = None, target_lufs: float = -20.0,
             callback_on_step_end: Callback | None = None, **more: Any) -> Result:
    """Sound for a silent clip. The clip's own audio is never listened to.

    Args:
        video: path of the clip.
        reference: a recording whose timbre is imitated.
        seed: -1 draws one; the result names it.
        envelope: (M,) linear RMS 0..1 at 100 Hz, or a file; None takes it from the picture.
        target_lufs: integrated loudness of the soundtrack (LUFS).
        more: further fields of `Options`, such as timing, onsets, offset_ms, cues, start_s, duration_s, sound.

    Returns:
        Result with a waveform of exactly the clip's length at 48 kHz.

    Raises:
        MediaError: the clip or the reference cannot be read.
        ConditionError: a value out of its range, or a condition that the system does not accept.
    """
    drawn = envelope if isinstance(envelope, Tensor) else None
    options = Options(
        prompt=prompt, negative_prompt=negative_prompt, reference=None if reference is None else str(reference),
        seed=seed, num_inference_steps=num_inference_steps, guidance_scale=guidance_scale,
        envelope=None if envelope is None or drawn is not None else str(envelope), control_scale=control_scale,
        target_lufs=target_lufs, **more)
    pipeline = load(options.system, options.preset) if pipeline is None else pipeline
    if drawn is not None:
        check_accepted(pipeline, ["envelope"])
    announce([options], pipeline)
    return next(takes(Path(video), options, pipeline, timing=None if drawn is None else Timing.drawn(drawn),
                      callback=callback_on_step_end))


def takes(video: Path, options: Options, pipeline: Any, numbers: Iterable[int] = (0,), *,
          timing: Timing | None = None, callback: Callback | None = None) -> Iterator[Result]:
    """Soundtracks for a clip, one at a time: number k (from 0) is the one that seed + k gives alone.

    `timing`: known already. The clip is read once. Raises as `generate` does.
    """
    seed = options.seed if options.seed >= 0 else fresh_seed()
    conditions = read_conditions(video, options, pipeline, timing)
    source = timing_source(options, pipeline)
    if timing is None and source in ("predicted", "motion"):
        options = options.replaced({"timing": source})  # what was chosen, for the sidecar
    for k in numbers:
        yield make(conditions, options.replaced({"seed": seed + k}), pipeline, callback)


def make(conditions: Conditions, options: Options, pipeline: Any, callback: Callback | None = None) -> Result:
    """The soundtrack of a clip from conditions that were read."""
    info = conditions.info
    part, gain_db = render(conditions, options, pipeline, callback=callback)
    waveform = on_24_bits(placed(part, conditions.start_s, round(info.duration_s * DELIVERY_RATE)))
    return Result(info, waveform, (Recipe(options, conditions.timing),), gain_db)


def announce(runs: Iterable[Options], pipeline: Any) -> None:
    """Say once for all of `runs` what this pipeline's weights never met: words, or real pictures."""
    if pipeline.knows_film:
        return
    runs, takes_words = list(runs), "prompt" in pipeline.accepts
    if takes_words:
        warn_of_new_words([text for options in runs for text in
                           (options.prompt, options.negative_prompt, *(cue[2] for cue in options.cues)) if text])
    if any(picture_speaks(options, pipeline) for options in runs):
        advice = "; say what is to be heard with a prompt" if takes_words else ""
        log.warning("the picture alone says what sounds, and this preset knows only the drawn pictures of its "
                    "scenes%s", advice)


def fresh_seed() -> int:
    """A seed nobody chose; it is printed and stored, so that the run can be repeated."""
    return secrets.randbelow(2**31)
