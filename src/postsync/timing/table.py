"""Small tables, written by hand or exported from a spreadsheet: CSV rows with their line numbers, JSON rows."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from ..errors import ConditionError

Row = tuple[int, list[str]]  # number of the line in the file, its cells


def read_rows(path: Path, form: str, delimiter: str = ",") -> list[Row]:
    """The rows of a CSV file, cells stripped; empty rows and rows starting with # are skipped.

    `form` states in errors what was expected, such as "`seconds,value`". Raises ConditionError for unreadable files.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=delimiter)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConditionError(f"cannot read {path}: {error}. Give a text file with rows of {form}.") from error
    return [(number, row) for number, row in rows if any(row) and not row[0].startswith("#")]


def without_header(rows: Sequence[Row], first: str) -> list[Row]:
    """The rows without a first row whose first cell is the column's name `first`."""
    return list(rows[1:] if rows and rows[0][1][0].lower() == first else rows)


def number(cell: Any, place: str, form: str) -> float:
    """A cell as a finite number. Raises ConditionError, which names `place` (file and row) and the expected `form`."""
    try:
        value = float(cell)
    except (TypeError, ValueError):
        value = math.nan
    if isinstance(cell, bool) or not math.isfinite(value):
        raise ConditionError(f"{place}: '{cell}' is not a number; write {form} a row.")
    return value


def read_json_rows(path: Path, keys: Sequence[str], form: str) -> list[tuple[int, list[Any]]]:
    """Rows of a JSON list of lists, or of objects with `keys` (cells end before an absent one), numbered from 1.

    Raises ConditionError for unreadable files and other forms.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConditionError(f"cannot read {path}: {error}. Give a JSON list of {form}.") from error
    if not isinstance(data, list):
        raise ConditionError(f"{path}: is not a list; give a JSON list of {form}.")
    rows = []
    for position, item in enumerate(data, start=1):
        cells = [item[key] for key in takewhile(item.__contains__, keys)] if isinstance(item, dict) else item
        if not isinstance(cells, list):
            raise ConditionError(f"{path}, row {position}: '{item}' is not {form}; write {form} a row.")
        rows.append((position, cells))
    return rows
