"""`postsync weights`: list published networks, convert a file that was downloaded, assemble a pipeline of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .. import registry
from ..errors import PostsyncError, WeightsError
from ..protocols.system import checked_options, read_pairs
from .tables import option_text

ASSEMBLED = {name: entry.assembly for name, entry in registry.SYSTEMS.items() if entry.assembly is not None}

app = typer.Typer(no_args_is_help=True, help="List and convert published networks, and assemble pipelines from them.")


def _parts_help() -> str:
    return " ".join(f"{name}: {', '.join(f'{part} ({text})' for part, text in entry.parts.items())}."
                    for name, entry in ASSEMBLED.items())


def _options_help() -> str:
    return " ".join(f"{name}: {', '.join(option_text(n, o) for n, o in entry.options.items())}."
                    for name, entry in ASSEMBLED.items())


@app.command("list")
def list_networks(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show each network: whether it is converted, its file, where that is, under which licence."""
    from dataclasses import asdict

    from ..encoders import published

    entries = [asdict(entry) | {"available": published.available(name), "folder": str(published.cache_folder(name))}
               for name, entry in published.PUBLISHED.items()]
    if as_json:
        typer.echo(json.dumps(entries, indent=2))
        return
    for entry in entries:  # no table: it would break the addresses
        typer.echo(f"{entry['name']}: {'converted' if entry['available'] else 'not converted'}; "
                   f"for {entry['used_for']}\n  {entry['file']}\n  {entry['source']}\n  licence: {entry['licence']}")
    typer.echo("To convert a file that you downloaded: postsync weights convert NAME FILE")


@app.command()
def convert(
    name: Annotated[str, typer.Argument(help="the network's name in `postsync weights list`")],
    file: Annotated[Path, typer.Argument(help="the published file, as it was downloaded")],
) -> None:
    """Convert a published file to safetensors in the cache; pickles are read without running code, or refused."""
    from ..encoders import published

    entry = published.entry_of(name)
    folder = published.convert(name, file)
    typer.echo(f"{folder}: {name} converted (licence: {entry.licence}), sha256 {published.weights_hash(name)}")


@app.command()
def assemble(
    system: Annotated[str, typer.Argument(help=f"the system: {', '.join(ASSEMBLED)}")],
    checkpoint: Annotated[Path, typer.Argument(help="its checkpoint, in the names of the official code")],
    out: Annotated[Path, typer.Option(help="the pipeline's folder, to be created; then: generate --preset FOLDER")],
    part: Annotated[list[str] | None, typer.Option(help="NAME=FOLDER; may be repeated. " + _parts_help())] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE; may be repeated. " + _options_help())
                    ] = None,
) -> None:
    """Make a pipeline of the paper's size from published parts, complete in one folder."""
    from ..media.output import whole_folder

    assembly = registry.system(system).assembly
    if assembly is None:
        raise PostsyncError(f"{system} cannot be assembled from a checkpoint; these can: {', '.join(ASSEMBLED)}.")
    parts = registry.checked_parts(system, read_pairs(part or (), "--part NAME=FOLDER"), assembly.parts)
    if missing := sorted(assembly.required - parts.keys()):
        raise PostsyncError(f"{system} needs --part {missing[0]}=FOLDER: {assembly.parts[missing[0]]}.")
    options = checked_options(read_pairs(set_ or (), "--set NAME=VALUE"), assembly.options, system)
    if out.exists():
        raise PostsyncError(f"{out} exists already; name a new folder.")
    pipeline = registry.resolve(assembly.function)(checkpoint, **parts, **options)
    try:
        with whole_folder(out) as temporary:
            pipeline.save_pretrained(temporary)
    except OSError as error:
        raise WeightsError(f"{out}: could not be written ({error}); check free space and permissions.") from error
    typer.echo(f"{out}: generate with --system {system} --preset {out}")
