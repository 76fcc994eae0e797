"""The page of an evaluation, or of several side by side: one HTML file that opens offline and can be handed on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..media.output import whole_file
from .distributions import Evaluation, clip_metrics, evaluations_of, histogram_svg, write_plots
from .exhibits import Choice, Exhibits, choose_clips
from .markup import MAX_ROWS, number, page, plain, table, text

__all__ = ["Evaluation", "write_html", "write_plots"]

_KEY = ('<p class="note"><span class="key" aria-hidden="true">▾</span> onsets found in the sound; green lines: true '
        "onsets where they are known (dotted: cause not in the picture); dashed curve: loudness of the reference. "
        "A click on the picture of a sound goes to that moment.</p>")


def write_html(results: Evaluation | Sequence[Evaluation], path: Path | str, *, num_clips: int = 6,
               sort_by: str | None = None) -> None:
    """Write the page of one evaluation, or of several against the same reference, as one HTML file.

    Args:
        results: evaluation JSONs (schema 1) as dicts, or the one of a comparison, which holds them as "systems".
            Paths of clips are absolute or start from the folder of their side; where the reference has a manifest,
            its events are drawn as true onsets.
        num_clips: clips shown, half of them the worst and half the best (0 for none).
        sort_by: the metric that tells worst from best; None takes `Onset-F1@50ms` or the first that can.

    Nothing in the page comes from outside it, and its content policy forbids the browser to load or run anything else.
    Size: of each clip and side the first 12 s, as at most 1.5 MB of video and 0.15 MB of picture (a third more in
    base64); lists end after 200 rows, texts after 600 characters. So num_clips * (sides + 1) * 2.2 MB is never
    exceeded but for some kilobytes a metric; scenes take about 0.2 MB a side.

    A clip's file that cannot be read is named on the page in its place. Raises PostsyncError for a result of another
    schema or an unusable `sort_by`, MediaError where `path` cannot be written or a manifest is damaged.
    """
    evaluations = evaluations_of(results)
    comparison = results.get("comparison", ()) if isinstance(results, Mapping) else ()
    names = column_names(evaluations)
    choice = choose_clips(evaluations, max(0, num_clips), sort_by)
    suites = " / ".join(dict.fromkeys(str(e["suite"]) for e in evaluations))
    sections = {"metrics": ("Metrics", _metrics(evaluations, names)),
                "differences": ("Differences", _paired(comparison, names)),
                "not-computed": ("Not computed", _not_computed(evaluations, names)),
                "distributions": ("Distributions", _distributions(evaluations, names)),
                "clips": ("Clips", _clips(evaluations, names, choice)),
                "protocol": ("Protocol", _protocol(evaluations, names)),
                "missing": ("Missing clips", _missing(evaluations, names))}
    document = page(f"{'Evaluation' if len(names) == 1 else 'Comparison'}: {suites}", _intro(evaluations, names),
                    sections, f"Written by postsync {text(evaluations[0]['postsync'])}. This page loads nothing.")
    with whole_file(path) as temporary:
        temporary.write_bytes(document.encode("utf-8", "replace"))  # file names may hold what is no text


def column_names(evaluations: Sequence[Evaluation]) -> list[str]:
    """What each evaluation is called on the page: its folder's name, numbered where names repeat."""
    paths = [Path(str(e["generated"]["path"])) for e in evaluations]
    names = [path.parent.name if path.suffix == ".jsonl" else path.name for path in paths]
    names = [name or "generated" for name in names]
    return [name if names.count(name) == 1 else f"{k}: {name}" for k, name in enumerate(names, start=1)]


def _intro(evaluations: Sequence[Evaluation], names: Sequence[str]) -> str:
    lines = []
    for name, e in zip(names, evaluations):
        missing = f', <a href="#missing">{len(e["missing"])} missing or flawed</a>' if e["missing"] else ""
        lines.append(f"<p><strong>{text(name)}</strong>: {text(e['generated']['count'])} generated clips against "
                     f"{text(e['reference']['count'])} of {text(Path(str(e['reference']['path'])).name)}{missing}</p>")
    differing = _differences(evaluations)
    if differing:
        lines.append(f'<p class="warn">These results were not measured alike: {", ".join(differing)} differ. '
                     "Their figures cannot be compared as they stand.</p>")
    return "".join(lines)


