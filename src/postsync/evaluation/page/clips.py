"""The clips on the page: a card for each, with its first seconds as bytes of bounded size that every browser plays."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from markupsafe import Markup
from torch import Tensor

from ...data.manifest import MANIFEST, read_manifest
from ...errors import MediaError
from ...features.envelope import frame_rms
from ...features.onsets import pick_onsets
from ...features.spectrogram import audioldm_log_mel
from ...media.audio import read_audio, resample
from ...media.container import open_media, picture_stream
from ...media.mux import mux
from ...media.video import Frame, iter_frames, probe
from ...protocols.clip import Clip
from ...scenes.export import render_mp4
from .figures import SoundPlot, Timeline, data_uri, timeline
from .results import Evaluation

MAX_CLIP_S = 12.0
MAX_COPIED_BYTES = 1_000_000  # larger files, and other codecs than H.264 4:2:0, are re-encoded
MAX_VIDEO_BYTES = 1_500_000
MAX_SIDE = 320  # pixels, of what is re-encoded
_MAX_FPS = 31.0
_CRFS = (28, 38, 48)  # the first that fits is taken
_RATE, _ANALYSIS_RATE = 48000, 16000


@dataclass(frozen=True)
class Sound(SoundPlot):
    """The sound of an excerpt, with its plot data."""

    waveform: np.ndarray  # (1 or 2, N) float32 at 48 kHz


def has_picture(path: Path) -> bool:
    """Whether a readable media file has a moving picture. Raises MediaError for one that cannot be opened."""
    with open_media(path) as container:
        if not container.streams.video:
            return False
        try:
            picture_stream(container, path)
        except MediaError:  # only cover art, or a picture without decoder: only the sound can be shown
            return False
    return True


def read_sound(path: Path, start_s: float = 0.0, length_s: float = MAX_CLIP_S) -> Sound:
    """`length_s` seconds from `start_s` on, counted from the first picture where there is one.

    More than two channels are averaged. Raises MediaError for a file that cannot be read or ends before `start_s`.
    """
    waveform = read_audio(path, _RATE, mono=False, max_duration_s=start_s + length_s, from_picture=has_picture(path))
    waveform = waveform[:, round(start_s * _RATE):]
    if not waveform.shape[1]:
        raise MediaError(f"{path}: its sound ends before {start_s:g} s, where the clip starts; correct the manifest")
    waveform = waveform if len(waveform) <= 2 else waveform.mean(axis=0, keepdims=True)
    mono = torch.from_numpy(resample(waveform.mean(axis=0, keepdims=True), _RATE, _ANALYSIS_RATE))[0]
    envelope = frame_rms(mono, _ANALYSIS_RATE)
    long_enough = torch.nn.functional.pad(mono, (0, max(0, 1024 - len(mono))))  # of one frame, mirrored at both ends
    log_mel = audioldm_log_mel(long_enough[None])[0, :max(1, len(envelope))]
    return Sound(envelope, pick_onsets(envelope).tolist(), log_mel, waveform.shape[1] / _RATE, waveform)


def encoded_sound(waveform: np.ndarray) -> bytes:
    """An m4a of (1 or 2, N) float32 at 48 kHz: AAC of 96 kbit/s."""
    buffer, layout = io.BytesIO(), "mono" if len(waveform) == 1 else "stereo"
    with av.open(buffer, "w", format="mp4") as target:
        stream = target.add_stream("aac", rate=_RATE, layout=layout, bit_rate=96_000)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(waveform), format="fltp", layout=layout)
        frame.sample_rate, frame.pts = _RATE, 0
        for part in (frame, None):
            target.mux(stream.encode(part))
    return buffer.getvalue()


def encoded_video(picture: Path, waveform: np.ndarray, start_s: float = 0.0,
                  length_s: float = MAX_CLIP_S) -> bytes | None:
    """An mp4 of `length_s` seconds of `picture` from `start_s` on, with (1 or 2, N) at 48 kHz as its sound.

    The picture is copied packet by packet where it is small and H.264 4:2:0; else it is re-encoded, at most MAX_SIDE
    pixels on its longer side and 31 frames a second. None where it exceeds MAX_VIDEO_BYTES even at the coarsest
    quality. Raises MediaError for a picture that cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="postsync-") as name:
        folder = Path(name)
        if start_s == 0 and _is_copied(picture, length_s):
            return mux(picture, waveform, _RATE, folder / "clip.mp4").read_bytes()
        clip = _small(picture, start_s, length_s)
        for crf in _CRFS:
            silent = render_mp4(clip, folder / f"silent_{crf}.mp4", with_audio=False, crf=crf)
            muxed = mux(silent, waveform, _RATE, folder / f"clip_{crf}.mp4")
            if muxed.stat().st_size <= MAX_VIDEO_BYTES:
                return muxed.read_bytes()
    return None


def _is_copied(picture: Path, length_s: float) -> bool:
    if picture.stat().st_size > MAX_COPIED_BYTES:
        return False
    with open_media(picture) as container:
        context = picture_stream(container, picture).codec_context
        if context.name != "h264" or context.pix_fmt not in ("yuv420p", "yuvj420p"):
            return False
    return probe(picture).duration_s <= length_s + 0.1


