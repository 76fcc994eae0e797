"""`postsync weights`: list published networks, convert a file that was downloaded, assemble a pipeline of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="List and convert published networks, and assemble pipelines of them.")


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
    system: Annotated[str, typer.Argument(help="the system, such as mgaudio")],
    checkpoint: Annotated[Path, typer.Argument(help="its checkpoint, in the names of the official code")],
    out: Annotated[Path, typer.Option(help="the pipeline's folder, to be made; then: generate --preset FOLDER")],
    codec: Annotated[Path, typer.Option(help="folder with vae/ and vocoder/, such as AudioLDM's")],
    cavp: Annotated[Path | None, typer.Option(help="folder of CAVP; default: the converted published one")] = None,
    size: Annotated[str, typer.Option(help="S, B, L or XL")] = "B",
    sign: Annotated[str, typer.Option(help="what it predicts: velocity (noise - clean) or paper (clean - noise)")
                    ] = "velocity",
    latent_scale: Annotated[float | None, typer.Option(help="of the latents it was trained on; default: the codec's")
                            ] = None,
) -> None:
    """Make a pipeline of the paper's size from published parts, whole in one folder."""
    from .. import registry
    from ..errors import PostsyncError, WeightsError
    from ..media.output import whole_folder

    entry = registry.system(system)
    if entry.assemble is None:
        able = ", ".join(s.name for s in registry.SYSTEMS.values() if s.assemble)
        raise PostsyncError(f"{system} cannot be assembled from a checkpoint; these can: {able}.")
    if size not in ("S", "B", "L", "XL") or sign not in ("velocity", "paper"):
        raise PostsyncError(f"--size {size} --sign {sign}: sizes are S, B, L, XL, signs velocity and paper.")
    if out.exists():
        raise PostsyncError(f"{out} is there already; name a folder that is to be made.")
    pipeline = registry.resolve(entry.assemble)(checkpoint, codec, cavp, size=size, sign=sign,
                                                latent_scale=latent_scale)
    try:
        with whole_folder(out) as temporary:
            pipeline.save_pretrained(temporary)
    except OSError as error:
        raise WeightsError(f"{out}: could not be written ({error}); check free space and permissions.") from error
    typer.echo(f"{out}: generate with --system {system} --preset {out}")
