"""Earlier results in Python: read from disk, repeated, or with a span regenerated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import ConditionError
from ..protocols.pipeline import OnProgress, Pipeline
from . import repetition
from .result import Result
from .session import EnvelopeLike, fresh_seed, load_for, timing_or_path
from .sidecar import Sidecar


def open_result(path: str | Path, pipeline: Pipeline | None = None, on_progress: OnProgress | None = None) -> Result:
    """The result in a file that `Result.save` or `postsync generate` wrote, or of its sidecar; for `redo`.

    `pipeline`: that which made it; None loads it. Its soundtrack is rebuilt where the lossless copy is missing. Raises
    MediaError, WeightsError for files or weights that have changed, ConditionError for a file without a sidecar.
    """
    sidecar = Sidecar.read(Path(path))
    made_by, _ = repetition.prepared(sidecar, sidecar.picture_file, lambda options: pipeline or load_for(options))
    return repetition.earlier_result(sidecar, sidecar.picture_file, made_by, on_progress)


def repeat(path: str | Path, video: str | Path | None = None, pipeline: Pipeline | None = None,
           on_progress: OnProgress | None = None) -> Result:
    """The result that a sidecar describes, made again from its recipes, the same sample for sample.

    `video`: the clip, if it moved; `pipeline`, errors: as `open_result`.
    """
    sidecar = Sidecar.read(Path(path))
    file = sidecar.picture_file if video is None else Path(video)
    made_by, _ = repetition.prepared(sidecar, file, lambda options: pipeline or load_for(options))
    return repetition.repeat(sidecar, file, made_by, on_progress)


def redo(earlier: Result | str | Path, start_s: float, end_s: float, *, pipeline: Pipeline | None = None,
         seed: int = -1, envelope: EnvelopeLike | None = None, on_progress: OnProgress | None = None,
         prompt: str | None = None, **changes: Any) -> Result:
    """An earlier result, or that in a file, with the span between two times regenerated.

    Args:
        pipeline: that which made it; None loads it.
        seed: of the new span; -1 draws one.
        envelope: another timing, of the whole clip; None keeps the earlier one.
        prompt: other words; None keeps the earlier ones.
        changes: fields of `Options` and the system's own options that differ from the earlier ones.

    Only the span's samples change. Raises ConditionError for a span outside the clip, and for options that are unknown
    or concern the whole soundtrack; for a file also as `open_result`.
    """
    if not isinstance(earlier, Result):
        pipeline = pipeline or load_for(Sidecar.read(Path(earlier)).recipes[0].options)
        earlier = open_result(earlier, pipeline, on_progress)
    timing, path = timing_or_path(envelope)
    if timing is not None and (clash := sorted({"timing", "onsets"} & changes.keys())):
        raise ConditionError(f"a timing was given, and {' and '.join(clash)} names another; give one of them.")
    given: dict[str, Any] = {**changes, "seed": seed if seed >= 0 else fresh_seed()}
    given |= {name: value for name, value in (("envelope", path), ("prompt", prompt)) if value is not None}
    return repetition.redo(earlier, start_s, end_s, given, pipeline or load_for(earlier.options), on_progress,
                        timing=timing)
