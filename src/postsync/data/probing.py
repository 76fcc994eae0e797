"""Probing of data sets: what a clip's files really contain, found by decoding them to the end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import MediaError
from ..media.audio import audio_blocks
from ..media.container import open_media, sha256_of
from ..media.video import probe


@dataclass(frozen=True)
class MediaFacts:
    """Facts about a clip's media; None for an absent stream."""

    duration_s: float  # that both streams have, counted from the first picture
    picture_s: float | None = None
    sound_s: float | None = None
    fps: float | None = None
    width: int | None = None
    height: int | None = None
    sample_rate: int | None = None
    channels: int | None = None
    sha256: str | None = None  # of the video file, or of the sound file where there is no video


def probe_media(video: Path | None, audio: Path | None) -> MediaFacts:
    """Decode a clip's files. `audio` may be the video file itself, or None for a video without sound.

    Raises MediaError where a file cannot be read, and ValueError without any file.
    """
    source = video or audio
    if source is None:
        raise ValueError("a clip has a video file, a sound file, or both")
    picture = probe(video) if video is not None else None
    rate = channels = sound_s = None
    if audio is not None:
        rate, channels, sound_s = _sound(audio, from_picture=audio == video)
    sound: dict[str, Any] = {"sound_s": sound_s, "sample_rate": rate, "channels": channels, "sha256": sha256_of(source)}
    if picture is None:
        return MediaFacts(sound_s or 0.0, **sound)
    length_s = picture.duration_s if sound_s is None else min(picture.duration_s, sound_s)
    return MediaFacts(length_s, picture.duration_s, fps=round(picture.fps, 4), width=picture.width,
                      height=picture.height, **sound)


def has_sound(video: Path) -> bool:
    """Whether a video file has a sound track that can be decoded. Raises MediaError where the file cannot be read."""
    with open_media(video) as container:
        return any(stream.codec_context is not None for stream in container.streams.audio)


def _sound(path: Path, from_picture: bool) -> tuple[int, int, float]:
    """(sample rate, channels, seconds) of a file's sound, seconds from the first picture where it has one."""
    rate, blocks = audio_blocks(path, from_picture)
    samples, channels = 0, 0
    for block in blocks:
        channels, samples = len(block), samples + block.shape[1]
    if not samples:
        raise MediaError(f"{path}: its sound track is empty; give a recording with sound")
    return rate, channels, samples / rate
