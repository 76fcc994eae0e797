"""The names of a result's files: the result, its sidecar and its lossless soundtrack; none of them is overwritten."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Sequence
from itertools import chain, count
from pathlib import Path

log = logging.getLogger(__name__)
SOUND_SUFFIXES = (".wav", ".flac")  # of results without a picture


def sidecar_path(result: Path) -> Path:
    """`clip.postsync.mp4` -> `clip.postsync.mp4.json`."""
    return result.with_name(result.name + ".json")


def lossless_path(result: Path) -> Path:
    """`clip.postsync.mp4` -> `clip.postsync.mp4.flac`; a result in FLAC is its own."""
    return result if result.suffix.lower() == ".flac" else result.with_name(result.name + ".flac")


def result_files(result: Path) -> list[Path]:
    """The result with its sidecar and its lossless soundtrack."""
    return list(dict.fromkeys((result, sidecar_path(result), lossless_path(result))))


def name_of_words(text: str) -> str:
    """A sentence as the stem of a file: "A stick hits wood!" -> "a_stick_hits_wood"."""
    return re.sub(r"\W+", "_", text.lower()).strip("_")[:60].rstrip("_") or "clip"


def free_name(path: Path, files: Callable[[Path], Sequence[Path]] = lambda path: (path,)) -> Path:
    """`path`, or where one of its `files` exists the first free one of `<stem>.run2<suffix>`, `.run3` ..."""
    stem = re.sub(r"\.run\d+$", "", path.stem)
    names = chain([path], (path.with_name(f"{stem}.run{number}{path.suffix}") for number in count(2)))
    found = next(name for name in names if not any(os.path.lexists(file) for file in files(name)))
    if found != path:
        log.warning("%s exists and is kept; writing %s (--force overwrites)", path, found)
    return found


def free_result(path: Path) -> Path:
    """`path`, or a numbered name where a file of an earlier result exists."""
    return free_name(path, result_files)
