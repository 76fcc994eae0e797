"""The page of an evaluation, or of several side by side: one HTML file that opens offline and can be passed on.

The templates (`page.html` with its style and script) escape everything but `Markup`, which only this package
makes: its own style and script, and `data:` URIs.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ...media.output import whole_file
from .clips import Card, Cards
from .figures import histogram, write_plots
from .results import (
    Choice,
    Evaluation,
    choose_clips,
    clip_metrics,
    column_names,
    differing_settings,
    evaluations_of,
    metric_names,
    metric_of,
    number,
    plain,
)

__all__ = ["Evaluation", "write_html", "write_plots"]

MAX_TEXT = 600  # characters of a caption, note or command that are shown
MAX_ROWS = 200  # of a list of missing clips


def write_html(results: Evaluation | Sequence[Evaluation], path: Path | str, *, num_clips: int = 6,
               sort_by: str | None = None) -> None:
    """Write the page of one evaluation, or of several against the same reference, as one HTML file.

    Args:
        results: evaluation JSONs (schema 1) as dicts, or the one of a comparison, which holds them as "systems".
            Paths of clips are absolute or start from the folder of their side; where the reference has a manifest,
            its events are drawn as true onsets.
        num_clips: clips shown, half of them the worst and half the best (0 for none).
        sort_by: the metric that orders clips; None takes `Onset-F1@50ms` or the first that can.

    The page is self-contained, and its content policy forbids the browser to load or run anything else.
    Size: of each clip and side the first 12 s, as at most 1.5 MB of video and 0.15 MB of pictures (a third more in
    base64); lists end after 200 rows, texts after 600 characters. So num_clips * (sides + 1) * 2.2 MB is never
    exceeded but for some kilobytes a metric; scenes take about 0.2 MB a side.

    An unreadable file is named on the page in its place. Raises PostsyncError for a result of another schema or an
    unusable `sort_by`, MediaError where `path` cannot be written or a manifest is damaged.
    """
    evaluations = evaluations_of(results)
    names = column_names(evaluations)
    choice = choose_clips(evaluations, max(0, num_clips), sort_by)
    suites = " / ".join(dict.fromkeys(str(e["suite"]) for e in evaluations))
    document = _render(
        title=f"{'Evaluation' if len(names) == 1 else 'Comparison'}: {suites}",
        postsync=evaluations[0]["postsync"], names=names, several=len(names) > 1,
        sides=[{"name": name, "generated": e["generated"]["count"], "reference": e["reference"]["count"],
                "folder": Path(str(e["reference"]["path"])).name, "missing": len(e["missing"])}
               for name, e in zip(names, evaluations)],
        differing=differing_settings(evaluations),
        metrics=[_metric(evaluations, name) for name in metric_names(evaluations)],
        differences=_differences(results.get("comparison", ()) if isinstance(results, Mapping) else (), names),
        not_computed=_not_computed(evaluations, names),
        distributions=[(metric, histogram(evaluations, metric, names)) for metric in clip_metrics(evaluations)],
        clips=_clips(Cards(evaluations, names), choice, names),
        protocol=_protocol(evaluations),
        missing=[{**entry, "of": name, "used": entry.get("used", False)} for name, e in zip(names, evaluations)
                 for entry in e["missing"]],
        max_rows=MAX_ROWS)
    with whole_file(path) as temporary:
        temporary.write_bytes(document.encode("utf-8", "replace"))  # file names may contain invalid text


def _render(**content: Any) -> str:
    environment = Environment(loader=PackageLoader("postsync.evaluation", "page"), autoescape=True, trim_blocks=True,
                              lstrip_blocks=True, undefined=StrictUndefined, finalize=_shortened)
    environment.filters |= {"number": number, "plain": plain}
    script = Markup(environment.get_template("page.js").render())
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    style = Markup(environment.get_template("page.css").render())
    return environment.get_template("page.html").render(script=script, script_hash=digest, style=style, **content)


def _shortened(value: Any) -> Any:
    """Any text that the templates print, cut after MAX_TEXT characters; markup of this package is not cut."""
    if not isinstance(value, str) or isinstance(value, Markup) or len(value) <= MAX_TEXT:
        return value
    return value[:MAX_TEXT - 1] + "…"


def _metric(evaluations: Sequence[Evaluation], name: str) -> dict[str, Any]:
    """A row of the table: an entry an evaluation (None where it was not computed), and how it was measured."""
    entries = [metric_of(e, name) for e in evaluations]
    first = next(m for m in entries if m is not None)
    known = [m["value"] for m in entries if m is not None and m["value"] is not None]
    best = None
    if len(set(known)) > 1 and first["higher_is_better"] is not None:
        best = (max if first["higher_is_better"] else min)(known)
    better = {True: "higher is better", False: "lower is better", None: "no better side"}[first["higher_is_better"]]
    arrow = {True: "↑", False: "↓", None: ""}[first["higher_is_better"]]
    notes = dict.fromkeys(m["note"] for m in entries if m is not None and m["note"])
    return {"name": name, "unit": first["unit"], "better": better, "arrow": arrow, "best": best, "entries": entries,
            "extractor": first["extractor"], "settings": first["settings"], "notes": "; ".join(notes)}


def _differences(comparison: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    """A row a metric and pair of systems: how far apart they are over their common clips."""
    return [{**d, "name": metric["name"], "pair": f"{names[d['first']]} − {names[d['second']]}",
             "clear": bool(d["interval"]) and (d["interval"][0] > 0 or d["interval"][1] < 0)}
            for metric in comparison for d in metric["differences"]]


def _not_computed(evaluations: Sequence[Evaluation], names: Sequence[str]) -> list[tuple[str, str, str]]:
    """(metric, the evaluations without it, reason)."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for name, e in zip(names, evaluations):
        for entry in e["not_computed"]:
            reasons.setdefault((entry["name"], entry["reason"]), []).append(name)
    return [(metric, ", ".join(where), reason) for (metric, reason), where in reasons.items()]


def _clips(cards: Cards, choice: Choice, names: Sequence[str]) -> list[tuple[str, list[Card]]]:
    """Groups of cards with their titles."""
    if choice.metric is None:
        titles = ("The first clips", "")
    elif len(names) == 1:
        titles = (f"Worst by {choice.metric}", f"Best by {choice.metric}")
    else:
        titles = (f"Where {names[0]} falls furthest behind in {choice.metric}",
                  f"Where it is furthest ahead in {choice.metric}")
    return [(title, [cards.card(clip_id) for clip_id in clip_ids])
            for title, clip_ids in zip(titles, (choice.worst, choice.best)) if clip_ids]


def _protocol(evaluations: Sequence[Evaluation]) -> list[tuple[str, list[str]]]:
    """What reproducing the measurement needs: a label, and a text an evaluation."""
    facts: list[tuple[str, list[str]]] = []

    def add(label: str, get: Callable[[Evaluation], Any]) -> None:
        facts.append((label, [plain(get(e)) for e in evaluations]))

    add("suite", lambda e: e["suite"])
    for key in dict.fromkeys(key for e in evaluations for key in e["protocol"]):
        add(key, lambda e, key=key: e["protocol"].get(key))  # type: ignore[misc]
    for side in ("generated", "reference"):
        add(side, lambda e, side=side: f"{e[side]['path']} ({e[side]['count']} clips)")  # type: ignore[misc]
    for key in ("seed", "command", "postsync", "versions"):
        add(key, lambda e, key=key: e[key])  # type: ignore[misc]
    return facts
