"""How the values of single clips are distributed: small SVG histograms for a page, PNG files for `--plot`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MediaError, PostsyncError
from ..media.container import one_line
from ..plot import save_figure
from .markup import text

Evaluation = Mapping[str, Any]  # one evaluation as its JSON has it, schema 1

SCHEMA = 1
BINS = 24
_WIDTH, _STRIP, _LEFT = 360, 66, 4  # of a histogram, in the SVG's own units


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


def clip_values(evaluation: Evaluation, metric: str) -> dict[str, float]:
    """The finite values of a metric by clip_id, in the order of the clips."""
    values = ((clip["clip_id"], clip["values"].get(metric)) for clip in evaluation["clips"])
    return {clip_id: float(value) for clip_id, value in values if value is not None and math.isfinite(value)}


def clip_metrics(evaluations: Sequence[Evaluation]) -> list[str]:
    """Names of the metrics that have finite values of single clips: in the table's order, then those not in it."""
    names = dict.fromkeys(m["name"] for e in evaluations for m in e["metrics"])
    names |= dict.fromkeys(name for e in evaluations for clip in e["clips"] for name in clip["values"])
    return [name for name in names if any(clip_values(e, name) for e in evaluations)]


def histograms(evaluations: Sequence[Evaluation], metric: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """(edges (BINS + 1,), counts (BINS,) per evaluation) over the range that all evaluations span together."""
    values = [np.array([*clip_values(e, metric).values()]) for e in evaluations]
    pooled = np.concatenate(values)
    if not len(pooled):
        raise ValueError(f"{metric} has no finite value of a single clip")
    low, high = float(pooled.min()), float(pooled.max())
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # all the same: one bar in the middle
        low, high = low - 0.5 * max(abs(low), 1.0), high + 0.5 * max(abs(high), 1.0)
    edges = np.linspace(low, high, BINS + 1)
    return edges, [np.histogram(v, edges)[0] for v in values]


def histogram_svg(evaluations: Sequence[Evaluation], metric: str, names: Sequence[str]) -> str:
    """One strip an evaluation over a shared axis, heights as shares of its clips; the median is marked."""
    edges, counts = histograms(evaluations, metric)
    low, high = edges[0], edges[-1]
    tallest = max(float((c / max(c.sum(), 1)).max()) for c in counts)
    scale, parts, said = (_WIDTH - 2 * _LEFT) / (high - low), [], []
    for row, (evaluation, count) in enumerate(zip(evaluations, counts)):
        base = (row + 1) * _STRIP
        parts.append(f'<line class="axis" x1="{_LEFT}" y1="{base}" x2="{_WIDTH - _LEFT}" y2="{base}"/>')
        if len(names) > 1:
            parts.append(f'<text x="{_LEFT}" y="{base - _STRIP + 13}">{text(names[row])}</text>')
        if not count.sum():
            said.append(f"{names[row]}: no values")
            continue
        for left, right, share in zip(edges, edges[1:], count / count.sum()):
            height = (_STRIP - 20) * share / tallest
            if height:
                parts.append(f'<rect class="bar s{row % 6}" x="{_LEFT + (left - low) * scale:.1f}" '
                             f'y="{base - height:.1f}" width="{(right - left) * scale - 1:.1f}" '
                             f'height="{height:.1f}"/>')
        median = float(np.median([*clip_values(evaluation, metric).values()]))
        at = _LEFT + (median - low) * scale
        parts.append(f'<line class="median" x1="{at:.1f}" y1="{base - _STRIP + 14}" x2="{at:.1f}" y2="{base}"/>')
        said.append(f"{names[row]}: {count.sum()} clips, median {median:.4g}")
    bottom = len(counts) * _STRIP + 14
    parts.append(f'<text x="{_LEFT}" y="{bottom}">{low:.4g}</text>'
                 f'<text x="{_WIDTH - _LEFT}" y="{bottom}" text-anchor="end">{high:.4g}</text>')
    label = text(f"Distribution of {metric} from {low:.4g} to {high:.4g}. " + "; ".join(said))
    return f'<svg role="img" aria-label="{label}" viewBox="0 0 {_WIDTH} {bottom + 5}">{"".join(parts)}</svg>'


def write_plots(results: Evaluation | Sequence[Evaluation], folder: Path | str) -> list[Path]:
    """One PNG a metric that has values of single clips: its distribution, for several results above each other.

    Files bear the metric's name. Returns their paths in the table's order. Raises PostsyncError for a result of
    another schema, MediaError where the folder cannot be made or written.
    """
    from matplotlib.figure import Figure

    evaluations = evaluations_of(results)
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(f"{folder}: the folder could not be made ({one_line(error)}); choose another") from error
    written: list[Path] = []
    for metric in clip_metrics(evaluations):
        edges, counts = histograms(evaluations, metric)
        figure = Figure(figsize=(6, 1.2 + 1.6 * len(counts)), layout="constrained")
        axes = figure.subplots(len(counts), 1, sharex=True, squeeze=False)[:, 0]
        for axis, evaluation, count in zip(axes, evaluations, counts):
            axis.stairs(count, edges, fill=True, alpha=0.7)
            values = [*clip_values(evaluation, metric).values()]
            if values:
                axis.axvline(float(np.median(values)), color="k", lw=1)
            folder_name = str(evaluation["generated"]["path"])[-60:]
            axis.set_title(f"{folder_name}   {len(values)} clips", fontsize=8, loc="left", parse_math=False)
            axis.set_ylabel("clips")
        axes[-1].set_xlabel(f"{metric}   (line: median)", parse_math=False)
        written.append(folder / f"{_file_name(metric, written)}.png")
        save_figure(figure, written[-1])
    return written


def _file_name(metric: str, taken: Sequence[Path]) -> str:
    """The metric's name in the letters that every file system takes, unlike the names `taken`."""
    name = re.sub(r"[^A-Za-z0-9@_-]+", "_", metric)[:80].strip("_") or "metric"
    used = {path.stem.lower() for path in taken}
    return name if name.lower() not in used else f"{name}_{len(taken) + 1}"
