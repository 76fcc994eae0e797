"""Saying what a clip would sound like, by a system whose pipeline writes captions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .. import registry
from ..errors import ConditionError, PostsyncError
from ..media.picture import NoPicture, open_picture
from ..protocols.pipeline import Captions, OnProgress
from .conditions import PictureCache, frames_of, plan_pictures, read_picture
from .session import Source


def caption(video: Source, *, pipeline: Any = None, instruction: str | None = None, fps: float | None = None,
            on_progress: OnProgress | None = None) -> str:
    """What a clip would sound like, in words.

    video, fps: as of `open_clip`. pipeline: of a system that writes captions; None loads the first one. instruction: a
    question in place of the pipeline's own. Raises MediaError for a clip that cannot be read, ConditionError for a
    pipeline that writes none.
    """
    return _captioned(video, captioning(pipeline), instruction, fps, on_progress)[0]


def captioning(pipeline: Any = None) -> Captions:
    """The pipeline, by default that of the first system that writes captions. Raises ConditionError for one that writes
    none."""
    pipeline = registry.load_pipeline(registry.captioning_systems()[0]) if pipeline is None else pipeline
    if not isinstance(pipeline, Captions):
        raise ConditionError(f"{getattr(pipeline, 'system', type(pipeline).__name__)} writes no captions; these do: "
                             f"{', '.join(registry.captioning_systems())}.")
    return pipeline


def caption_rows(clips: Iterable[Path], pipeline: Captions, instruction: str | None = None,
                 on_progress: OnProgress | None = None) -> Iterator[tuple[Path, dict[str, Any] | PostsyncError]]:
    """Each clip with a row of a manifest (`data/manifest.py`) that holds its caption, or with what was wrong."""
    for path in clips:
        try:
            words, duration_s = _captioned(path, pipeline, instruction, None, on_progress)
        except PostsyncError as error:
            yield path, error
            continue
        yield path, {"clip_id": path.stem, "dataset": "captioned", "source_id": path.stem, "split": "test",
                     "video_path": str(path.resolve()), "start": 0.0, "end": duration_s, "duration": duration_s,
                     "captions": [words], "caption_source": getattr(pipeline, "system", None)}


def _captioned(video: Source, pipeline: Captions, instruction: str | None, fps: float | None,
               on_progress: OnProgress | None) -> tuple[str, float]:
    """A clip's caption, and its length in seconds."""
    picture = open_picture(video, fps)
    if isinstance(picture, NoPicture):
        raise ConditionError("there is no picture to caption; name a clip.")
    wanted = {"picture": "always"}
    images = read_picture(picture, PictureCache(), lambda info: plan_pictures(
        lambda seconds: pipeline.pictures_wanted(seconds, wanted), info, (0.0, info.duration_s)), None,
        on_progress=on_progress)
    frames = frames_of(images)
    assert frames is not None
    return pipeline.caption(frames, picture.info.duration_s, instruction), picture.info.duration_s
