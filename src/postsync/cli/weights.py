"""`postsync weights`: the published networks that metrics need: list them, convert a file that was downloaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="List and convert the published networks that metrics need.")


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
