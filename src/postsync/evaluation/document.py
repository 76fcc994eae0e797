"""An evaluation, or a comparison of several systems, as JSON (schema 1): all that is needed to reproduce the figures.

It holds no times of day: the same command gives the same bytes.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ..media.output import whole_file
from ..versions import __version__, versions
from .bootstrap import CONFIDENCE, SET_RESAMPLES, draw_clips, paired_difference
from .job import Measured, Run
from .observation import LARGE, SHORT_SIDE, SILENT_PEAK
from .sides import SKIPPED_BY, Missing
from .tally import ClipTally, Metric, SetTally, Tally

SCHEMA = 1
RESAMPLER = {"published networks": "torchaudio's sinc (Hann, width 6, rolloff 0.99)", "all else": "soxr HQ"}
EXTRA_PACKAGES = ("librosa", "scipy", "opencv-python-headless", "torchmetrics", "transformers")


def describe(run: Run, system: Measured, command: str) -> dict[str, Any]:
    """The JSON of one system of a run; paths of clips are relative to the folder of their side."""
    draws = draw_clips(len(system.ids), run.settings.resamples, run.settings.seed)
    values = {tally: tally.value(system.ids) for tally in system.tallies}
    done = [tally for tally, value in values.items() if value is not None]
    return {
        "schema": SCHEMA, "suite": run.suite.name, "postsync": __version__, "versions": _versions(),
        "seed": run.settings.seed, "command": command, "protocol": _protocol(run),
        "generated": {"path": str(system.side.folder), "count": len(system.side.clips)},
        "reference": {"path": str(system.reference.folder), "count": len(system.reference.clips)},
        "missing": [problem.to_json() for problem in _problems(system, done)],
        "metrics": [_metric(run, tally, values[tally], system, draws) for tally in done],
        "not_computed": _not_computed(run, system, done),
        "clips": _clips(system, done),
    }


def compare(run: Run, command: str) -> dict[str, Any]:
    """The JSON of a run over several systems: each one's own under "systems", and "comparison", a row a metric.

    Differences are taken over the clips common to both systems, with the same resamples for both.
    """
    systems = [describe(run, system, command) for system in run.systems]
    by_metric = zip(*(system.tallies for system in run.systems))
    return {"schema": SCHEMA, "kind": "comparison", "suite": run.suite.name, "seed": run.settings.seed,
            "command": command, "systems": systems, "comparison": [_row(run, tallies) for tallies in by_metric]}


def write_json(document: Mapping[str, Any], path: Path) -> None:
    """Write a document atomically. Raises MediaError."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
                             encoding="utf-8", errors="backslashreplace")  # names of files that are not text


