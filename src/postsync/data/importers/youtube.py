"""Lists of stretches of YouTube videos: VGGSound, AudioSet, AudioCaps, Landscape.

Sources: hche11/VGGSound `data/*.csv`, AudioSet `*_segments.csv`, cdjkim/audiocaps `dataset/*.csv`, TempoTokens
`datasets/landscape.csv`. A YouTube id has 11 characters, may start with `-` and hold `_`: it is recognised by its
length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from ...errors import MediaError
from ...media.container import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from .entries import Entry, ImportOptions, named_rows, seconds, split_called, split_of_file, table

CLIP_S = 10.0  # length of a clip where only the start is annotated
_ID = r"(?P<id>[A-Za-z0-9_-]{11})"
_CLIP_NAMES = (  # id, start[, end]: the same clip under its conventions, and the seconds that one unit of a number is
    (re.compile(_ID + r"_(?P<start>\d{1,6})"), 1.0),
    (re.compile(_ID + r"_(?P<start>\d+)_(?P<end>\d+)"), 1e-3),
    (re.compile(_ID + r"_(?P<start>\d+\.\d+)_(?P<end>\d+\.\d+)"), 1.0),
)


def clip_names(source_id: str, start_s: float, end_s: float) -> tuple[str, ...]:
    """The names in use for the clip of a YouTube video: `ID_000007`, `ID_7000_17000`, `ID_7.000_17.000`, `ID_7`.

    Each also with `Y` before it, as AudioSet's downloaders write (a name then never starts with `-`).
    """
    ms = f"{round(start_s * 1000)}_{round(end_s * 1000)}"
    names = [f"{source_id}_{ms}", f"{source_id}_{start_s:.3f}_{end_s:.3f}"]
    if float(start_s).is_integer():
        names = [f"{source_id}_{int(start_s):06d}", *names, f"{source_id}_{int(start_s)}"]
    return tuple(chain(names, ("Y" + name for name in names)))


def parse_clip_name(name: str, place: str) -> tuple[str, float, float]:
    """(YouTube id, start, end in seconds) of a clip's name under any convention; raises MediaError for other names."""
    path = Path(name)
    stem = path.stem if path.suffix.lower() in VIDEO_SUFFIXES | AUDIO_SUFFIXES else path.name
    for pattern, unit in _CLIP_NAMES:
        found = pattern.fullmatch(stem) or pattern.fullmatch(stem.removeprefix("Y"))
        if found:
            start_s = float(found["start"]) * unit
            end_s = float(found["end"]) * unit if "end" in pattern.groupindex else start_s + CLIP_S
            if end_s > start_s:
                return found["id"], start_s, end_s
    raise MediaError(f"{place}: '{name}' is not a clip name; clip names are ID_SSSSSS and ID_STARTMS_ENDMS, "
                     "with an id of 11 characters")


def vggsound(path: Path, options: ImportOptions) -> Iterator[Entry]:
    """`vggsound.csv` (id, start, label, split), or a list of clip names with or without labels (`test.csv`, a tsv with
    a header `id<TAB>label`, a text file of names), whose split is the given one or that of the file's name.
    """
    form = "`id,start,label,split` or `name,label`"
    for place, cells in table(path, form, "\t" if path.suffix.lower() == ".tsv" else ","):
        if len(cells) == 4:
            start_s = seconds(cells[1], place)
            yield _stretch("vggsound", cells[0], start_s, start_s + CLIP_S, split_called(cells[3], place), cells[2])
        elif len(cells) <= 2:
            if cells[0].lower() == "id":  # a header
                continue
            source_id, start_s, end_s = parse_clip_name(cells[0], place)
            yield _stretch("vggsound", source_id, start_s, end_s, split_of_file(path, options),
                           cells[1] if len(cells) == 2 else None)
        else:
            raise MediaError(f"{place}: {len(cells)} cells; rows are {form}, labels with a comma in quotes")


def audioset(path: Path, options: ImportOptions) -> Iterator[Entry]:
    """`*_segments.csv`: YTID, start, end, "mid,mid"; comment lines, blanks after commas. `labels` holds the MIDs."""
    for place, cells in table(path, "`YTID, start, end, \"labels\"`"):
        if len(cells) != 4:
            raise MediaError(f"{place}: {len(cells)} cells; rows are `YTID, start, end, \"mid,mid\"`")
        yield _stretch("audioset", cells[0], seconds(cells[1], place), seconds(cells[2], place),
                       split_of_file(path, options), None, tuple(mid.strip() for mid in cells[3].split(",")))


def audiocaps(path: Path, options: ImportOptions) -> Iterator[Entry]:
    """`train.csv`, `val.csv`, `test.csv`: audiocap_id, youtube_id, start_time, caption; a row for each caption."""
    for place, row in named_rows(path, ("youtube_id", "start_time", "caption")):
        start_s = seconds(row["start_time"], place)
        yield Entry("audiocaps", row["youtube_id"], split_of_file(path, options), start_s, start_s + CLIP_S,
                    cut_names=clip_names(row["youtube_id"], start_s, start_s + CLIP_S),
                    whole_names=_whole(row["youtube_id"]), captions=(row["caption"],), caption_source="human")


def landscape(path: Path, options: ImportOptions) -> Iterator[Entry]:
    """TempoTokens' `landscape.csv`: ytid, start_time, class, set."""
    for place, row in named_rows(path, ("ytid", "start_time", "class", "set")):
        start_s = seconds(row["start_time"], place)
        yield _stretch("landscape", row["ytid"], start_s, start_s + CLIP_S, split_called(row["set"], place),
                       row["class"])


def _stretch(dataset: str, source_id: str, start_s: float, end_s: float, split: str, label: str | None,
             labels: tuple[str, ...] = ()) -> Entry:
    """The entry of a stretch of a YouTube video; its label is its caption."""
    return Entry(dataset, source_id, split, start_s, end_s, cut_names=clip_names(source_id, start_s, end_s),
                 whole_names=_whole(source_id), label=label, labels=labels or ((label,) if label else ()),
                 captions=(label,) if label else (), caption_source="label" if label else None)


def _whole(source_id: str) -> tuple[str, ...]:
    return source_id, "Y" + source_id
