"""`postsync families`: the sounds that the mini presets were trained on, from the table of the scenes."""

from __future__ import annotations

import json
from itertools import chain
from typing import Annotated, Any

import typer

KINDS = {"strike": "separate hits", "scrape": "sounds while it moves", "event": "separate sounds",
         "texture": "goes on, with rising and falling loudness"}


def families(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show the sounds that the mini presets know, with an example prompt for each."""
    found = collect()
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"The {len(found)} families of sound that the mini presets know")
    for column in ("family", "how it sounds", "a prompt for it", "known"):
        table.add_column(column, overflow="fold")
    for one in found:
        table.add_row(one["name"], KINDS[one["kind"]], one["prompt"],
                      "well" if one["taught"] else "from recordings alone, and may be missed")
    Console().print(table)


def collect() -> list[dict[str, Any]]:
    """Every family: its name, kind and a prompt, and whether it was taught or is known from an embedding of recordings
    alone, as plain values for JSON."""
    from .. import registry, weights
    from ..scenes.captions import paraphrases
    from ..scenes.families import FAMILIES, KNOWN

    system = registry.system(registry.default_system())
    taught = weights.taught_families(weights.bundled(system.presets["mini"])) or tuple(FAMILIES)
    parts = (weights.taught_families(weights.bundled(folder)) or () for folder in system.parts.values())
    return [{"name": name, "kind": KNOWN[name].kind, "prompt": paraphrases(name)[0][0], "taught": name in taught}
            for name in dict.fromkeys(chain(taught, *parts))]