def _differences(evaluations: Sequence[Evaluation]) -> list[str]:
    """What should be the same in results that stand side by side, and is not."""
    def differ(get: Any) -> bool:
        return any(get(e) != get(evaluations[0]) for e in evaluations[1:])

    found = [text(key) for key in ("suite", "protocol") if differ(lambda e, key=key: e[key])]
    found += ["reference"] if differ(lambda e: e["reference"]["path"]) else []
    for name in dict.fromkeys(m["name"] for e in evaluations for m in e["metrics"]):
        shared = [m for m in (_metric(e, name) for e in evaluations) if m is not None]
        if any((m["settings"], m["extractor"]) != (shared[0]["settings"], shared[0]["extractor"]) for m in shared):
            found.append(f"settings of {text(name)}")
    return found


def _metric(evaluation: Evaluation, name: str) -> Mapping[str, Any] | None:
    return next((m for m in evaluation["metrics"] if m["name"] == name), None)


def _metrics(evaluations: Sequence[Evaluation], names: Sequence[str]) -> str:
    """A row a metric: a column of values an evaluation, then how it was measured."""
    rows = []
    for name in dict.fromkeys(m["name"] for e in evaluations for m in e["metrics"]):
        entries = [_metric(e, name) for e in evaluations]
        first = next(m for m in entries if m is not None)
        known = {k: m["value"] for k, m in enumerate(entries) if m is not None and m["value"] is not None}
        best = None
        if len(set(known.values())) > 1 and first["higher_is_better"] is not None:
            best = (max if first["higher_is_better"] else min)(known.values())
        better = {True: "higher is better", False: "lower is better", None: "no better side"}[first["higher_is_better"]]
        arrow = {True: "↑", False: "↓", None: ""}[first["higher_is_better"]]
        unit = f' <span class="small">{text(first["unit"])}</span>' if first["unit"] else ""
        notes = dict.fromkeys(text(m["note"]) for m in entries if m is not None and m["note"])
        rows.append([f'{text(name)} <span title="{better}" role="img" aria-label="{better}">{arrow}</span>{unit}',
                     *(_value(m, best) for m in entries), _extractor(first["extractor"]),
                     f'<span class="prose">{plain(first["settings"])}</span>',
                     f'<span class="prose">{"; ".join(notes) or "–"}</span>'])
    head = ["metric", *([text(n) for n in names] if len(names) > 1 else ["value"]), "extractor", "settings", "notes"]
    caption = "↑ higher is better, ↓ lower is better; in brackets the interval; n: clips" + (
        "; green: the best of the row, whether or not the intervals overlap" if len(names) > 1 else "")
    return table(caption, head, rows)


def _value(metric: Mapping[str, Any] | None, best: float | None) -> str:
    if metric is None:
        return '–<span class="small">not computed</span>'
    low_high = metric["interval"]
    interval = f"[{number(low_high[0])}, {number(low_high[1])}] " if low_high else ""
    mark = ' class="best"' if best is not None and metric["value"] == best else ""
    return f'<span{mark}><span class="value">{number(metric["value"])}</span></span>' \
           f'<span class="small">{interval}n = {text(metric["count"])}</span>'


def _extractor(extractor: Mapping[str, Any] | None) -> str:
    if extractor is None:
        return "–"
    sha = extractor.get("weights_sha256")
    weights = f'<span class="small" title="{text(sha)}">weights {text(str(sha)[:12])}</span>' if sha else ""
    licence = f'<span class="small">{text(extractor["licence"])}</span>' if extractor.get("licence") else ""
    return f"{text(extractor['name'])}{weights}{licence}"


