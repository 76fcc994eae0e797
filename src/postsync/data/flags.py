"""Problems of a data set's clips: the flags a manifest row may carry, and which of them exclude it.

A flagged row stays in the manifest; its reason, in words and numbers, is in `stats["reasons"][flag]`. Defaults:
specs of the data sets, section 3 (drop for training; published test lists lose only what cannot be read).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

FLAGS: dict[str, str] = {  # flag -> its meaning
    "missing": "no media file was found",
    "unreadable": "the media cannot be decoded",
    "empty": "the annotated span lies outside the media",
    "no_sound": "the media has a picture only",
    "no_picture": "the media has sound only",
    "short": "less than nine tenths of the annotated length",
    "beyond": "the annotation reaches past the end of the media; cut there",
    "events_beyond": "events lie past the end of the media",
    "assumed_cut": "a file named after its source alone, but as long as the clip: assumed to be the clip",
    "ambiguous": "several files match; the first was used",
    "repeated": "annotated more than once, in different splits",
    "unlisted": "in none of the split lists",
    "unannotated": "it is not annotated",
    "leak": "its source is in a test or validation split as well",
    "silent": "it is silent",
    "partly_silent": "it is silent in part",
    "clipped": "samples at full scale",
    "dead_channel": "one of two channels is silent",
    "static": "the picture stands still",
    "slide_show": "a slide show",
    "black": "the picture is black",
    "mismatched": "sound and picture match least of all clips",
}
UNUSABLE = frozenset({"missing", "unreadable", "empty"})  # for any purpose
UNFIT_FOR_TRAINING = UNUSABLE | {"no_sound", "no_picture", "short", "silent", "static", "black", "leak", "mismatched"}


def flag(row: MutableMapping[str, Any], name: str, reason: str) -> None:
    """Put flag `name` on a manifest row, with the reason. Raises ValueError for a flag that is not in FLAGS."""
    if name not in FLAGS:
        raise ValueError(f"no flag '{name}'; the flags are {', '.join(FLAGS)}")
    row["flags"] = sorted({*row.get("flags", ()), name})
    stats = dict(row.get("stats", {}))
    stats["reasons"] = {**stats.get("reasons", {}), name: reason}
    row["stats"] = stats


def unflag(row: MutableMapping[str, Any], names: Iterable[str]) -> None:
    """Remove the flags `names` and their reasons from a row."""
    gone = set(names)
    row["flags"] = [name for name in row["flags"] if name not in gone]
    kept = {name: text for name, text in row["stats"].get("reasons", {}).items() if name not in gone}
    row["stats"] = {key: value for key, value in row["stats"].items() if key != "reasons"}
    if kept:
        row["stats"]["reasons"] = kept


def disqualifying_flags(row: Mapping[str, Any], unfit: frozenset[str]) -> list[str]:
    """Those of the flags `unfit` that a row carries: empty if the row can be used."""
    return sorted(unfit & set(row["flags"]))


def flag_counts(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Flag -> number of rows that carry it, in the order of FLAGS; only flags that occur."""
    counts = dict.fromkeys(FLAGS, 0)
    for row in rows:
        for name in row["flags"]:
            counts[name] = counts.get(name, 0) + 1
    return {name: count for name, count in counts.items() if count}
