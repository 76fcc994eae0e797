"""Annotated clips before any media is searched for, and the table rows they are read from."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...errors import MediaError

SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
          "testing": "test", "eval": "test", "evaluation": "test"}
_RANK = ("train", "val", "test")  # a clip in two splits belongs to the later one
_IN_NAME = re.compile(r"(?:^|[^a-z])(" + "|".join(sorted(SPLITS, key=len, reverse=True)) + r")(?:$|[^a-z])")


@dataclass(frozen=True)
class Entry:
    """One clip as annotated. Times are seconds of the source; `end_s` None: to the end of the media."""

    dataset: str
    source_id: str  # the leakage key: YouTube id, take, file name
    split: str
    start_s: float = 0.0
    end_s: float | None = None
    nominal_s: float | None = None  # annotated length where `end_s` does not give it
    cut_names: tuple[str, ...] = ()  # file names, without suffix, of the clip cut out of its source
    whole_names: tuple[str, ...] = ()  # and of the whole source
    label: str | None = None
    labels: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    caption_source: str | None = None
    events: tuple[Mapping[str, Any], ...] = ()  # {t, end, label}
    notes: Mapping[str, str] = field(default_factory=dict)  # flag -> reason

    @property
    def clip_id(self) -> str:
        """`<dataset>.<source_id>.<start in ms>`; characters that a clip_id may not contain become `_`, with a hash to
        keep it unique."""
        name = re.sub(r"[^A-Za-z0-9._-]", "_", self.source_id)
        if name != self.source_id:
            name += "-" + hashlib.sha256(self.source_id.encode()).hexdigest()[:6]
        return f"{self.dataset}.{name}.{round(self.start_s * 1000)}"


@dataclass(frozen=True)
class ImportOptions:
    """Options of an import besides the annotations."""

    split: str | None = None  # of lists that do not state their own
    lists: Path | None = None  # folder of split lists, if not that of the annotations


def merged(entries: Iterable[Entry]) -> list[Entry]:
    """Entries of one clip merged: captions and labels are gathered; of two splits the stricter one is kept, flagged."""
    found: dict[str, Entry] = {}
    for entry in entries:
        first = found.get(entry.clip_id)
        if first is None:
            found[entry.clip_id] = entry
            continue
        notes = dict(first.notes)
        splits = sorted({first.split, entry.split}, key=lambda split: _RANK.index(split) if split in _RANK else -1)
        if len(splits) > 1:
            notes["repeated"] = f"annotated in {' and '.join(splits)}"
        found[entry.clip_id] = replace(
            first, split=splits[-1], notes=notes, captions=_gathered(first.captions, entry.captions),
            labels=_gathered(first.labels, entry.labels), events=(*first.events, *entry.events))
    return list(found.values())


def _gathered(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))


def table(path: Path, columns: str, delimiter: str = ",", comments: bool = True) -> Iterator[tuple[str, list[str]]]:
    """(place, cells) of a CSV file's rows: quoted cells may hold commas, blanks after a comma are stripped.

    Empty rows, and with `comments` rows that start with #, are skipped. `columns` says in the error what was expected.
    Raises MediaError where the file cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
            for row in reader:
                cells = [cell.strip() for cell in row]
                if any(cells) and not (comments and cells[0].startswith("#")):
                    yield f"{path}, line {reader.line_num}", cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MediaError(f"cannot read {path}: {error}. Give a text file with rows of {columns}.") from error


def named_rows(path: Path, required: tuple[str, ...], comments: bool = True) -> Iterator[tuple[str, dict[str, str]]]:
    """(place, column -> cell) of a CSV file whose first row names its columns; raises MediaError if one lacks."""
    form = "`" + ",".join(required) + "`"
    header: list[str] | None = None
    for place, cells in table(path, form, comments=comments):
        if header is None:
            header = [cell.lower() for cell in cells]
            if missing := [name for name in required if name not in header]:
                raise MediaError(f"{path}: its first row must name the columns {form}; {', '.join(missing)} missing")
            continue
        if len(cells) != len(header):
            raise MediaError(f"{place}: {len(cells)} cells, but {len(header)} columns; put cells with commas in quotes")
        yield place, dict(zip(header, cells))


def seconds(cell: str, place: str) -> float:
    """A cell as a time of 0 s or later; raises MediaError naming the place."""
    try:
        value = float(cell)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e7:
        raise MediaError(f"{place}: '{cell}' is not a time in seconds; correct the row")
    return value


def split_called(name: str, place: str) -> str:
    """`train`, `val` or `test` for the names in use; raises MediaError for others."""
    if name.lower() not in SPLITS:
        raise MediaError(f"{place}: no split is called '{name}'; use train, val or test")
    return SPLITS[name.lower()]


def split_of_file(path: Path, options: ImportOptions) -> str:
    """The split of a file that lists one: that of the options, else from its name; raises MediaError if neither gives
    one."""
    if options.split is not None:
        return split_called(options.split, "--split")
    found = split_in_name(path)
    if found is None:
        raise MediaError(f"{path}: its name does not state its split; give it with --split train, val or test")
    return found


def split_in_name(path: Path) -> str | None:
    """`train`, `val` or `test` as in the file's name, such as `vgg-test.tsv` or `balanced_train_segments.csv`.
    """
    found = _IN_NAME.search(path.stem.lower())
    return SPLITS[found[1]] if found else None
