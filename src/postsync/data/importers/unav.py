"""UnAV-100: untrimmed videos whose sounding events have a start, an end and a label (ttgeng233/UnAV, one JSON file)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import MediaError
from .entries import Entry, ImportOptions, split_called


def unav(path: Path, options: ImportOptions) -> Iterator[Entry]:
    """`{"database": {id: {"subset", "duration", "annotations": [{"segment": [start, end], "label"}]}}}`.

    Files are named by the id alone and contain the annotated part of the video, whichever that is. Segments may reach
    past the end; the rows are flagged. Raises MediaError for another form.
    """
    try:
        videos = json.loads(path.read_text(encoding="utf-8-sig"))["database"]
        for source_id, video in videos.items():
            events = tuple({"t": float(a["segment"][0]), "end": float(a["segment"][1]), "label": str(a["label"])}
                           for a in sorted(video["annotations"], key=lambda a: a["segment"]))
            yield Entry("unav100", source_id, split_called(video["subset"], f"{path}, {source_id}"),
                        nominal_s=float(video["duration"]), whole_names=(source_id, "Y" + source_id), events=events,
                        label=label_of(events), labels=tuple(dict.fromkeys(str(e["label"]) for e in events)),
                        captions=captions_of(events), caption_source="events")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise MediaError(f"cannot read {path} as UnAV-100's annotations ({type(error).__name__}: {error}); give "
                         "unav100_annotations.json") from error


def label_of(events: Sequence[Mapping[str, Any]]) -> str | None:
    """The label that sounds longest, None without events."""
    seconds: dict[str, float] = {}
    for event in events:
        seconds[event["label"]] = seconds.get(event["label"], 0.0) + event["end"] - event["t"]
    return max(seconds, key=lambda label: seconds[label]) if seconds else None


def captions_of(events: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The labels in the order they begin, as one caption."""
    return (", ".join(dict.fromkeys(event["label"] for event in events)),) if events else ()
