"""From an annotation to a manifest row: the media is found and probed, and mismatches are flagged."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import MediaError
from ..flags import flag
from ..probing import MediaFacts, has_sound, probe_media
from .entries import Entry
from .media_index import Found, MediaIndex

ASSUMED_CUT_S = 0.5  # a file named by its source alone is the clip itself if it is longer than it by no more than this
TOLERANCE_S = 0.05  # containers round; annotations are no more exact


def build_row(entry: Entry, index: MediaIndex, folder: Path) -> dict[str, Any]:
    """The manifest row of `entry`, with media paths relative to `folder`; never raises for a bad file.

    A row without usable media has duration 0 and the flag `missing`, `unreadable` or `empty`.
    """
    nominal_s = entry.nominal_s if entry.end_s is None else entry.end_s - entry.start_s
    row: dict[str, Any] = {
        "clip_id": entry.clip_id, "dataset": entry.dataset, "source_id": entry.source_id, "split": entry.split,
        "start": entry.start_s, "end": entry.start_s if entry.end_s is None else entry.end_s, "duration": 0.0,
        "label": entry.label, "labels": list(entry.labels), "captions": list(entry.captions),
        "caption_source": entry.caption_source, "events": [dict(event) for event in entry.events], "flags": [],
        "stats": {} if nominal_s is None else {"nominal_s": nominal_s}}
    for name, reason in entry.notes.items():
        flag(row, name, reason)
    cut = index.find(entry.cut_names)
    found = cut or index.find(entry.whole_names)
    if found is None:
        names = (*entry.cut_names, *entry.whole_names)
        flag(row, "missing", f"no file {names[0]}.* under {index.root}, nor under its {len(names) - 1} other names")
        return row
    if found.others:
        flag(row, "ambiguous", "there is also " + ", ".join(str(path) for path in found.others))
    try:
        facts = _probe(row, found, folder)
    except MediaError as error:
        flag(row, "unreadable", str(error))
        return row
    _place(row, entry, facts, cut is not None, nominal_s)
    _check_events(row)
    return row


def _probe(row: dict[str, Any], found: Found, folder: Path) -> MediaFacts:
    """Fill in the paths and the files' contents. A video's own sound is used, or a sound file where it has none."""
    audio = found.audio
    row["video_path"] = row["audio_path"] = None
    if found.video is not None:
        row["video_path"] = _relative(found.video, folder)
        audio = found.video if has_sound(found.video) else found.audio
    row["audio_path"] = None if audio is None else _relative(audio, folder)
    facts = probe_media(found.video, audio)
    row |= {"fps": facts.fps, "width": facts.width, "height": facts.height, "sample_rate": facts.sample_rate,
            "channels": facts.channels, "sha256": facts.sha256}
    row["stats"] = {**row["stats"], "picture_s": facts.picture_s, "sound_s": facts.sound_s}
    if audio is None:
        flag(row, "no_sound", f"{found.video} has no sound track, and no sound file has its name")
    if found.video is None:
        flag(row, "no_picture", f"only the sound {found.audio} was found")
    return facts


def _relative(path: Path, folder: Path) -> str:
    """From the manifest's folder to the file, so that both can be moved together."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:  # on another drive
        return path.resolve().as_posix()


def _place(row: dict[str, Any], entry: Entry, facts: MediaFacts, is_cut: bool, nominal_s: float | None) -> None:
    """Set where in the file the clip lies: all of a cut file, from start to end in a whole one."""
    length_s = facts.duration_s
    if not is_cut and nominal_s and entry.start_s > 0 and length_s <= nominal_s + ASSUMED_CUT_S:
        flag(row, "assumed_cut", f"the file is named by its source alone and lasts {length_s:.2f} s: taken for the "
                                 f"clip of {nominal_s:g} s that starts at {entry.start_s:g} s")
        is_cut = True
    moved_s = 0.0
    if is_cut or entry.end_s is None:
        start_s, end_s = (0.0 if is_cut else entry.start_s), length_s
        moved_s = entry.start_s if is_cut else 0.0
    else:
        start_s, end_s = entry.start_s, min(entry.end_s, length_s)
        if entry.end_s > length_s + TOLERANCE_S:
            flag(row, "beyond", f"annotated to {entry.end_s:g} s, but the media ends at {length_s:.3f} s")
    if end_s <= start_s:
        flag(row, "empty", f"annotated from {start_s:g} s, but the media ends at {length_s:.3f} s")
        return
    row |= {"start": start_s, "end": end_s, "duration": end_s - start_s}
    row["events"] = [_moved(event, moved_s + (0.0 if is_cut else start_s)) for event in row["events"]]


def _moved(event: Mapping[str, Any], earlier_s: float) -> dict[str, Any]:
    end_s = event.get("end")
    return {**event, "t": event["t"] - earlier_s, "end": None if end_s is None else end_s - earlier_s}


def _check_events(row: dict[str, Any]) -> None:
    late = [e for e in row["events"] if max(e["t"], e.get("end") or 0.0) > row["duration"] + TOLERANCE_S]
    if late and row["duration"]:
        flag(row, "events_beyond", f"{len(late)} of {len(row['events'])} events reach past the end at "
                                   f"{row['duration']:.3f} s, the first at {late[0]['t']:g} s")
