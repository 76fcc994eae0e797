"""`postsync info`: which systems there are, what runs today, which weights are public, and under which licences."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import registry, weights
from ..versions import __version__
from .tables import option_text

if TYPE_CHECKING:
    from rich.console import Console


def info(
    all_: Annotated[bool, typer.Option("--all", help="Also weights, licences, options, and what can be trained.")]
    = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show the systems and which of them run."""
    facts = collect()
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    from rich.console import Console

    console = Console(highlight=False)
    console.print(f"postsync {facts['version']}")
    for s in facts["systems"]:
        today = f"runs: {s['output']}; {', '.join(s['presets'])}" if s["available"] else "not yet"
        console.print(f"  {s['name']:15} arXiv {s['arxiv']:11} {today}")
    for module, reason in facts["unusable"].items():
        console.print(f"A package that cannot be used: {module} ({reason})")
    if all_:
        _print_all(facts, console)
    else:
        console.print("`postsync info --all` adds weights, licences and options; `postsync families` lists the sounds.")


def _print_all(facts: dict[str, Any], console: Console) -> None:
    """What the short form leaves out."""
    from rich.table import Table

    table = Table(title="weights and licences", show_lines=True)
    for column in ("system", "the paper's weights", "licences", "limits of the mini"):
        table.add_column(column, overflow="fold")
    for s in facts["systems"]:
        table.add_row(s["name"], s["public"], s["licences"], s["limits"])
    console.print(table)
    console.print("Weights inside the package: " + (", ".join(
        f"{folder['name']} {folder['megabytes']:.1f} MB" for folder in facts["bundled"]) or "none"))
    for s in facts["systems"]:
        if s["options"]:
            console.print(f"Options of {s['name']} (--set NAME=VALUE): " + "; ".join(s["options"].values()))
    console.print("Can be trained here: " + ", ".join(t["name"] for t in facts["trainables"]))


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