def with_absolute_paths(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same document with the paths of its clips absolute, for programs that open them."""
    folders = {side: Path(document[side]["path"]).resolve() for side in ("generated", "reference")}

    def absolute(clip: Mapping[str, Any]) -> dict[str, Any]:
        sides = {"generated": "generated", "reference": "reference", "video": clip["video_of"]}
        return {**clip, **{key: str(folders[side] / clip[key]) for key, side in sides.items() if clip[key]}}

    return {**document, "clips": [absolute(clip) for clip in document["clips"]],
            **{side: {**document[side], "path": str(folder)} for side, folder in folders.items()}}


def _versions() -> dict[str, str]:
    found = versions()
    for name in EXTRA_PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _protocol(run: Run) -> dict[str, Any]:
    rates, fps = run.networks.rates()
    return {
        "duration_s": run.duration_s, "audio_rates": rates, "fps": fps, "picture_of": run.suite.picture_of,
        "pictures": "of networks with a rate as FFmpeg's fps filter takes them, rounding to nearest",
        "picture_short_side": SHORT_SIDE, "picture_short_side_from_bytes": LARGE,
        "resampler": RESAMPLER, "channels": "mean",
        "windows": "each network's own; see the settings of the metrics", "pairs": "by clip id, else by file name",
        "silent_peak": SILENT_PEAK, "device": run.settings.device,
        "bootstrap": {"over": "clips", "resamples": run.settings.resamples, "confidence": CONFIDENCE,
                      "resamples_of_set_metrics": list(SET_RESAMPLES),
                      "interval": "percentile; of set metrics the spread about the median, laid around the value: "
                                  "their bias is not in it"},
    }


def _metric(run: Run, tally: Tally, value: float | None, system: Measured, draws: np.ndarray) -> dict[str, Any]:
    metric = tally.metric
    interval = tally.interval(system.ids, draws, value)
    clips = {clip_id for clip_id, _ in tally.skipped}
    left = f"{len(clips)} clips skipped, see missing" if clips else None
    return {
        "name": metric.name, "value": value,
        "higher_is_better": metric.higher_is_better, "unit": metric.unit, "count": tally.count,
        "interval": None if interval is None else list(interval), "extractor": _extractor(run, metric),
        "settings": dict(sorted({**metric.settings, **metric.about}.items())),
        "note": "; ".join(text for text in (tally.note(), left) if text) or None,
    }


def _extractor(run: Run, metric: Metric) -> dict[str, str] | None:
    used = [run.networks[name].to_json() for name in metric.networks]
    return {key: " + ".join(one[key] for one in used) for key in used[0]} if used else None


def _problems(system: Measured, done: list[Tally]) -> list[Missing]:
    """Problems of clips, and which metrics skipped which clips."""
    names: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for tally in done:
        for (clip_id, side), reason in tally.skipped.items():
            names[clip_id, side, reason].append(tally.metric.name)
    skipped = [Missing(clip_id, side, f"{reason}{SKIPPED_BY}{', '.join(metrics)}", used=True)
                for (clip_id, side, reason), metrics in names.items()]
    return sorted([*system.problems, *skipped], key=lambda problem: (problem.clip_id, problem.side))


def _not_computed(run: Run, system: Measured, done: list[Tally]) -> list[dict[str, str]]:
    reasons = dict(run.obstacles)
    for tally in system.tallies:
        if tally.count:
            reasons[tally.metric.name] = tally.without_value()
        else:
            why = "no clip is readable on every side that it needs"
            for (clip_id, side), reason in sorted(tally.skipped.items())[:1]:
                why = f"not one clip could be measured; {clip_id} ({side}) {reason}"
            reasons[tally.metric.name] = why
    have = {tally.metric.name for tally in done}
    return [{"name": m.name, "reason": reasons[m.name]} for m in run.suite.metrics if m.name not in have]


def _clips(system: Measured, done: list[Tally]) -> list[dict[str, Any]]:
    per_clip = {tally.metric.name: tally.per_clip() for tally in done}
    remarks = {tally.metric.name: tally.remarks for tally in done if isinstance(tally, ClipTally) and tally.remarks}
    made, real = system.side, system.reference
    clips = []
    for clip_id in system.ids:
        sides = {"generated": (made.folder, made.clips.get(clip_id)),
                 "reference": (real.folder, real.clips.get(clip_id))}
        if not any(files for _, files in sides.values()):
            continue
        facts = sides["reference"][1] or sides["generated"][1]
        assert facts is not None
        paths = {side: files and _relative(files.file, folder) for side, (folder, files) in sides.items()}
        video_of = system.shown.get(clip_id)
        folder, shown = sides[video_of] if video_of else (None, None)
        clips.append({
            "clip_id": clip_id, **paths,
            "video": _relative(shown.picture, folder) if shown and shown.picture and folder else None,
            "video_of": video_of, "label": facts.label, "caption": facts.captions[0] if facts.captions else None,
            "values": {name: values[clip_id] for name, values in per_clip.items() if clip_id in values},
            **({"remarks": {name: texts[clip_id] for name, texts in remarks.items() if clip_id in texts}}
               if remarks else {})})
    return clips


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def _row(run: Run, tallies: tuple[Tally, ...]) -> dict[str, Any]:
    metric, ids = tallies[0].metric, run.systems[0].ids
    values = [tally.value(ids) for tally in tallies]
    pairs = [(i, k) for i, k in combinations(range(len(tallies)), 2) if tallies[i].count and tallies[k].count]
    return {"name": metric.name, "unit": metric.unit, "higher_is_better": metric.higher_is_better, "values": values,
            "differences": [_difference(run, tallies, i, k) for i, k in pairs]}


def _difference(run: Run, tallies: tuple[Tally, ...], i: int, k: int) -> dict[str, Any]:
    """Value of system i minus that of system k over their common clips, with its interval."""
    first, second = tallies[i], tallies[k]
    ids = sorted(first.measured & second.measured)
    found: dict[str, Any] = {"first": i, "second": k, "count": len(ids), "difference": None, "interval": None,
                             "first_is_better": None}
    if len(ids) < 2:
        return found
    draws = draw_clips(len(ids), run.settings.resamples, run.settings.seed)
    if isinstance(first, SetTally):
        draws = draws[:first.resamples()]
    interval, greater = paired_difference(_statistic(first, ids), _statistic(second, ids), draws)
    wanted = first.metric.higher_is_better
    better = None if greater is None or wanted is None else greater if wanted else 1 - greater
    made, other = first.value(ids), second.value(ids)
    return found | {"difference": None if made is None or other is None else made - other,
                    "interval": None if interval is None else list(interval), "first_is_better": better}


def _statistic(tally: Tally, ids: list[str]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda draws: tally.values(ids, draws)
