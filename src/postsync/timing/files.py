"""Timing as files: envelopes (`seconds,value`) and onsets (`seconds[,strength]`), read and written as CSV or JSON;
onsets also as Audacity labels and as markers for a DAW or NLE.

Audacity's label track is `start<tab>end<tab>label`; an EDL is CMX 3600, one event a marker, with the comment lines from
which DaVinci Resolve makes timeline markers and the `* LOC:` comments of other editors.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import ConditionError, MediaError
from ..features.envelope import ENVELOPE_RATE
from ..media.output import whole_file
from ..media.timeline import Timeline
from ..notes import note
from .table import number, read_json_rows, read_labels, read_rows, without_header

log = logging.getLogger(__name__)
ENVELOPE_FORM = "`seconds,value`"
ONSETS_FORM = "`seconds[,strength]`"
TWO_DIGITS = 100  # frames a second up to which frame numbers have two digits, as CMX 3600 has them


def read_envelope(path: str | Path, duration_s: float) -> Tensor:
    """Envelope (M,) float32 at 100 Hz, M = round(100 * duration_s), linear between the rows, 0 outside them.

    CSV, or JSON (a list of [seconds, value], or of objects with these keys). A shorter envelope leaves silence after
    its end, a longer one is cut with a warning. Raises ConditionError for unreadable files, values outside 0..1, and
    times that do not rise.
    """
    path = Path(path)
    rows = _envelope_rows(path)
    check_envelope(rows, str(path))
    if rows[-1][0] > duration_s + 1 / ENVELOPE_RATE:
        note(log, "%s reaches to %.2f s, the clip to %.2f s; the rest is cut", path, rows[-1][0], duration_s)
    t, value = np.array(rows, dtype=np.float64).T
    grid = np.arange(round(duration_s * ENVELOPE_RATE)) / ENVELOPE_RATE
    return torch.from_numpy(np.interp(grid, t, value, left=0.0, right=0.0).astype(np.float32))


def check_envelope(rows: Sequence[tuple[float, float]], source: str) -> None:
    """Raise ConditionError unless times rise and values lie in 0..1."""
    if not rows:
        raise ConditionError(f"{source}: the envelope is empty; write one {ENVELOPE_FORM} a row.")
    previous = -math.inf
    for t, value in rows:
        if not (t >= 0 and t > previous):
            raise ConditionError(f"{source}: time {t} s does not follow {previous} s; "
                                 "times start at 0 or later and rise.")
        if not 0 <= value <= 1:
            raise ConditionError(f"{source}: value {value} at {t} s lies outside 0..1; values are linear RMS.")
        previous = t


def write_envelope(path: str | Path, envelope: Tensor, rate: float = ENVELOPE_RATE) -> Path:
    """Write an envelope (M,) as CSV, or as JSON where the name ends in `.json`, atomically.

    Raises MediaError if it cannot be written.
    """
    path = Path(path)
    pairs = [f"{m / rate:.3f},{float(v):.6f}" for m, v in enumerate(envelope)]
    if path.suffix.lower() == ".json":
        text = "[\n" + ",\n".join(f"[{pair}]" for pair in pairs) + "\n]\n"
    else:
        text = "seconds,value\n" + "".join(f"{pair}\n" for pair in pairs)
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _envelope_rows(path: Path) -> list[tuple[float, float]]:
    if path.suffix.lower() == ".json":
        rows = read_json_rows(path, ("seconds", "value"), ENVELOPE_FORM)
    else:
        rows = without_header(read_rows(path, ENVELOPE_FORM), "seconds")
    found = []
    for position, cells in rows:
        place = f"{path}, row {position}"
        if len(cells) != 2:
            raise ConditionError(f"{place}: '{','.join(map(str, cells))}' is not {ENVELOPE_FORM}; write one pair a "
                                 "row.")
        found.append((number(cells[0], place, ENVELOPE_FORM), number(cells[1], place, ENVELOPE_FORM)))
    return found


def read_onsets(path: str | Path) -> tuple[Tensor, Tensor]:
    """Times (K,) float64 seconds, ascending, and strengths (K,) float32 in 0..1 (1 if none is given).

    `.csv` (`seconds[,strength]`), `.json` (a list of such lists or objects) or `.txt` (an Audacity label
    track: the start of each label). Raises ConditionError for unreadable files, times below 0 or not rising, and
    strengths outside 0..1.
    """
    path = Path(path)
    times: list[float] = []
    strengths: list[float] = []
    for position, cells in _onset_rows(path):
        place = f"{path}, row {position}"
        if len(cells) not in (1, 2):
            raise ConditionError(f"{place}: '{','.join(map(str, cells))}' is not {ONSETS_FORM}; write one hit a row.")
        time = number(cells[0], place, ONSETS_FORM)
        strength = number(cells[1], place, ONSETS_FORM) if len(cells) > 1 and cells[1] != "" else 1.0
        if time < 0 or (times and time <= times[-1]):
            raise ConditionError(f"{place}: {time} s does not follow {times[-1] if times else 0} s; "
                                 "times start at 0 or later and rise.")
        if not 0 <= strength <= 1:
            raise ConditionError(f"{place}: strength {strength} lies outside 0..1.")
        times.append(time)
        strengths.append(strength)
    if not times:
        raise ConditionError(f"{path}: contains no hit; write one {ONSETS_FORM} a row.")
    return torch.tensor(times, dtype=torch.float64), torch.tensor(strengths, dtype=torch.float32)


def write_onsets(path: str | Path, onsets_s: Tensor, strengths: Tensor, timeline: Timeline | float) -> Path:
    """Write hits as `.csv`, `.json`, `.txt` (Audacity labels) or `.edl` (frames of `timeline`, or of such a rate, from
    01:00:00:00), atomically.

    Raises MediaError for another suffix or if it cannot be written.
    """
    path = Path(path)
    hits = list(zip(onsets_s.tolist(), strengths.tolist()))
    with whole_file(path) as temporary:
        text = check_marker_suffix(path)(hits, timeline if isinstance(timeline, Timeline) else Timeline(timeline))
        temporary.write_text(text, encoding="utf-8")
    return path


Hits = Sequence[tuple[float, float]]


def check_marker_suffix(path: Path) -> Callable[[Hits, Timeline], str]:
    """The writer for the suffix's format. Raises MediaError for an unknown suffix."""
    if path.suffix.lower() not in _WRITERS:
        raise MediaError(f"{path}: onsets cannot be written as '{path.suffix}'; end the name in {', '.join(_WRITERS)}")
    return _WRITERS[path.suffix.lower()]


