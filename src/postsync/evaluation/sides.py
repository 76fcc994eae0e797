"""The two sides of an evaluation: which file of a folder, or row of a manifest, is which clip."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unicodedata import normalize

from ..data.manifest import MANIFEST, events_of, read_manifest
from ..errors import MediaError
from ..media.container import VIDEO_SUFFIXES
from ..protocols.clip import Event

SOUND_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".aac", ".aif", ".aiff", ".wma"})
SKIPPED_BY = ": skipped by "  # between the reason and the metrics that it concerns
FLOW = "flow"  # folder beside the clips, and key of a manifest's features, of precomputed optical flow
IN_SUBFOLDER = "is in a subfolder, which is not searched; move it up or evaluate that folder"
RESULT_MARK = ".postsync"  # in the names of files that `postsync generate` writes


class Skipped(Exception):
    """A metric cannot be computed for one clip, and why. The clip is reported, and the others are measured."""


class Absent(Skipped):
    """One side of the clip is missing or unreadable, which is reported once, not with every metric."""


@dataclass(frozen=True)
class Missing:
    """A problem of a clip on one side; `used`: it is still measured."""

    clip_id: str
    side: str  # "generated" | "reference"
    reason: str
    used: bool = False

    def to_json(self) -> dict[str, Any]:
        """The entry of the evaluation's JSON."""
        return {"clip_id": self.clip_id, "side": self.side, "reason": self.reason, "used": self.used}


@dataclass(frozen=True)
class ClipFiles:
    """One side of a clip: its files, the part of them that counts, and its annotations."""

    clip_id: str
    sound: Path | None
    picture: Path | None
    start_s: float = 0.0
    end_s: float | None = None
    label: str | None = None
    captions: tuple[str, ...] = ()
    heard_as: tuple[str, ...] = ()  # names of a tagger's classes, any of which is right
    events: tuple[Event, ...] | None = None  # None: not annotated
    envelope: Path | None = None  # (M,) .npy, linear RMS at 100 Hz of the foreground
    flow: Path | None = None  # .npy (T - 1, 2, H, W), x and y, pixels a frame at 25 fps, shorter side 256

    @property
    def file(self) -> Path:
        """The clip's main file."""
        path = self.sound or self.picture
        assert path is not None
        return path


@dataclass(frozen=True)
class Side:
    """The clips of one folder, by clip id in sorted order."""

    folder: Path
    clips: Mapping[str, ClipFiles]
    problems: tuple[Missing, ...] = ()


def read_side(folder: Path, side: str) -> Side:
    """The clips of a folder of media (clip id: file name without suffix) or of a folder with a manifest.

    Raises MediaError for a missing folder, or one without clips.
    """
    if not folder.is_dir():
        raise MediaError(f"{folder}: no such folder; name the folder that holds the {side} clips")
    found = _from_manifest(folder, side) if (folder / MANIFEST).is_file() else _from_files(folder, side)
    if not found.clips and all(problem.reason == IN_SUBFOLDER for problem in found.problems):
        below = f" itself, only below it (such as {found.problems[0].clip_id})" if found.problems else ""
        raise MediaError(f"{folder}: holds no sound or video{below}; name the folder that holds the {side} clips "
                         "directly")
    return found


def _from_files(folder: Path, side: str) -> Side:
    """Results of `postsync generate` count under the name of their clip on the generated side, and never on the other
    side. The lossless copy of a result, `clip.mp4.flac` beside `clip.mp4`, is not a clip of its own. Accented letters
    pair however the file system composes them; files in subfolders are named and not measured."""
    found = sorted(p for p in folder.rglob("*") if not p.is_dir()
                   and p.suffix.lower() in SOUND_SUFFIXES | VIDEO_SUFFIXES
                   and not any(part.startswith(".") for part in p.relative_to(folder).parts))
    files = [path for path in found if path.parent == folder]
    names = {path.name for path in files}
    by_id: dict[str, list[Path]] = defaultdict(list)
    results: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        if path.stem in names:
            continue
        if not path.stem.endswith(RESULT_MARK):
            by_id[normalize("NFC", path.stem)].append(path)
        elif side == "generated":
            results[normalize("NFC", path.stem.removesuffix(RESULT_MARK))].append(path)
    by_id |= results
    problems = tuple(Missing(name, side, f"{len(paths)} files have this name: {', '.join(p.name for p in paths)}")
                     for name, paths in sorted(by_id.items()) if len(paths) > 1)
    problems += tuple(Missing(path.relative_to(folder).as_posix(), side, IN_SUBFOLDER) for path in found
                       if path.parent != folder)
    clips = {name: ClipFiles(name, path, path if path.suffix.lower() in VIDEO_SUFFIXES else None,
                             flow=_existing(folder / FLOW / f"{name}.npy"))
             for name, (path, *others) in sorted(by_id.items()) if not others}
    return Side(folder, clips, problems)


def _from_manifest(folder: Path, side: str) -> Side:
    rows = sorted(read_manifest(folder), key=lambda row: row["clip_id"])
    clips = {row["clip_id"]: _of_row(folder, row) for row in rows if row["audio_path"] or row["video_path"]}
    problems = tuple(Missing(row["clip_id"], side, "the manifest names no file of it") for row in rows
                     if row["clip_id"] not in clips)
    return Side(folder, clips, problems)


def _of_row(folder: Path, row: Mapping[str, Any]) -> ClipFiles:
    stored, flow = row["features"].get("envelope"), row["features"].get(FLOW)
    return ClipFiles(
        row["clip_id"], folder / row["audio_path"] if row["audio_path"] else None,
        folder / row["video_path"] if row["video_path"] else None, row["start"], row["end"], row["label"],
        tuple(row["captions"]), tuple(row["heard_as"]),
        events_of(row) if row["events"] or row["dataset"] == "scenes" else None,
        folder / stored if stored else None,
        folder / flow if flow else _existing(folder / FLOW / f"{row['clip_id']}.npy"))


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None
