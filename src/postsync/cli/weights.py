"""`postsync weights`: list published networks, fetch what a hub holds, convert a file that was downloaded, assemble a
pipeline of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from .. import registry
from ..errors import PostsyncError, WeightsError
from ..protocols.system import checked_options, read_pairs
from .tables import option_text

ASSEMBLED = {name: entry.assembly for name, entry in registry.SYSTEMS.items() if entry.assembly is not None}

app = typer.Typer(no_args_is_help=True,
                  help="List, fetch and convert published networks, and assemble pipelines from them.")


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
    typer.echo(f"To fetch files from a hub: postsync weights fetch NAME, of {', '.join(registry.DOWNLOADS)}")


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="what to fetch: " + "; ".join(
        f"{name} ({entry.used_for})" for name, entry in registry.DOWNLOADS.items()))],
    accept_licence: Annotated[bool, typer.Option("--accept-licence", help="Agree without being asked.")] = False,
    revision: Annotated[str | None, typer.Option(help="a branch, tag or commit of the repository")] = None,
    to: Annotated[Path | None, typer.Option(help="the folder of the files; default: in the cache")] = None,
) -> None:
    """Fetch published files from a hub, after showing commit, size and licence; a cut download goes on where it
    stopped, and every file is verified."""
    from ..weights import hub

    entry = registry.download(name)
    folder = to or hub.fetched_folder(name)
    found = hub.listing(entry, revision)
    count = f"{len(found.files)} file{'s' if len(found.files) != 1 else ''}"
    typer.echo(f"{name}, for {entry.used_for}: {entry.repository} at commit {found.commit}\n"
               f"  {count}, {found.size / 1e6:,.1f} MB, into {folder}\n"
               f"  licence: {entry.licence}" + (f"; its page says: {found.licence}" if found.licence else ""))
    if hub.is_fetched(folder, found.commit):
        typer.echo("It is there already.")
    elif accept_licence or _agreed(name):
        hub.fetch(found, folder, on_file=lambda path, size: typer.echo(f"  {path}, {size / 1e6:,.1f} MB"))
    if entry.then:
        typer.echo("Next: " + entry.then.format(folder=folder))


def _agreed(name: str) -> bool:
    """Ask; raises PostsyncError where nobody can answer, and Abort for a no."""
    if not sys.stdin.isatty():
        raise PostsyncError(f"nothing was fetched; agree to the licence: postsync weights fetch {name} "
                            "--accept-licence")
    return typer.confirm("Fetch it under this licence?", abort=True)


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