def _paired(comparison: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """A row a metric and pair: how far apart they are over their common clips."""
    rows = []
    for metric in comparison:
        for d in metric["differences"]:
            low_high = d["interval"]
            clear = bool(low_high) and (low_high[0] > 0 or low_high[1] < 0)
            span = f"[{number(low_high[0])}, {number(low_high[1])}]" if low_high else "–"
            better = d["first_is_better"]
            rows.append([text(metric["name"]), f"{text(names[d['first']])} − {text(names[d['second']])}",
                         f"{number(d['difference'])}{' *' if clear else ''}", span, text(d["count"]),
                         "–" if better is None else f"{100 * better:.0f} %"])
    caption = ("Differences over the clips that both have, with the same resamples for both; * the interval lies on "
               "one side of 0; last column: resamples in which the first is the better one")
    head = ["metric", "pair", "difference", "interval", "clips", "first better"]
    return table(caption, head, rows) if rows else ""


def _not_computed(evaluations: Sequence[Evaluation], names: Sequence[str]) -> str:
    reasons: dict[tuple[str, str], list[str]] = {}
    for name, e in zip(names, evaluations):
        for entry in e["not_computed"]:
            reasons.setdefault((entry["name"], entry["reason"]), []).append(name)
    rows = [[text(metric), *([text(", ".join(where))] if len(names) > 1 else []), text(reason)]
            for (metric, reason), where in reasons.items()]
    head = ["metric", *(["of"] if len(names) > 1 else []), "reason"]
    return table("Metrics of the suite without a value", head, rows) if rows else ""


def _distributions(evaluations: Sequence[Evaluation], names: Sequence[str]) -> str:
    charts = [f'<figure class="chart"><figcaption>{text(metric)}</figcaption>'
              f"{histogram_svg(evaluations, metric, names)}</figure>" for metric in clip_metrics(evaluations)]
    if not charts:
        return ""
    return ('<p class="note">How many clips have which value; heights are shares, the line is the median.</p>'
            f'<div class="grid">{"".join(charts)}</div>')


def _clips(evaluations: Sequence[Evaluation], names: Sequence[str], choice: Choice) -> str:
    exhibits = Exhibits(evaluations, names)
    by = text(choice.metric)
    if choice.metric is None:
        titles = ("The first clips", "")
    elif len(names) == 1:
        titles = (f"Worst by {by}", f"Best by {by}")
    else:
        titles = (f"Where {text(names[0])} falls furthest behind in {by}", f"Where it is furthest ahead in {by}")
    parts, number_shown = [], 0
    for title, clip_ids in zip(titles, (choice.worst, choice.best)):
        if clip_ids:
            cards = [exhibits.card(c, f"clip-{number_shown + k}") for k, c in enumerate(clip_ids, start=1)]
            parts.append(f"<h3>{title}</h3>{''.join(cards)}")
            number_shown += len(clip_ids)
    return _KEY + "".join(parts) if parts else ""


def _protocol(evaluations: Sequence[Evaluation], names: Sequence[str]) -> str:
    """What somebody else needs to measure the same."""
    facts: dict[str, list[str]] = {}

    def add(label: str, get: Any) -> None:
        facts[label] = [plain(get(e)) for e in evaluations]

    add("suite", lambda e: e["suite"])
    for key in dict.fromkeys(key for e in evaluations for key in e["protocol"]):
        add(text(key), lambda e, key=key: e["protocol"].get(key))
    for side in ("generated", "reference"):
        add(side, lambda e, side=side: f"{e[side]['path']} ({e[side]['count']} clips)")
    add("seed", lambda e: e["seed"])
    add("command", lambda e: e["command"])
    add("postsync", lambda e: e["postsync"])
    add("versions", lambda e: e["versions"])
    head = ["", *([text(n) for n in names] if len(names) > 1 else ["value"])]
    return table("How it was measured", head, [[label, *cells] for label, cells in facts.items()])


def _missing(evaluations: Sequence[Evaluation], names: Sequence[str]) -> str:
    rows = [[text(m["clip_id"]), *([text(name)] if len(names) > 1 else []), text(m["side"]), text(m["reason"]),
             "yes" if m.get("used") else "no"] for name, e in zip(names, evaluations) for m in e["missing"]]
    head = ["clip", *(["of"] if len(names) > 1 else []), "side", "reason", "measured all the same"]
    return table("Clips that were not as they should be", head, rows[:MAX_ROWS], len(rows[MAX_ROWS:])) if rows else ""
