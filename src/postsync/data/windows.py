"""Long takes as clips of one length: consecutive windows, each a manifest row of the same file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from .flags import unflag

Words = Callable[[Sequence[Mapping[str, Any]]], Any]
ROUNDING_S = 1e-3  # a rest shorter than this is no window


def cut_windows(row: Mapping[str, Any], window_s: float, label_of: Words | None = None,
                captions_of: Words | None = None) -> Iterator[dict[str, Any]]:
    """Rows of `window_s` seconds from the start of `row` on; the last one is the rest, however short.

    A row without usable media is unchanged. Events go to the window they begin in (a segment to each that it touches,
    clipped to it); `label_of` and `captions_of` derive the words of a window from its events. A clip_id ends in the
    window's start, in ms of the source.
    """
    if window_s <= 0:
        raise ValueError(f"a window lasts longer than 0 s, not {window_s}")
    if not row["duration"]:
        yield dict(row)
        return
    name, _, first_ms = row["clip_id"].rpartition(".")
    index = 0
    while (offset_s := index * window_s) < row["duration"] - ROUNDING_S:
        length_s = min(window_s, row["duration"] - offset_s)
        events = list(_events(row["events"], offset_s, length_s))
        window = {**row, "clip_id": f"{name}.{int(first_ms) + round(offset_s * 1000)}", "events": events,
                  "start": row["start"] + offset_s, "end": row["start"] + offset_s + length_s, "duration": length_s,
                  "stats": {**row["stats"], "nominal_s": window_s}}
        if label_of is not None:
            window["label"] = label_of(events)
            window["labels"] = list(dict.fromkeys(e["label"] for e in events if e["label"]))
        if captions_of is not None:
            window["captions"] = list(captions_of(events))
        unflag(window, ("events_beyond",))
        yield window
        index += 1


def _events(events: Sequence[Mapping[str, Any]], offset_s: float, length_s: float) -> Iterator[dict[str, Any]]:
    for event in events:
        begin_s, end_s = event["t"] - offset_s, event.get("end")
        last_s = begin_s if end_s is None else end_s - offset_s
        if 0 <= begin_s < length_s or (begin_s < 0 < last_s):
            yield {**event, "t": max(begin_s, 0.0), "end": None if end_s is None else min(last_s, length_s)}
