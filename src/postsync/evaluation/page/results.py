"""Input of the page and the plots from evaluation JSONs: names, values by clip, and which clips are worst and best."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import PostsyncError

Evaluation = Mapping[str, Any]  # one evaluation as its JSON has it, schema 1

SCHEMA = 1
PREFERRED_METRIC = "Onset-F1@50ms"  # clips are sorted by it unless another is given


def evaluations_of(results: Evaluation | Sequence[Evaluation]) -> list[Evaluation]:
    """The evaluations in one document, in that of a comparison ("systems"), or in a list of documents.

    Raises PostsyncError for another schema, ValueError for none.
    """
    evaluations = list(results.get("systems", [results])) if isinstance(results, Mapping) else list(results)
    if not evaluations:
        raise ValueError("no result to show")
    for evaluation in evaluations:
        if evaluation.get("schema") != SCHEMA:
            raise PostsyncError(f"a result of schema {evaluation.get('schema')!r} where {SCHEMA} is read; "
                                "run `postsync evaluate` again with this version.")
    return evaluations


def column_names(evaluations: Sequence[Evaluation]) -> list[str]:
    """A name for each evaluation: that of its folder, numbered where names repeat."""
    paths = [Path(str(e["generated"]["path"])) for e in evaluations]
    names = [path.parent.name if path.suffix == ".jsonl" else path.name for path in paths]
    names = [name or "generated" for name in names]
    return [name if names.count(name) == 1 else f"{k}: {name}" for k, name in enumerate(names, start=1)]


def metric_of(evaluation: Evaluation, name: str) -> Mapping[str, Any] | None:
    """The entry of a metric in the table; None where it was not computed."""
    return next((m for m in evaluation["metrics"] if m["name"] == name), None)


def metric_names(evaluations: Sequence[Evaluation]) -> list[str]:
    """Names of all metrics, in the order of the tables."""
    return list(dict.fromkeys(m["name"] for e in evaluations for m in e["metrics"]))


def clip_values(evaluation: Evaluation, metric: str) -> dict[str, float]:
    """The finite values of a metric by clip_id, in the order of the clips."""
    values = ((clip["clip_id"], clip["values"].get(metric)) for clip in evaluation["clips"])
    return {clip_id: float(value) for clip_id, value in values if value is not None and math.isfinite(value)}


def clip_metrics(evaluations: Sequence[Evaluation]) -> list[str]:
    """Names of the metrics that have finite values of single clips: in the table's order, then those not in it."""
    names = dict.fromkeys(metric_names(evaluations))
    names |= dict.fromkeys(name for e in evaluations for clip in e["clips"] for name in clip["values"])
    return [name for name in names if any(clip_values(e, name) for e in evaluations)]


def differing_settings(evaluations: Sequence[Evaluation]) -> list[str]:
    """What differs, but should not, between results shown side by side."""
    def differ(get: Callable[[Evaluation], Any]) -> bool:
        return any(get(e) != get(evaluations[0]) for e in evaluations[1:])

    found = [key for key in ("suite", "protocol") if differ(lambda e, key=key: e[key])]  # type: ignore[misc]
    found += ["reference"] if differ(lambda e: e["reference"]["path"]) else []
    for name in metric_names(evaluations):
        shared = [m for m in (metric_of(e, name) for e in evaluations) if m is not None]
        if any((m["settings"], m["extractor"]) != (shared[0]["settings"], shared[0]["extractor"]) for m in shared):
            found.append(f"settings of {name}")
    return found


@dataclass(frozen=True)
class Choice:
    """Clips by their value of `metric`, worst first and best first; without a metric `worst` holds the first ones."""

    metric: str | None
    worst: list[str]
    best: list[str]


def choose_clips(evaluations: Sequence[Evaluation], count: int, metric: str | None = None) -> Choice:
    """The worst and best `count` clips, half each, of the first evaluation by `metric`.

    With several evaluations a clip counts by how far the first one's value is ahead of the mean of the others'.
    `metric` None takes `PREFERRED_METRIC`, else the table's first that has a direction and differs between clips.
    Raises PostsyncError for a metric without values of single clips or without a direction.
    """
    higher = {m["name"]: m["higher_is_better"] for e in evaluations for m in e["metrics"]}
    usable = [name for name in clip_metrics(evaluations) if higher.get(name) is not None]
    if metric is not None and metric not in usable:
        raise PostsyncError(f"clips cannot be sorted by '{metric}'; choose from: {', '.join(usable) or 'none here'}.")
    usable.sort(key=lambda name: name != PREFERRED_METRIC)
    for name in usable if metric is None else [metric]:
        leads = _leads(evaluations, name)
        if metric is None and len(set(leads.values())) < 2:
            continue
        ordered = sorted(leads, key=lambda clip_id: (leads[clip_id] if higher[name] else -leads[clip_id], clip_id))
        num_shown = min(len(ordered), count)
        num_best = num_shown // 2
        return Choice(name, ordered[:num_shown - num_best], ordered[len(ordered) - num_best:][::-1])
    return Choice(None, [clip["clip_id"] for clip in evaluations[0]["clips"]][:count], [])


def _leads(evaluations: Sequence[Evaluation], metric: str) -> dict[str, float]:
    """Per clip the first evaluation's value minus the mean of the others', for clips that another one has too."""
    own, *others = (clip_values(evaluation, metric) for evaluation in evaluations)
    if not others:
        return own
    rivals = {clip_id: [other[clip_id] for other in others if clip_id in other] for clip_id in own}
    return {clip_id: own[clip_id] - sum(values) / len(values) for clip_id, values in rivals.items() if values}


def number(value: float | None) -> str:
    """A value to four digits, from 10,000 on to whole numbers; a dash for none."""
    if value is None:
        return "–"
    return f"{value:.0f}" if 1e4 <= abs(value) < 1e12 else f"{value:.4g}"


def plain(value: object) -> str:
    """A JSON value in a cell: texts as they are, lists and objects in a readable line, null as a dash."""
    if value is None or value == {} or value == []:
        return "–"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {plain(part)}" for key, part in value.items())
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
