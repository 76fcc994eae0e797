"""An evaluation in the terminal: one table, what is missing, and what could not be computed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .sides import SKIPPED_BY

NAMED = 3  # clips listed for each kind of problem; the JSON lists all
_BETTER = {True: "higher", False: "lower", None: ""}


def print_evaluation(document: Mapping[str, Any], console: Console) -> None:
    """Print the JSON of one system."""
    console.print(escape(_title(document)), soft_wrap=True, highlight=False)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("metric", no_wrap=True)
    for heading in ("value", "95 % interval", "clips"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("better")
    for metric in document["metrics"]:
        table.add_row(_named(metric), figure(metric["value"]), span(metric["interval"]), str(metric["count"]),
                      _BETTER[metric["higher_is_better"]])
    console.print(table)
    for metric in document["metrics"]:
        if metric["note"]:
            console.print(f"{metric['name']}: {escape(metric['note'])}", soft_wrap=True, highlight=False)
    print_problems(document, console)


def print_comparison(document: Mapping[str, Any], console: Console) -> None:
    """Print the JSON of several systems: their values side by side, and differences from the first."""
    systems = document["systems"]
    letters = [chr(ord("A") + i) if i < 26 else f"#{i + 1}" for i in range(len(systems))]
    for letter, system in zip(letters, systems):
        console.print(f"{letter}: {escape(_title(system))}", soft_wrap=True, highlight=False)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("metric", no_wrap=True)
    table.add_column("better")
    for letter in letters:
        table.add_column(letter, justify="right")
    for letter in letters[1:]:
        table.add_column(f"A - {letter}, 95 %", justify="right")
    for row in document["comparison"]:
        against_first = {d["second"]: d for d in row["differences"] if d["first"] == 0}
        table.add_row(_named(row), _BETTER[row["higher_is_better"]], *map(figure, row["values"]),
                      *(_difference(against_first.get(k)) for k in range(1, len(letters))))
    console.print(table)
    console.print("differences over common clips with common resamples; * lies on one side of 0", style="dim")
    for letter, system in zip(letters, systems):
        print_problems(system, console, f"{letter}: ")


def print_problems(document: Mapping[str, Any], console: Console, before: str = "") -> None:
    """What is missing, by kind, and what could not be computed."""
    kinds = Counter((entry["side"], _kind(entry["reason"])) for entry in document["missing"])
    for (side, kind), count in sorted(kinds.items()):
        entries = [e for e in document["missing"] if (e["side"], _kind(e["reason"])) == (side, kind)]
        names = ", ".join(e["clip_id"] for e in entries[:NAMED]) + (", ..." if count > NAMED else "")
        reason = entries[0]["reason"] if count == 1 else kind
        console.print(f"{before}{side}: {count} x {escape(reason)} ({escape(names)})", soft_wrap=True, highlight=False)
    reasons: dict[str, list[str]] = {}
    for entry in document["not_computed"]:
        reasons.setdefault(entry["reason"], []).append(entry["name"])
    for reason, metrics in reasons.items():
        console.print(f"{before}not computed: {escape(', '.join(metrics))}: {escape(reason)}", soft_wrap=True,
                      highlight=False)


def figure(value: float | None) -> str:
    """A value to three decimals, or to four digits where it is large."""
    if value is None:
        return "-"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else f"{value:.4g}"


def span(interval: Sequence[float] | None) -> str:
    """An interval."""
    return "" if interval is None else f"{figure(interval[0])} .. {figure(interval[1])}"


def _named(metric: Mapping[str, Any]) -> str:
    """The name with its unit, unless it ends in it."""
    name, unit = metric["name"], metric["unit"]
    return escape(name if unit is None or name.endswith(f"-{unit}") else f"{name} ({unit})")


def _difference(entry: Mapping[str, Any] | None) -> str:
    if entry is None or entry["difference"] is None:
        return "-"
    if entry["interval"] is None:
        return figure(entry["difference"])
    low, high = entry["interval"]
    return f"{figure(entry['difference'])} ({span(entry['interval'])}){'*' if low > 0 or high < 0 else ''}"


def _title(document: Mapping[str, Any]) -> str:
    made, real = document["generated"], document["reference"]
    return (f"{made['path']} ({made['count']} clips) against {real['path']} ({real['count']} clips), suite "
            f"{document['suite']}, first {document['protocol']['duration_s']:g} s, seed {document['seed']}")


def _kind(reason: str) -> str:
    """The reason without its numbers, so that similar problems are reported together."""
    _, skipped, metrics = reason.partition(SKIPPED_BY)
    return f"skipped by {metrics}" if skipped else re.sub(r"\d[\d.]*", "#", reason.split(":")[0].split(" (")[0])
