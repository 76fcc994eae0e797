"""An earlier result again: repeated from its sidecar, or with a span of it made anew."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import ConditionError, MediaError, WeightsError
from ..media.container import sha256_of
from ..media.video import probe
from .conditions import on_grid, read_conditions, render
from .job import fresh_seed, make
from .provenance import Provenance
from .result import Recipe, Result
from .sidecar import Sidecar, lossless_path
from .soundtrack import fingerprint, read_lossless, spliced
from .timing_of_clip import read_timing

log = logging.getLogger(__name__)

CONTEXT_S = 0.5  # made on both sides of a span, at least, so that it fits its surroundings
_RETIMING = ("timing", "envelope", "onsets")  # options that say anew when it sounds
_WHOLE = frozenset({"system", "preset", "device", "dtype", "start_s", "duration_s", "target_lufs", "sound", "mix_db"})


def check_unchanged(sidecar: Sidecar, video: Path, provenance: Provenance) -> None:
    """Raise MediaError where the clip or a reference is another than the sidecar's, WeightsError where weights are.

    Other versions of what made it are a warning: the samples may differ then.
    """
    if sha256_of(video) != sidecar.video_sha256:
        raise MediaError(f"{video}: is not the clip that {sidecar.path.name} was made from (its SHA-256 differs); name "
                         "the original clip, or generate anew with the options that the sidecar holds")
    for recipe, known in zip(sidecar.recipes, sidecar.reference_sha256):
        reference = recipe.options.reference
        if reference is not None and sha256_of(reference) != known:
            raise MediaError(f"{reference}: is not the reference that {sidecar.path.name} was made with; bring the "
                             "original back, or generate anew")
    names = sidecar.provenance.weights.keys() | provenance.weights.keys()
    if changed := sorted(n for n in names if sidecar.provenance.weights.get(n) != provenance.weights.get(n)):
        raise WeightsError(f"{sidecar.path}: was made with other weights ({', '.join(changed)}); use the version of "
                           f"postsync that made it ({sidecar.provenance.versions.get('postsync')}), or generate anew.")
    was, now = sidecar.provenance.versions, provenance.versions
    if differing := [f"{name} {was.get(name)} -> {now[name]}" for name in now if was.get(name) != now[name]]:
        log.warning("%s: made with other versions (%s); the samples may differ", sidecar.path, ", ".join(differing))


def repeat(sidecar: Sidecar, video: Path, pipeline: Any) -> Result:
    """The sidecar's result, made again from its recipes. Warns where not every sample is the same."""
    base, *later = sidecar.recipes
    result = make(read_conditions(video, base.options, pipeline, base.timing), base.options, pipeline)
    for recipe in later:
        result = _with_span(result, recipe, pipeline)
    if fingerprint(result.waveform) != sidecar.soundtrack_sha256:
        log.warning("%s: repeated, but not sample for sample; it was made on another machine or with other versions",
                    sidecar.path)
    return result


def earlier_result(sidecar: Sidecar, video: Path, pipeline: Any) -> Result:
    """The sidecar's result with its kept soundtrack, which is rebuilt where it is missing.

    Raises MediaError where the kept file holds another sound, or the rebuilt one is not what it was.
    """
    kept = lossless_path(sidecar.result)
    if kept.exists():
        result = Result(probe(video), read_lossless(kept), sidecar.recipes, sidecar.gain_db)
        advice = "delete it to have it rebuilt"
    else:
        log.warning("%s is missing; the earlier soundtrack is rebuilt from its sidecar", kept)
        result, advice = repeat(sidecar, video, pipeline), "bring the file back, or generate the whole clip anew"
    if fingerprint(result.waveform) != sidecar.soundtrack_sha256:
        raise MediaError(f"{kept}: is not the soundtrack that {sidecar.path.name} describes; {advice}")
    return result


def redo(earlier: Result, start_s: float, end_s: float, changes: Mapping[str, Any], pipeline: Any) -> Result:
    """`earlier` with the span between two times made anew, with its options but for `changes`, at its gain.

    Only the span's own samples change; the cross-fades lie inside it. Times are rounded to 10 ms. The earlier timing
    stays unless the changes name a file or reader; an offset moves it further. Raises ConditionError for a span outside
    the clip, and for options that concern the whole soundtrack.
    """
    if not 0 <= start_s < min(end_s, earlier.duration_s) or math.isinf(end_s):
        raise ConditionError(f"a span from {start_s:g} to {end_s:g} s does not lie in a clip of "
                             f"{earlier.duration_s:.3f} s; give its start and its end in seconds.")
    start_s, end_s = on_grid(start_s), min(on_grid(end_s), earlier.duration_s)
    if start_s >= end_s:
        raise ConditionError(f"a span of {end_s - start_s:g} s is too short; times are rounded to 10 ms.")
    if fixed := sorted(_WHOLE & changes.keys()):
        raise ConditionError(f"{', '.join(fixed)}: such options concern the whole soundtrack; a span is made anew "
                             "without them.")
    retimed = any(name in changes for name in _RETIMING)
    cleared = dict.fromkeys(_RETIMING) if retimed else {}
    options = earlier.options.replaced({"seed": fresh_seed(), "offset_ms": 0.0, **cleared, **changes})
    timing = read_timing(earlier.video.path, options)[1] if retimed else earlier.timing
    return _with_span(earlier, Recipe(options, timing, (start_s, end_s)), pipeline)


def _with_span(earlier: Result, recipe: Recipe, pipeline: Any) -> Result:
    """The span is made with sound around it, up to the model's native length, which costs nothing more."""
    assert recipe.span is not None
    start_s, end_s = recipe.span
    context_s = max(CONTEXT_S, (pipeline.native_s - (end_s - start_s)) / 2)
    first_s, last_s = max(0.0, on_grid(start_s - context_s)), min(on_grid(end_s + context_s), earlier.duration_s)
    conditions = read_conditions(earlier.video.path, recipe.options, pipeline, recipe.timing, (first_s, last_s))
    new, _ = render(conditions, recipe.options, pipeline, kept_gain_db=earlier.gain_db)
    waveform = spliced(earlier.waveform, new, first_s, start_s, end_s)
    recipe = replace(recipe, timing=conditions.timing)
    return Result(earlier.video, waveform, (*earlier.recipes, recipe), earlier.gain_db)