def _csv(hits: Hits, timeline: Timeline) -> str:
    return "seconds,strength\n" + "".join(f"{t:.4f},{s:.3f}\n" for t, s in hits)


def _json(hits: Hits, timeline: Timeline) -> str:
    return "[\n" + ",\n".join(f'{{"seconds": {t:.4f}, "strength": {s:.3f}}}' for t, s in hits) + "\n]\n"


def _labels(hits: Hits, timeline: Timeline) -> str:
    return "".join(f"{t:.6f}\t{t:.6f}\thit {n} ({s:.2f})\n" for n, (t, s) in enumerate(hits, start=1))


def _edl(hits: Hits, timeline: Timeline) -> str:
    """Two hits in one frame become one marker: editors keep one per frame."""
    if timeline.nominal > TWO_DIGITS:
        note(log, "at %d frames a second the frame numbers of an EDL have three digits, which few editors read; give "
                  "the rate of the timeline (--edl-fps)", timeline.nominal)
    lines = ["TITLE: onsets", f"FCM: {'' if timeline.drops else 'NON-'}DROP FRAME", ""]
    frames = {round(t * timeline.fps): s for t, s in hits}
    for n, (frame, strength) in enumerate(frames.items(), start=1):
        start, end = timeline.timecode(frame), timeline.timecode(frame + 1)
        lines += [f"{n:03d}  001      V     C        {start} {end} {start} {end}",
                  f"* LOC: {start} RED     hit {n} ({strength:.2f})",
                  f" |C:ResolveColorRed |M:hit {n} ({strength:.2f}) |D:1", ""]
    return "\n".join(lines)


_WRITERS: dict[str, Callable[[Hits, Timeline], str]] = {".csv": _csv, ".json": _json, ".txt": _labels, ".edl": _edl}


def _onset_rows(path: Path) -> list[tuple[int, list]]:
    suffix = path.suffix.lower()
    if suffix == ".edl":
        raise ConditionError(f"{path}: edit lists can be written, not read; export the markers as {ONSETS_FORM}.")
    if suffix == ".json":
        return [(n, cells) for n, cells in read_json_rows(path, ("seconds", "strength"), ONSETS_FORM)]
    if suffix == ".txt":
        labels = read_labels(path, ONSETS_FORM)
        return [(n, cells[:1]) for n, cells in labels if not cells[0].startswith("\\")]  # a backslash: frequencies
    return [(n, cells) for n, cells in without_header(read_rows(path, ONSETS_FORM), "seconds")]
