"""The neutral manifest: a data set as a folder of media with one JSON line a clip (columns below).

`manifest.jsonl` holds the rows sorted by `clip_id`, `manifest.meta.json` schema version, how it was made and counts.
Seconds are floats, unknown values null, paths relative to the folder.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from ..errors import MediaError
from ..features.envelope import frame_rms
from ..media.audio import read_audio
from ..media.output import whole_file
from ..media.video import iter_frames
from ..protocols.clip import Clip, Event
from .flags import disqualifying_flags

SCHEMA_VERSION = 1
MANIFEST, META = "manifest.jsonl", "manifest.meta.json"
COLUMNS: dict[str, Any] = {  # column -> its value for "unknown"
    "clip_id": None, "dataset": None, "source_id": None, "split": None, "video_path": None, "audio_path": None,
    "start": 0.0, "end": None, "duration": None, "fps": None, "width": None, "height": None, "sample_rate": None,
    "channels": None, "label": None, "labels": [], "heard_as": [], "captions": [], "caption_source": None, "events": [],
    "flags": [], "stats": {}, "sha256": None, "license": None, "features": {},
}
_REQUIRED = ("clip_id", "dataset", "source_id", "split", "start", "end", "duration")
_CLIP_ID = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._-]*")


def write_manifest(folder: Path | str, rows: Iterable[Mapping[str, Any]], meta: Mapping[str, Any], *,
                   known_only: bool = True) -> Path:
    """Write rows, completed with nulls and sorted, and the side file; returns the manifest's path.

    `meta`: how the set was made (command, filters). `known_only`: refuse columns that are not in COLUMNS. Raises
    MediaError for a row without its required columns, an unknown column, a bad or repeated `clip_id`, or a folder that
    cannot be written.
    """
    folder = Path(folder)
    complete = sorted((_checked(row, known_only) for row in rows), key=lambda row: row["clip_id"])
    for first, second in pairwise(complete):
        if first["clip_id"] == second["clip_id"]:
            raise MediaError(f"{folder}: two rows are called {first['clip_id']}; clip_id must be unique")
    counts: dict[str, int] = {}
    for row in complete:
        counts[row["split"]] = counts.get(row["split"], 0) + 1
    side = {"schema_version": SCHEMA_VERSION, **meta, "counts": {"clips": len(complete), **counts}}
    with whole_file(folder / META) as path:
        path.write_text(json.dumps(side, indent=2) + "\n", encoding="utf-8")
    with whole_file(folder / MANIFEST) as path:
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in complete), encoding="utf-8")
    return folder / MANIFEST


def read_manifest(folder: Path | str) -> list[dict[str, Any]]:
    """Rows of a folder's manifest (or of a .jsonl file itself), unknown columns kept, missing ones null.

    Raises MediaError when it is missing or a line is not a manifest row.
    """
    path = Path(folder)
    path = path / MANIFEST if path.is_dir() else path
    if not path.is_file():
        raise MediaError(f"{path}: contains no manifest; write one, for instance with `postsync data import` or "
                         "`postsync scenes export FOLDER`")
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            rows.append(_checked(json.loads(line), known_only=False))
        except (json.JSONDecodeError, MediaError) as error:
            raise MediaError(f"{path}, line {number}: not a manifest row ({error}); write the file again") from error
    return rows


def read_meta(folder: Path | str) -> dict[str, Any]:
    """How the set was made, from the side file; empty if there is none.

    Raises MediaError if it is not a JSON object.
    """
    path = Path(folder) / META
    try:
        meta = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise MediaError(f"cannot read {path}: {error}; import the data set again") from error
    if not isinstance(meta, dict):
        raise MediaError(f"{path}: is not a JSON object; import the data set again")
    return meta


def _checked(row: Mapping[str, Any], known_only: bool = True) -> dict[str, Any]:
    if not isinstance(row, Mapping):
        raise MediaError("a manifest row must be an object")
    name = row.get("clip_id")
    missing = [column for column in _REQUIRED if row.get(column) is None]
    if missing:
        raise MediaError(f"clip {name!r}: {', '.join(missing)} missing; every row needs {', '.join(_REQUIRED)}")
    if not _CLIP_ID.fullmatch(str(name)):
        raise MediaError(f"clip {name!r}: clip_id may hold letters, digits, '.', '_' and '-', and not start with '-'")
    unknown = sorted(set(row) - set(COLUMNS))
    if known_only and unknown:
        raise MediaError(f"clip {name!r}: unknown columns {', '.join(unknown)}; the columns are {', '.join(COLUMNS)}")
    return {**{column: type(empty)(empty) if empty is not None else None for column, empty in COLUMNS.items()}, **row}


class ManifestDataset(Dataset):
    """Map-style data set of the clips of a folder with a manifest.

    `needs`: which of "frames" and "waveform" to decode. `size`: (width, height) of the frames, None for the file's own;
    `fps`: None for every frame at its own time; `sample_rate`: None for the file's own; `mono`: mix the channels. The
    envelope comes from features["envelope"] (.npy, 100 Hz) where the manifest names one, else from the waveform.
    `split` keeps one split; rows with one of the flags `unfit` (see flags.py) are skipped and counted in `skipped`
    (flag -> rows).
    """

    def __init__(self, folder: Path | str, needs: frozenset[str] = frozenset({"frames", "waveform"}), *,
                 split: str | None = None, size: tuple[int, int] | None = None, fps: float | None = None,
                 sample_rate: int | None = None, mono: bool = False, unfit: frozenset[str] = frozenset()) -> None:
        path = Path(folder)
        self.root = path if path.is_dir() else path.parent
        rows = [row for row in read_manifest(folder) if split in (None, row["split"])]
        self.rows = [row for row in rows if not disqualifying_flags(row, unfit)]
        self.skipped = Counter(flag for row in rows for flag in disqualifying_flags(row, unfit))
        self.needs, self.size, self.fps, self.sample_rate, self.mono = needs, size, fps, sample_rate, mono

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Clip:
        row = self.rows[index]
        frames, times = self._picture(row) if "frames" in self.needs and row["video_path"] else (None, None)
        waveform, rate = self._sound(row) if "waveform" in self.needs and row["audio_path"] else (None, None)
        envelope = None
        if waveform is not None and rate is not None:
            stored = row["features"].get("envelope")
            envelope = (torch.from_numpy(np.load(self.root / stored, allow_pickle=False)) if stored
                        else frame_rms(waveform.mean(0), rate))
        return Clip(row["clip_id"], row["duration"], frames=frames, times=times, waveform=waveform, sample_rate=rate,
                    envelope=envelope, label=row["label"], captions=tuple(row["captions"]), events=events_of(row))

    def _picture(self, row: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        stream = iter_frames(self.root / row["video_path"], self.size, self.fps, "rgb24", row["start"], row["end"])
        images, times = [], []
        for frame in stream:
            images.append(frame.image)
            times.append(frame.time_s - row["start"])
        if not images:
            raise MediaError(f"{self.root / row['video_path']}: no frame between {row['start']} and {row['end']} s; "
                             f"correct start and end of clip {row['clip_id']} in the manifest")
        return (torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(),
                torch.tensor(times, dtype=torch.float64) - times[0])

    def _sound(self, row: Mapping[str, Any]) -> tuple[torch.Tensor, int]:
        rate = self.sample_rate or row["sample_rate"]
        if not rate:
            raise MediaError(f"clip {row['clip_id']}: the manifest has no sample_rate; pass one to ManifestDataset")
        waveform = read_audio(self.root / row["audio_path"], rate, mono=False, max_duration_s=row["end"],
                              from_picture=row["audio_path"] == row["video_path"])
        waveform = waveform.mean(0, keepdims=True) if self.mono else waveform
        first, count = round(row["start"] * rate), round(row["duration"] * rate)
        waveform = waveform[:, first:first + count]
        return torch.from_numpy(np.pad(waveform, ((0, 0), (0, count - waveform.shape[1])))), rate


def events_of(row: Mapping[str, Any]) -> tuple[Event, ...]:
    """Events of a row, in seconds of the clip; a missing end is the onset itself."""
    return tuple(Event(e["t"], e["t"] if e.get("end") is None else e["end"], e.get("label") or row["label"] or "",
                       e.get("visible", True), e.get("strength", 1.0)) for e in row["events"])
