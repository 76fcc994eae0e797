"""Small tables, written by hand or exported from a spreadsheet: CSV rows with their line numbers, JSON rows."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from ..errors import ConditionError

Row = tuple[int, list[str]]  # number of the line in the file at which it begins, its cells
_DECIMAL_COMMA = re.compile(r"-?\d+,\d+")
_BEFORE_SEMICOLON = re.compile(r"""("[^"]*"|[^,;"]*|-?\d+,\d+)\s*;""")


def read_rows(path: Path, form: str) -> list[Row]:
    """The rows of a CSV file as spreadsheets write them; rows that are empty or start with # are skipped.

    Columns are separated by commas, semicolons (then a comma is the decimal mark) or tabs. Cells are stripped, and
    empty ones at the end of a row dropped. `form` states in errors what was expected, such as "`seconds,value`".
    Raises ConditionError for unreadable files, and for a quote that is never closed, naming its row.
    """
    text = read_text(path, form)
    delimiter = _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    rows: list[Row] = []
    begun = 1
    try:
        for cells in reader:
            rows.append((begun, _trimmed(cells, decimal_comma=delimiter != ",")))
            begun = reader.line_num + 1
    except csv.Error as error:
        raise ConditionError(f"{path}, row {begun}: a quote that opens there is not closed, or text follows it "
                             f"({error}); put quotes around a whole cell, and write a quote inside as two.") from error
    if rows and rows[0][1][:1] == ["sep="]:  # for spreadsheets: names the separator
        del rows[0]
    return [(number, row) for number, row in rows if row and not row[0].startswith("#")]


def read_labels(path: Path, form: str) -> list[Row]:
    """The rows of a file of tab-separated values in which quotes are ordinary letters. Raises as `read_rows`."""
    lines = read_text(path, form).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    rows = [(number, _trimmed(line.split("\t"), decimal_comma=True)) for number, line in enumerate(lines, start=1)]
    return [(number, row) for number, row in rows if row and not row[0].startswith("#")]


def read_text(path: Path, form: str) -> str:
    """A text file in UTF-8. Raises ConditionError for unreadable ones, which names another encoding."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConditionError(f"cannot read {path}: {error}. Give a text file with rows of {form}.") from error
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or (data[:64].count(0) * 3 > len(data[:64])):
        raise ConditionError(f"{path}: is encoded as UTF-16 (Unicode text of a spreadsheet), not as UTF-8; save it as "
                             "'CSV UTF-8'.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        shown = " ".join(data.splitlines()[row - 1].decode("cp1252", errors="replace").split())
        raise ConditionError(f"{path}, row {row}: is not encoded as UTF-8 but, it seems, as Windows-1252 (cp1252): "
                             f"'{shown}'; save it as 'CSV UTF-8'.") from error


def _delimiter(text: str) -> str:
    """What separates the columns, by the first row that holds something: `;` counts unless a column before it would
    contain a comma that is no decimal mark."""
    rows = (line.strip() for line in text.splitlines())
    first = next((line for line in rows if line and not line.startswith("#")), "")
    if first.lower().startswith("sep=") and len(first) > 4:
        return first[4]
    if _BEFORE_SEMICOLON.match(first):
        return ";"
    return "\t" if "\t" in first and "," not in first else ","


def _trimmed(cells: Sequence[str], decimal_comma: bool) -> list[str]:
    """The cells stripped, without empty ones at the end, decimal commas as points."""
    row = [cell.strip() for cell in cells]
    while row and not row[-1]:
        row.pop()
    if not decimal_comma:
        return row
    return [cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell for cell in row]


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
        data = json.loads(read_text(path, form))
    except (ValueError, RecursionError) as error:
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