def _small(picture: Path, start_s: float, length_s: float) -> Clip:
    """The excerpt's frames at their own times, scaled down, without those that come faster than 31 a second."""
    first = next(iter_frames(picture, start_s=start_s), None)
    if first is None:
        raise MediaError(f"{picture}: has no picture after {start_s:g} s, where the clip starts; correct the manifest")
    height, width = first.image.shape[:2]
    scale = min(1.0, MAX_SIDE / max(width, height))
    size = (max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2))
    kept: list[Frame] = []
    for frame in iter_frames(picture, size, start_s=start_s, end_s=start_s + length_s):
        if not kept or frame.time_s - kept[-1].time_s > 1 / _MAX_FPS:
            kept.append(frame)
    frames = torch.from_numpy(np.stack([frame.image for frame in kept])).permute(0, 3, 1, 2)
    times = torch.tensor([frame.time_s - kept[0].time_s for frame in kept], dtype=torch.float64)
    end = min(frame.time_s + frame.duration_s, start_s + length_s)
    return Clip(picture.name, end - kept[0].time_s, frames=frames.contiguous(), times=times)


class Source:
    """One side of an evaluation: the folder that its paths start from, and the rows of its manifest, if any."""

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
        """(onset in seconds, whether its cause is visible) of each event; None if the manifest has none."""
        row = self.rows.get(clip_id, {})
        if not row.get("events"):
            return [] if row.get("dataset") == "scenes" else None
        return sorted((float(event["t"]), bool(event.get("visible", True))) for event in row["events"])


@dataclass(frozen=True)
class Track:
    """One sound of a card: a player and a picture of the sound, or the reason why there is none."""

    name: str
    problem: str | None = None
    note: str | None = None  # why a sound has no picture although it should
    kind: str = "audio"  # "audio" | "video"
    uri: Markup | None = None
    timeline: Timeline | None = None


@dataclass(frozen=True)
class Card:
    """A clip on the page: its tracks over the same time, and its values, a row a metric and a column an evaluation."""

    clip_id: str
    facts: list[str]
    tracks: list[Track]
    values: list[tuple[str, list[float | None]]]


@dataclass(frozen=True)
class _File:
    """One sound of a clip, and where to find its picture if its own file has none."""

    name: str
    source: Source
    path: str | None
    pictures: tuple[Path, ...] = ()

    def sound(self, clip_id: str) -> Sound | str:
        """The sound, or why there is none."""
        if self.path is None:
            return "no sound of this clip"
        try:
            return read_sound(self.source.folder / self.path, *self.source.span(clip_id))
        except MediaError as error:
            return str(error)


class Cards:
    """Cards of clips of one or several evaluations against the same reference. `names`: their labels."""

    def __init__(self, evaluations: Sequence[Evaluation], names: Sequence[str]) -> None:
        self.names = names
        self.generated = [Source(evaluation["generated"]["path"]) for evaluation in evaluations]
        self.reference = Source(evaluations[0]["reference"]["path"])
        self.clips = [{clip["clip_id"]: clip for clip in evaluation["clips"]} for evaluation in evaluations]

    def card(self, clip_id: str) -> Card:
        """One clip: each evaluation's sound and the reference's, with their pictures, and the clip's values.

        A file that cannot be read is named in its place, with the reason.
        """
        rows: list[Mapping[str, Any]] = [clips.get(clip_id, {}) for clips in self.clips]
        known, source_of_known = next(((row, source) for row, source in zip(rows, self.generated) if row),
                                      ({}, self.reference))
        files = [_File(name, source, row.get("generated"), self._pictures(row, source))
                 for name, source, row in zip(self.names, self.generated, rows)]
        if known.get("reference"):
            files.append(_File("reference", self.reference, known["reference"],
                               self._pictures(known, source_of_known)))
        sounds = [file.sound(clip_id) for file in files]
        seconds = max((sound.duration_s for sound in sounds if isinstance(sound, Sound)), default=0.0)
        true = sounds[-1] if known.get("reference") else None
        envelope = true.envelope if isinstance(true, Sound) else None
        tracks = [self._track(file, sound, clip_id, seconds, None if sound is true else envelope)
                  for file, sound in zip(files, sounds)]
        metrics = dict.fromkeys(name for row in rows for name in row.get("values", ()))
        return Card(clip_id, [known[key] for key in ("label", "caption") if known.get(key)], tracks,
                    [(metric, [row.get("values", {}).get(metric) for row in rows]) for metric in metrics])

    def _track(self, file: _File, sound: Sound | str, clip_id: str, seconds: float, other: Tensor | None) -> Track:
        if isinstance(sound, str):
            return Track(file.name, problem=sound)
        problem, note, video = None, None, None
        try:
            picture, (start_s, length_s) = self._picture(file, clip_id)
            if picture is not None:
                video = encoded_video(picture, sound.waveform, start_s, length_s)
                note = None if video is not None else "The picture is too large for this page."
        except MediaError as error:
            problem = str(error)
        uri = data_uri("audio/mp4", encoded_sound(sound.waveform)) if video is None else data_uri("video/mp4", video)
        drawn = timeline(sound, f"{file.name}, clip {clip_id}", seconds, self.reference.events(clip_id), other)
        return Track(file.name, problem, note, "audio" if video is None else "video", uri, drawn)

    def _picture(self, file: _File, clip_id: str) -> tuple[Path | None, tuple[float, float]]:
        """The file's own picture, else the first of the named ones that has one; and (start, length) in it."""
        own = file.source.folder / (file.path or "")
        if has_picture(own):
            return own, file.source.span(clip_id)
        for path in file.pictures:
            if has_picture(path):
                source = self.reference if path.is_relative_to(self.reference.folder) else file.source
                return path, source.span(clip_id)
        return None, (0.0, 0.0)

    def _pictures(self, row: Mapping[str, Any], generated: Source) -> tuple[Path, ...]:
        """The clip's video, then the reference's file."""
        side = generated if row.get("video_of") == "generated" else self.reference
        named = ((side, row.get("video")), (self.reference, row.get("reference")))
        return tuple(source.folder / name for source, name in named if name)
