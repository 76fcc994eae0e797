"""The audit of a data set: each clip examined, flags and numbers put into its manifest row, a report beside it.

No row is removed. `manifest.meta.json` states under `filters` what each flag excludes a clip from.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from ..errors import MediaError, PostsyncError
from ..media.output import whole_file
from ..protocols.clip import Clip
from .examination import FLAGS_SET, PICTURE_FPS, PICTURE_SIZE, Limits, examine
from .flags import FLAGS, UNFIT_FOR_TRAINING, UNUSABLE, disqualifying_flags, flag, flag_counts, unflag
from .manifest import ManifestDataset, read_meta, write_manifest

REPORT = "audit.json"
_logger = logging.getLogger(__name__)
MISMATCHED_QUANTILE = 0.06  # MGAudio's statement for VGGSound


class Correspondence(Protocol):
    """How well sound and picture of a clip match. `name` identifies the network."""

    name: str
    size: int  # pixels a side of its input frames, PICTURE_FPS of them a second
    sample_rate: int

    def __call__(self, clip: Clip) -> float:
        """Similarity of frames and waveform, -1..1."""
        ...


def audit(folder: Path, *, limits: Limits | None = None, correspondence: Correspondence | None = None,
          held_out: Collection[str] = (), workers: int = 1,
          on_clip: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Examine every clip of the manifest in `folder`, rewrite the manifest with the findings, write and return the
    report.

    `correspondence` scores the clips; the least similar are flagged. `held_out`: source ids of other sets that must not
    be trained on. `workers`: number of threads. Raises MediaError where there is no manifest or it cannot be written.
    """
    limits = limits or Limits()
    dataset = ManifestDataset(folder, size=PICTURE_SIZE, fps=PICTURE_FPS)
    rows = dataset.rows
    if not rows:
        raise MediaError(f"{folder}: its manifest has no rows; import a data set first")
    judged = correspondence and ManifestDataset(folder, size=(correspondence.size,) * 2, fps=PICTURE_FPS,
                                                sample_rate=correspondence.sample_rate)

    def check(index: int) -> None:
        row = rows[index]
        _check(row, dataset, index, limits)
        if correspondence and judged and not disqualifying_flags(row, UNUSABLE | {"no_sound", "no_picture"}):
            try:
                row["stats"]["av_score"] = round(correspondence(judged[index]), 4)
            except PostsyncError as error:
                row["stats"]["av_score"] = None
                _logger.warning("%s: sound and picture were not compared: %s", row["clip_id"], error)

    with ThreadPoolExecutor(max(1, workers)) as pool:
        for done, _ in enumerate(pool.map(check, range(len(rows))), 1):
            if on_clip is not None:
                on_clip(done, len(rows))
    if correspondence is not None:
        _flag_mismatched(rows, correspondence.name)
    _flag_leaks(rows, held_out)
    report = _report(rows, limits, correspondence.name if correspondence else None)
    meta = {**read_meta(dataset.root), "filters": report["filters"]}
    meta["audit"] = {"correspondence": report["correspondence"], "flags": report["flags"]}
    write_manifest(dataset.root, rows, meta, known_only=False)
    with whole_file(dataset.root / REPORT) as path:
        path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return report


def _check(row: dict[str, Any], dataset: ManifestDataset, index: int, limits: Limits) -> None:
    """Decode and examine the clip of a row; findings of an earlier audit are replaced, those of the import kept."""
    unflag(row, FLAGS_SET | {"leak", "mismatched"})
    if not row["duration"]:  # unusable already at import
        return
    unflag(row, ("missing", "unreadable"))
    paths = {dataset.root / row[name] for name in ("video_path", "audio_path") if row[name]}
    if gone := sorted(str(path) for path in paths if not path.is_file()):
        flag(row, "missing", f"{', '.join(gone)} no longer exists")
        return
    try:
        found = examine(dataset[index], row["stats"].get("nominal_s"), limits)
    except MediaError as error:
        flag(row, "unreadable", str(error))
        return
    row["stats"] = {**row["stats"], **found.stats}
    for name, reason in found.flags.items():
        flag(row, name, reason)


def _flag_mismatched(rows: Sequence[dict[str, Any]], name: str) -> None:
    """Flag clips below the quantile of all scores; with fewer clips than 1 / quantile none is flagged."""
    scored = sorted((row for row in rows if row["stats"].get("av_score") is not None),
                    key=lambda row: (row["stats"]["av_score"], row["clip_id"]))
    for row in scored[:int(len(scored) * MISMATCHED_QUANTILE)]:
        flag(row, "mismatched", f"similarity {row['stats']['av_score']:.3f} by {name}: among the least "
                                f"{MISMATCHED_QUANTILE:.0%} of {len(scored)} clips")


def _flag_leaks(rows: Sequence[dict[str, Any]], held_out: Collection[str]) -> None:
    here = {row["source_id"]: row["split"] for row in rows if row["split"] in ("val", "test")}
    elsewhere = set(held_out)
    for row in rows:
        if row["split"] in ("val", "test"):
            continue
        if row["source_id"] in here:
            flag(row, "leak", f"{row['source_id']} is in the {here[row['source_id']]} split as well")
        elif row["source_id"] in elsewhere:
            flag(row, "leak", f"{row['source_id']} is held out in another set")


def _report(rows: Sequence[Mapping[str, Any]], limits: Limits, correspondence: str | None) -> dict[str, Any]:
    counts = flag_counts(rows)
    filters = [{"flag": name, "rows": counts.get(name, 0),
                "keeps_out_of": "everything" if name in UNUSABLE else "training"}
               for name in FLAGS if name in UNFIT_FOR_TRAINING]
    return {
        "clips": len(rows), "usable": sum(not disqualifying_flags(row, UNUSABLE) for row in rows),
        "fit_for_training": sum(not disqualifying_flags(row, UNFIT_FOR_TRAINING) for row in rows), "flags": counts,
        "filters": filters, "limits": asdict(limits), "correspondence": correspondence,
        "rows": [{"clip_id": row["clip_id"], "split": row["split"], "flags": row["flags"],
                  "reasons": row["stats"].get("reasons", {})} for row in rows if row["flags"]]}
