"""`postsync look`: say what clips show that sounds, shot by shot, and write it as tables that can be edited."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import exit_with

if TYPE_CHECKING:
    from ..generation.looking import Seen


def look(
    videos: Annotated[list[Path], typer.Argument(help="clips, folders of clips, or CSV files as of `generate`",
                                                 show_default=False)],
    cues: Annotated[Path | None, typer.Option(help="write a clip's cue sheet, CSV `start,end,prompt`, for generate "
                                                   "--cues", show_default=False)] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="write a CSV `video,prompt,cues` for generate; a "
                                             "clip whose shots differ gets a cue sheet beside it",
                                             show_default=False)] = None,
    force: Annotated[bool, typer.Option("--force", help="overwrite earlier tables")] = False,
    json_: Annotated[bool, typer.Option("--json", help="report as JSON on standard output")] = False,
) -> None:
    """Say what clips show that sounds; nothing is generated."""
    from ..errors import ConditionError, PostsyncError
    from ..generation.looking import look_at
    from ..generation.options import Options
    from ..generation.requests import read_all_requests
    from ..media.output import check_writable
    from ..media.picture import ClipPicture

    requests = read_all_requests(videos, Options())
    if cues is not None and len(requests) != 1:
        raise ConditionError(f"--cues writes the cue sheet of one clip, and there are {len(requests)}; use --out.")
    for path in (cues, out):
        if path is not None and path.exists() and not force:
            raise ConditionError(f"{path} exists; name another file, or add --force.")
        if path is not None:
            check_writable(path, (*videos, *(request.video for request in requests)))
    found: list[tuple[Path, list[Seen]]] = []
    errors: list[PostsyncError] = []
    for request in requests:
        try:
            if request.error is not None:
                raise request.error
            seen = look_at(ClipPicture(request.video), request.options)
        except PostsyncError as error:
            errors.append(error)
            continue
        found.append((request.video, seen))
        if not json_:
            _print(request.video, seen, len(requests) > 1)
    if json_:
        typer.echo(json.dumps([{"video": str(path), "shots": [one.to_json() for one in seen]} for path, seen in found],
                              indent=2))
    if cues is not None and found:
        write_cues(cues, found[0][1])
        typer.echo(f"wrote {cues}", err=json_)
    if out is not None and found:
        for path in write_table(out, found, force):
            typer.echo(f"wrote {path}", err=json_)
    if errors and len(requests) == 1:
        raise errors[0]
    exit_with(errors, len(requests))


def _print(path: Path, seen: Sequence[Seen], several: bool) -> None:
    """A line for each shot."""
    from ..generation.looking import SURE, suspects

    for one in seen:
        where = f"{path}: " if several else ""
        when = f"{one.start_s:.2f} to {one.end_s:.2f} s: " if len(seen) > 1 else ""
        if one.sound is None:
            what = f"nothing that sounds was recognised (nearest: {suspects(one)})"
        else:
            what = f"{suspects(one)}: “{one.prompt}”" + ("" if one.confidence >= SURE else ", a guess")
        typer.echo(where + when + what)


def write_cues(path: Path, seen: Sequence[Seen]) -> None:
    """A cue sheet of the shots; those in which nothing was recognised are comments, to be filled in. Raises MediaError
    where it cannot be written."""
    _write(path, [["start", "end", "prompt"], *(
        [f"{'' if one.prompt else '# '}{one.start_s:.3f}", f"{one.end_s:.3f}", one.prompt or "not recognised"]
        for one in seen)])


def write_table(path: Path, found: Sequence[tuple[Path, Sequence[Seen]]], force: bool) -> list[Path]:
    """A table of clips for `generate`, and a cue sheet for each whose shots differ; returns the files. Raises
    MediaError."""
    from ..generation.naming import free_name

    rows: list[list[Any]] = [["video", "prompt", "cues"]]
    written: list[Path] = []
    for video, seen in found:
        prompts = {one.prompt for one in seen}
        sheet = None
        if len(prompts) > 1:
            sheet = path.with_name(f"{path.stem}.{video.stem}.cues.csv")
            sheet = sheet if force else free_name(sheet)
            write_cues(sheet, seen)
            written.append(sheet)
        rows.append([str(video.resolve()), "" if sheet else seen[0].prompt or "", "" if sheet is None else sheet.name])
    _write(path, rows)
    return [path, *written]


def _write(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    from ..media.output import whole_file

    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
