"""Envelopes as files: CSV or JSON `seconds,value`, linear RMS 0..1, read back onto the 100 Hz grid."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import ConditionError
from ..features.envelope import ENVELOPE_RATE
from ..media.output import whole_file
from .table import number, read_json_rows, read_rows, without_header

log = logging.getLogger(__name__)
FORM = "`seconds,value`"


def read_envelope(path: str | Path, duration_s: float) -> Tensor:
    """Envelope (M,) float32 at 100 Hz, M = round(100 * duration_s), linear between the rows, 0 outside them.

    CSV, or JSON (a list of [seconds, value], or of objects with these keys). A shorter envelope leaves silence after
    its end, a longer one is cut with a warning. Raises ConditionError for unreadable files, values outside 0..1, and
    times that do not rise.
    """
    path = Path(path)
    rows = _rows(path)
    check_envelope(rows, str(path))
    if rows[-1][0] > duration_s + 1 / ENVELOPE_RATE:
        log.warning("%s reaches to %.2f s, the clip to %.2f s; what lies beyond is cut", path, rows[-1][0], duration_s)
    t, value = np.array(rows, dtype=np.float64).T
    grid = np.arange(round(duration_s * ENVELOPE_RATE)) / ENVELOPE_RATE
    return torch.from_numpy(np.interp(grid, t, value, left=0.0, right=0.0).astype(np.float32))


def check_envelope(rows: Sequence[tuple[float, float]], source: str) -> None:
    """Raise ConditionError unless times rise and values lie in 0..1."""
    if not rows:
        raise ConditionError(f"{source}: the envelope is empty; write one {FORM} a row.")
    previous = -math.inf
    for t, value in rows:
        if not (t >= 0 and t > previous):
            raise ConditionError(f"{source}: time {t} s does not follow {previous} s; "
                                 "times start at 0 or later and rise.")
        if not 0 <= value <= 1:
            raise ConditionError(f"{source}: value {value} at {t} s lies outside 0..1; values are linear RMS.")
        previous = t


def write_envelope(path: str | Path, envelope: Tensor, rate: float = ENVELOPE_RATE) -> Path:
    """Write an envelope (M,) as CSV, or as JSON where the name ends in `.json`, whole or not at all.

    Raises MediaError where it cannot be written.
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


def _rows(path: Path) -> list[tuple[float, float]]:
    if path.suffix.lower() == ".json":
        rows = read_json_rows(path, ("seconds", "value"), FORM)
    else:
        rows = without_header(read_rows(path, FORM), "seconds")
    found = []
    for position, cells in rows:
        place = f"{path}, row {position}"
        if len(cells) != 2:
            raise ConditionError(f"{place}: '{','.join(map(str, cells))}' is not {FORM}; write one pair a row.")
        found.append((number(cells[0], place, FORM), number(cells[1], place, FORM)))
    return found
