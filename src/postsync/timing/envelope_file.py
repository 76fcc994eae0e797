"""Envelopes as files: CSV `seconds,value`, linear RMS 0..1, read back onto the 100 Hz grid."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import ConditionError
from ..features.envelope import ENVELOPE_RATE
from ..media.output import whole_file


def _rows(path: Path) -> list[tuple[float, float]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [row for row in csv.reader(file) if row and not row[0].lstrip().startswith("#")]
    except (OSError, UnicodeDecodeError) as error:
        raise ConditionError(f"cannot read the envelope {path}: {error}. "
                             "Give a CSV file of `seconds,value`.") from error
    if lines and lines[0][0].strip().lower() == "seconds":
        lines = lines[1:]
    rows = []
    for number, row in enumerate(lines, start=1):
        try:
            t, value = (float(cell) for cell in row[:2])
        except ValueError as error:
            raise ConditionError(f"{path}, row {number}: '{','.join(row)}' is not `seconds,value`; "
                                 "write one pair of numbers a row.") from error
        rows.append((t, value))
    return rows


def check_envelope(rows: Sequence[tuple[float, float]], source: str) -> None:
    """Raise ConditionError unless times rise and values lie in 0..1."""
    if not rows:
        raise ConditionError(f"{source}: the envelope is empty; write one `seconds,value` a row.")
    previous = -math.inf
    for t, value in rows:
        if not (math.isfinite(t) and t >= 0 and t > previous):
            raise ConditionError(f"{source}: time {t} s does not follow {previous} s; "
                                 "times start at 0 or later and rise.")
        if not 0 <= value <= 1:
            raise ConditionError(f"{source}: value {value} at {t} s lies outside 0..1; values are linear RMS.")
        previous = t


def read_envelope(path: str | Path, duration_s: float) -> Tensor:
    """Envelope (M,) float32 at 100 Hz, M = round(100 * duration_s), linear between the rows, 0 outside them.

    Raises ConditionError for unreadable files, values outside 0..1, and times that do not rise.
    """
    path = Path(path)
    rows = _rows(path)
    check_envelope(rows, str(path))
    t, value = np.array(rows, dtype=np.float64).T
    grid = np.arange(round(duration_s * ENVELOPE_RATE)) / ENVELOPE_RATE
    return torch.from_numpy(np.interp(grid, t, value, left=0.0, right=0.0).astype(np.float32))


def write_envelope(path: str | Path, envelope: Tensor, rate: float = ENVELOPE_RATE) -> Path:
    """Write an envelope (M,) as CSV `seconds,value`, whole or not at all; raises MediaError where it cannot be."""
    path = Path(path)
    text = "seconds,value\n" + "".join(f"{m / rate:.3f},{float(v):.6f}\n" for m, v in enumerate(envelope))
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
