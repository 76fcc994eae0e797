"""Onsets as files: lists of hits read from CSV, JSON or Audacity labels; written as CSV or as markers for a DAW or NLE.

Formats: Audacity's label track is `start<tab>end<tab>label`; an EDL is CMX 3600, one event a marker, with the comment
lines from which DaVinci Resolve makes timeline markers and the `* LOC:` comments of other editors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..errors import ConditionError, MediaError
from ..media.output import whole_file
from .table import number, read_json_rows, read_rows, without_header

FORM = "`seconds[,strength]`"
EDL_START_S = 3600  # timelines start at 01:00:00:00


def read_onsets(path: str | Path) -> tuple[Tensor, Tensor]:
    """Times (K,) float64 seconds, ascending, and strengths (K,) float32 in 0..1 (1 where none is written).

    `.csv` (`seconds[,strength]`), `.json` (a list of such lists or objects) or `.txt` (an Audacity label
    track: the start of each label). Raises ConditionError for unreadable files, times below 0 or not rising, and
    strengths outside 0..1.
    """
    path = Path(path)
    times: list[float] = []
    strengths: list[float] = []
    for position, cells in _rows(path):
        place = f"{path}, row {position}"
        if len(cells) not in (1, 2):
            raise ConditionError(f"{place}: '{','.join(map(str, cells))}' is not {FORM}; write one hit a row.")
        time = number(cells[0], place, FORM)
        strength = number(cells[1], place, FORM) if len(cells) > 1 and cells[1] != "" else 1.0
        if time < 0 or (times and time <= times[-1]):
            raise ConditionError(f"{place}: {time} s does not follow {times[-1] if times else 0} s; "
                                 "times start at 0 or later and rise.")
        if not 0 <= strength <= 1:
            raise ConditionError(f"{place}: strength {strength} lies outside 0..1.")
        times.append(time)
        strengths.append(strength)
    if not times:
        raise ConditionError(f"{path}: holds no hit; write one {FORM} a row.")
    return torch.tensor(times, dtype=torch.float64), torch.tensor(strengths, dtype=torch.float32)


def write_onsets(path: str | Path, onsets_s: Tensor, strengths: Tensor, fps: float) -> Path:
    """Write hits as `.csv`, `.json`, `.txt` (Audacity labels) or `.edl` (frames of `fps`), whole or not at all.

    Raises MediaError for another suffix or where it cannot be written.
    """
    path = Path(path)
    hits = list(zip(onsets_s.tolist(), strengths.tolist()))
    with whole_file(path) as temporary:
        temporary.write_text(check_marker_suffix(path)(hits, fps), encoding="utf-8")
    return path


Hits = Sequence[tuple[float, float]]


def check_marker_suffix(path: Path) -> Callable[[Hits, float], str]:
    """What writes the format that the suffix names. Raises MediaError for a suffix that names none."""
    if path.suffix.lower() not in _WRITERS:
        raise MediaError(f"{path}: no list of onsets ends in '{path.suffix}'; end the name in {', '.join(_WRITERS)}")
    return _WRITERS[path.suffix.lower()]


def _csv(hits: Hits, fps: float) -> str:
    return "seconds,strength\n" + "".join(f"{t:.4f},{s:.3f}\n" for t, s in hits)


def _json(hits: Hits, fps: float) -> str:
    return "[\n" + ",\n".join(f'{{"seconds": {t:.4f}, "strength": {s:.3f}}}' for t, s in hits) + "\n]\n"


def _labels(hits: Hits, fps: float) -> str:
    return "".join(f"{t:.6f}\t{t:.6f}\thit {n} ({s:.2f})\n" for n, (t, s) in enumerate(hits, start=1))


def _edl(hits: Hits, fps: float) -> str:
    """Two hits in one frame become one marker: editors keep one a frame."""
    nominal = max(1, math.ceil(fps - 0.01))  # 29.97 counts 30 frames a second, without dropping any
    lines = ["TITLE: onsets", "FCM: NON-DROP FRAME", ""]
    frames = {round(t * fps): s for t, s in hits}
    for n, (frame, strength) in enumerate(frames.items(), start=1):
        start, end = (_timecode(f + EDL_START_S * nominal, nominal) for f in (frame, frame + 1))
        lines += [f"{n:03d}  001      V     C        {start} {end} {start} {end}",
                  f"* LOC: {start} RED     hit {n} ({strength:.2f})",
                  f" |C:ResolveColorRed |M:hit {n} ({strength:.2f}) |D:1", ""]
    return "\n".join(lines)


def _timecode(frame: int, nominal: int) -> str:
    seconds, frames = divmod(frame, nominal)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{frames:02d}"


_WRITERS: dict[str, Callable[[Hits, float], str]] = {".csv": _csv, ".json": _json, ".txt": _labels, ".edl": _edl}


def _rows(path: Path) -> list[tuple[int, list]]:
    suffix = path.suffix.lower()
    if suffix == ".edl":
        raise ConditionError(f"{path}: edit lists are written, not read; export the markers as {FORM}.")
    if suffix == ".json":
        return [(n, cells) for n, cells in read_json_rows(path, ("seconds", "strength"), FORM)]
    rows = read_rows(path, FORM, "\t" if suffix == ".txt" else ",")
    if suffix == ".txt":
        return [(n, cells[:1]) for n, cells in rows if not cells[0].startswith("\\")]  # a backslash: frequencies
    return [(n, cells) for n, cells in without_header(rows, "seconds")]
