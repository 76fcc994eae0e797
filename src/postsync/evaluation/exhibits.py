"""The clips that a page shows: which ones, and the card of each with its sounds, pictures and values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from ..data.manifest import MANIFEST, read_manifest
from ..errors import MediaError, PostsyncError
from .distributions import Evaluation, clip_metrics, clip_values
from .excerpt import MAX_CLIP_S, Sound, encoded_sound, encoded_video, has_picture, read_sound
from .markup import data_uri, number, table, text
from .timeline import timeline_svg

PREFERRED_METRIC = "Onset-F1@50ms"  # what clips are sorted by where it is there and nothing else is asked for


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


class Source:
    """One side of an evaluation: the folder that its paths start from, and its manifest's rows where there is one."""

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        self.folder = path.parent if path.suffix == ".jsonl" else path
        self._manifest = path if path.suffix == ".jsonl" else path / MANIFEST

    @cached_property
    def rows(self) -> dict[str, dict[str, Any]]:
        """Manifest rows by clip_id; empty for a plain folder. Raises MediaError for a manifest that is damaged."""
        return {row["clip_id"]: row for row in read_manifest(self._manifest)} if self._manifest.is_file() else {}

    def span(self, clip_id: str) -> tuple[float, float]:
        """(start in the file, length) of what is shown of a clip, seconds."""
        row = self.rows.get(clip_id, {})
        start, end = float(row.get("start") or 0.0), row.get("end")
        return start, MAX_CLIP_S if end is None else min(MAX_CLIP_S, max(0.0, float(end) - start))

    def events(self, clip_id: str) -> list[tuple[float, bool]] | None:
        """(onset in seconds, whether its cause is seen) of each event; None where the manifest names none."""
        row = self.rows.get(clip_id, {})
        if not row.get("events"):
            return [] if row.get("dataset") == "scenes" else None
        return sorted((float(event["t"]), bool(event.get("visible", True))) for event in row["events"])


@dataclass(frozen=True)
class _Track:
    """One sound of a card: its file, and where to look for the picture it belongs to if its own file has none."""

    name: str
    source: Source
    file: str | None
    pictures: tuple[Path, ...] = ()

    def sound(self, clip_id: str) -> Sound | str:
        """The sound, or why there is none."""
        if self.file is None:
            return "no sound of this clip"
        try:
            return read_sound(self.source.folder / self.file, *self.source.span(clip_id))
        except MediaError as error:
            return str(error)


class Exhibits:
    """Cards of clips of one or several evaluations against the same reference. `names`: what each is called."""

    def __init__(self, evaluations: Sequence[Evaluation], names: Sequence[str]) -> None:
        self.evaluations, self.names = evaluations, names
        self.generated = [Source(evaluation["generated"]["path"]) for evaluation in evaluations]
        self.reference = Source(evaluations[0]["reference"]["path"])
        self.clips = [{clip["clip_id"]: clip for clip in evaluation["clips"]} for evaluation in evaluations]

    def card(self, clip_id: str, anchor: str) -> str:
        """One clip as HTML: each evaluation's sound and the reference's over the same time, and the clip's values.

        A file that cannot be read is named in its place, with the reason.
        """
        rows: list[Mapping[str, Any]] = [clips.get(clip_id, {}) for clips in self.clips]
        known, source_of_known = next(((row, source) for row, source in zip(rows, self.generated) if row),
                                      ({}, self.reference))
        tracks = [_Track(name, source, row.get("generated"), self._pictures(row, source))
                  for name, source, row in zip(self.names, self.generated, rows)]
        if known.get("reference"):
            tracks.append(_Track("reference", self.reference, known["reference"],
                                 self._pictures(known, source_of_known)))
        sounds = [track.sound(clip_id) for track in tracks]
        seconds = max((sound.duration_s for sound in sounds if isinstance(sound, Sound)), default=0.0)
        true = sounds[-1] if known.get("reference") else ""
        envelope = true.envelope if isinstance(true, Sound) else None
        figures = "".join(
            f'<figure class="track"><figcaption>{text(track.name)}</figcaption>'
            + self._figure(track, sound, clip_id, seconds, None if sound is true else envelope) + "</figure>"
            for track, sound in zip(tracks, sounds))
        facts = " · ".join(text(known[key]) for key in ("label", "caption") if known.get(key))
        return (f'<article class="clip" id="{anchor}" aria-labelledby="{anchor}-h"><h4 id="{anchor}-h">{text(clip_id)}'
                f'</h4><p class="facts">{facts}</p><div class="tracks">{figures}</div>{self._values(rows)}</article>')

    def _figure(self, track: _Track, sound: Sound | str, clip_id: str, seconds: float, other: Tensor | None) -> str:
        """A player, and below it the picture of the sound."""
        if isinstance(sound, str):
            return f'<p class="bad">{text(sound)}</p>'
        what = f"{track.name}, clip {clip_id}"
        try:
            player = self._player(track, sound, clip_id, text(what))
        except MediaError as error:
            player = f'<p class="bad">{text(error)}</p>{_audio(sound, text(what))}'
        return player + timeline_svg(sound, what, seconds, self.reference.events(clip_id), other)

    def _player(self, track: _Track, sound: Sound, clip_id: str, label: str) -> str:
        picture, (start_s, length_s) = self._picture(track, clip_id)
        if picture is None:
            return _audio(sound, label)
        video = encoded_video(picture, sound.waveform, start_s, length_s)
        if video is None:
            return f'<p class="note">The picture is too large for this page.</p>{_audio(sound, label)}'
        return (f'<video controls playsinline preload="auto" aria-label="{label}" '
                f'src="{data_uri("video/mp4", video)}"></video>')

    def _picture(self, track: _Track, clip_id: str) -> tuple[Path | None, tuple[float, float]]:
        """The file's own picture, else the first of the named ones that has one; and which part of it is meant."""
        own = track.source.folder / (track.file or "")
        if has_picture(own):
            return own, track.source.span(clip_id)
        for path in track.pictures:
            if has_picture(path):
                source = self.reference if path.is_relative_to(self.reference.folder) else track.source
                return path, source.span(clip_id)
        return None, (0.0, 0.0)

    def _pictures(self, row: Mapping[str, Any], generated: Source) -> tuple[Path, ...]:
        """The clip's video, then the reference's file."""
        side = generated if row.get("video_of") == "generated" else self.reference
        named = ((side, row.get("video")), (self.reference, row.get("reference")))
        return tuple(source.folder / name for source, name in named if name)

    def _values(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """The clip's values, a row a metric and a column an evaluation, folded away."""
        metrics = dict.fromkeys(name for row in rows for name in row.get("values", ()))
        if not metrics:
            return ""
        cells = [[text(metric), *(number(row.get("values", {}).get(metric)) for row in rows)] for metric in metrics]
        head = ["metric", *(text(name) for name in self.names)]
        return f"<details><summary>values of this clip</summary>{table('Values of this clip', head, cells)}</details>"


def _audio(sound: Sound, label: str) -> str:
    return (f'<audio controls preload="metadata" aria-label="{label}" '
            f'src="{data_uri("audio/mp4", encoded_sound(sound.waveform))}"></audio>')
