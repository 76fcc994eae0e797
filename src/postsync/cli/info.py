"""`postsync info`: which systems there are, what runs today, which weights are public, and under which licences."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from .. import registry, weights
from ..versions import __version__
from .tables import option_text


def info(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show systems, presets, weights and licences."""
    facts = collect()
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title=f"postsync {facts['version']}: systems", show_lines=True)
    for column in ("system", "arXiv", "today", "the paper's weights", "licences"):
        table.add_column(column, overflow="fold")
    for s in facts["systems"]:
        today = f"runs ({s['output']}), presets: {', '.join(s['presets'])}" if s["available"] else "not yet"
        table.add_row(s["name"], s["arxiv"], today, s["public"], s["licences"])
    console.print(table)
    bundled = Table(title="weights inside the package")
    bundled.add_column("folder")
    bundled.add_column("MB", justify="right")
    for folder in facts["bundled"]:
        bundled.add_row(folder["name"], f"{folder['megabytes']:.1f}")
    console.print(bundled if facts["bundled"] else "No weights inside the package.")
    for s in facts["systems"]:
        if s["options"]:
            console.print(f"Options of {s['name']} (--set NAME=VALUE): " + "; ".join(s["options"].values()))
    for module, reason in facts["unusable"].items():
        console.print(f"A package that cannot be used: {module} ({reason})")
    console.print("Can be trained here: " + ", ".join(t["name"] for t in facts["trainables"]))
    console.print("The mini models were trained on procedural scenes: "
                  + "; ".join(f"{s['name']}: {s['limits']}" for s in facts["systems"] if s["limits"]) + ".")


def collect() -> dict[str, Any]:
    """The facts of `postsync info`, as plain values for JSON."""
    systems = [{"name": s.name, "title": s.title, "arxiv": s.arxiv, "output": s.output, "available": s.available,
                "presets": dict(s.presets), "parts": list(s.parts), "public": s.public, "licences": s.licences,
                "limits": s.limits, "options": {name: option_text(name, option) for name, option in s.options.items()}}
               for s in registry.SYSTEMS.values()]
    bundled = []
    for name in weights.available():
        size = sum(f.stat().st_size for f in (weights.ROOT / name).rglob("*") if f.is_file())
        bundled.append({"name": name, "megabytes": round(size / 1e6, 2)})
    trainables = [{"name": t.name, "summary": t.summary, "presets": list(t.presets)}
                  for t in registry.TRAINABLES.values()]
    guides = [{"name": g.name, "summary": g.summary} for g in registry.GUIDES.values()]
    return {"version": __version__, "systems": systems, "bundled": bundled, "trainables": trainables, "guides": guides,
            "unusable": dict(registry.BROKEN)}
