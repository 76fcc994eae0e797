"""`postsync caption`: say what clips would sound like."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import registry
from . import exit_with
from .tables import PARTS_HELP


def caption(
    videos: Annotated[list[Path], typer.Argument(help="clips, or folders of clips", show_default=False)],
    instruction: Annotated[str | None, typer.Option(help="a question in place of the system's own",
                                                    show_default=False)] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="a folder to write a manifest with the captions to",
                                             show_default=False)] = None,
    force: Annotated[bool, typer.Option("--force", help="overwrite an earlier manifest")] = False,
    json_: Annotated[bool, typer.Option("--json", help="rows of a manifest on standard output, one on each line")]
    = False,
    system: Annotated[str | None, typer.Option(help=", ".join(registry.captioning_systems()), show_default=False)]
    = None,
    preset: Annotated[str, typer.Option(help="a preset, or the folder of a saved pipeline")] = "mini",
    part: Annotated[list[str] | None, typer.Option(help=PARTS_HELP, show_default=False)] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, mps")] = "cpu",
) -> None:
    """Say what clips would sound like; the clips themselves are never listened to."""
    from ..data.manifest import MANIFEST, write_manifest
    from ..errors import PostsyncError
    from ..generation.captioning import caption_rows, captioning
    from ..generation.options import Options
    from ..generation.outputs import make_folder
    from ..generation.requests import read_all_requests
    from ..protocols.system import read_pairs

    if out is not None and (out / MANIFEST).exists() and not force:
        raise PostsyncError(f"{out / MANIFEST} exists; name another folder, or add --force.")
    if out is not None:
        make_folder(out)
    system = system or registry.captioning_systems()[0]
    requests = read_all_requests(videos, Options(system=system))
    from .lean_imports import import_diffusers

    import_diffusers()
    pipeline = captioning(registry.load_pipeline(system, preset, device=device, progress_bar=False,
                                                 parts=read_pairs(part or (), "--part NAME=FOLDER")))
    rows: list[dict[str, Any]] = []
    errors: list[PostsyncError] = [request.error for request in requests if request.error is not None]
    clips = [request.video for request in requests if request.error is None]
    for path, found in caption_rows(clips, pipeline, instruction):
        if isinstance(found, PostsyncError):
            errors.append(found)
            continue
        rows.append(found)
        typer.echo(json.dumps(found, ensure_ascii=False) if json_ else
                   found["captions"][0] if len(requests) == 1 else f"{path}: {found['captions'][0]}")
    if out is not None and rows:
        made = write_manifest(out, rows, {"made_by": "postsync caption", "system": system, "preset": preset})
        typer.echo(f"wrote {made}", err=json_)
    if errors and len(requests) == 1:
        raise errors[0]
    exit_with(errors, len(requests))
