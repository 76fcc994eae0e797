"""The clips that get sound: a single one, those of a folder, or the rows of a CSV file; and prompts over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import ConditionError, MediaError, PostsyncError
from ..media.container import VIDEO_SUFFIXES
from ..protocols.pipeline import Cue
from ..timing.table import Row, number, read_rows, without_header
from .options import Options

COLUMNS = ("video", "prompt", "negative_prompt", "cues", "seed", "start", "end")
FORM = "`video,prompt[,negative_prompt,cues,seed,start,end]`"
_SYNONYMS = {"file": "video", "caption": "prompt"}  # as lists of data sets call them
CUE_FORM = "`start,end,prompt`"


@dataclass(frozen=True)
class Request:
    """A clip with its options; `label` distinguishes it from others whose results would have the same name.

    `error`: why it cannot be processed, found while its row was read.
    """

    video: Path
    options: Options
    label: str = ""
    error: PostsyncError | None = None


def read_all_requests(sources: Sequence[Path], options: Options) -> list[Request]:
    """The requests of several clips, folders and CSV files; of several, one that cannot be read is kept as a request
    with an error. Of one raises as `read_requests`."""
    if len(sources) == 1:
        return read_requests(sources[0], options)
    requests: list[Request] = []
    for source in dict.fromkeys(sources):
        try:
            requests += read_requests(source, options)
        except PostsyncError as error:
            requests.append(Request(source, options, error=error))
    labels = [".".join(part for part in (request.label, str(number)) if part)
              for number, request in enumerate(requests, start=1)]
    return _distinguished([replace(request, label="") for request in requests], labels)


def read_requests(source: Path, options: Options) -> list[Request]:
    """The requests of a clip, a folder (its videos, earlier results skipped) or a `.csv` file, with shared options.

    Raises MediaError for a folder without videos, ConditionError for a CSV file without usable columns; a bad row is
    kept as a request with an error.
    """
    if source.is_dir():
        clips = sorted(p for p in source.iterdir() if p.is_file() and p.suffix.lower() in VIDEO_SUFFIXES
                       and not p.name.startswith(".") and ".postsync." not in p.name)
        if not clips:
            raise MediaError(f"{source}: contains no video; name a clip, or a folder with clips")
        return _distinguished([Request(clip, options) for clip in clips], [clip.suffix[1:] for clip in clips])
    if source.suffix.lower() == ".csv":
        return _read_table(source, options)
    return [Request(source, options)]


def _read_table(path: Path, options: Options) -> list[Request]:
    rows = read_rows(path, FORM)
    names = [_SYNONYMS.get(cell.lower(), cell.lower()) for cell in rows[0][1]] if rows else []
    if "video" not in names or set(names) - set(COLUMNS) or len(names) != len(set(names)):
        raise ConditionError(f"{path}: its first row must name the columns {FORM}, separated by commas; it reads "
                             f"'{','.join(names)}'.")
    if len(rows) < 2:
        raise ConditionError(f"{path}: holds no clip; write one on each row.")
    requests = [_read_row(path, names, row, options) for row in rows[1:]]
    return _distinguished(requests, [f"row{number}" for number in range(1, len(rows))])


def _read_row(path: Path, names: list[str], row: Row, options: Options) -> Request:
    """A row's request; empty cells keep the shared options. Paths of videos and of cues are relative to the table."""
    position, cells = row
    place = f"{path}, row {position}"
    given = {name: cell for name, cell in zip(names, cells) if cell}
    video = path.parent / given.get("video", "")
    try:
        if len(cells) > len(names) or "video" not in given:
            raise ConditionError(f"{place}: '{','.join(cells)}' does not fit the columns {','.join(names)}; put a "
                                 "prompt with commas in quotes.")
        changes: dict[str, Any] = {name: given[name] for name in ("prompt", "negative_prompt") if name in given}
        if "cues" in given:
            changes["cues"] = read_cues(path.parent / given["cues"])
        numbers = {name: number(given[name], place, FORM) for name in ("seed", "start", "end") if name in given}
        if "seed" in numbers:
            if not numbers["seed"].is_integer():
                raise ConditionError(f"{place}: the seed {given['seed']} is not a whole number.")
            changes["seed"] = int(given["seed"]) if given["seed"].lstrip("-").isdigit() else int(numbers["seed"])
        start_s = numbers.get("start", options.start_s)
        if "end" in numbers:
            if numbers["end"] <= start_s:
                raise ConditionError(f"{place}: the part ends at {numbers['end']:g} s, not after its start at "
                                     f"{start_s:g} s.")
            changes["duration_s"] = numbers["end"] - start_s
        return Request(video, options.replaced(changes | {"start_s": start_s}))
    except PostsyncError as error:
        message = str(error) if str(path) in str(error) else f"{place}: {error}"
        return Request(video, options, error=ConditionError(message))


def _distinguished(requests: list[Request], labels: list[str]) -> list[Request]:
    """Requests whose clips share a name but for the suffix get a label."""
    count = Counter(request.video.stem.lower() for request in requests)
    return [replace(request, label=label) if count[request.video.stem.lower()] > 1 else request
            for request, label in zip(requests, labels)]


def read_cues(path: Path) -> tuple[Cue, ...]:
    """Cues (start and end in seconds of the clip, prompt) of a CSV file, by their start; they may overlap.

    Commas in a prompt need quotes. Raises ConditionError, which names the row.
    """
    cues = []
    for position, cells in without_header(read_rows(path, CUE_FORM), "start"):
        place = f"{path}, row {position}"
        if len(cells) != 3 or not cells[2]:
            raise ConditionError(f"{place}: '{','.join(cells)}' is not {CUE_FORM}; put a prompt with commas in quotes.")
        start_s, end_s = number(cells[0], place, CUE_FORM), number(cells[1], place, CUE_FORM)
        if not 0 <= start_s < end_s:
            raise ConditionError(f"{place}: a cue from {start_s} to {end_s} s; it starts at 0 or later and ends after "
                                 "its start.")
        cues.append(Cue(start_s, end_s, cells[2]))
    if not cues:
        raise ConditionError(f"{path}: holds no cue; write one {CUE_FORM} on each row.")
    return tuple(sorted(cues))


def cues_within(cues: Sequence[Cue], prompt: str | None, start_s: float, end_s: float) -> list[Cue]:
    """The cues that fall between two times, counted from `start_s`, gaps filled with `prompt`; empty without cues."""
    inside = [Cue(max(a, start_s) - start_s, min(b, end_s) - start_s, text) for a, b, text in cues
              if a < end_s and b > start_s]
    if not cues or prompt is None:
        return inside
    filled, reached = list(inside), 0.0
    for a, b, _ in [*inside, Cue(end_s - start_s, end_s - start_s, prompt)]:
        if a > reached:
            filled.append(Cue(reached, a, prompt))
        reached = max(reached, b)
    return sorted(filled)
