"""What a container can hold, known before any work: headers are tried in memory."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from ..errors import MediaError
from .container import open_media, picture_stream, sound_stream

_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
SOUND_CODECS = {"aac": "aac", "opus": "libopus", "flac": "flac", "pcm": "pcm_s24le"}  # FFmpeg's encoders by name
_HELD_SOUND = {"mp4": ("aac", "opus", "flac"), "mov": ("aac", "pcm"), "matroska": ("aac", "opus", "flac", "pcm"),
               "webm": ("opus",)}  # the first is the default
_CONVERT = {"picture": "convert the clip to H.264 first",
            "sound": "mix the two with --mix, or convert its sound to AAC first"}


def check_container(output_path: str | os.PathLike[str]) -> str:
    """FFmpeg's name of the container of the output's suffix. Raises MediaError for an unsupported one."""
    path = Path(output_path)
    if path.suffix.lower() not in _FORMATS:
        raise MediaError(f"{path}: cannot write '{path.suffix}' video; end the name in {', '.join(sorted(_FORMATS))}")
    return _FORMATS[path.suffix.lower()]


def sound_encoder(output_path: str | os.PathLike[str], audio_codec: str | None = None) -> str:
    """FFmpeg's encoder of new sound in the container of `output_path`: of a codec in SOUND_CODECS, None for its usual
    one. Raises MediaError for a container that cannot hold the codec."""
    codecs = _HELD_SOUND[check_container(output_path)]
    if audio_codec is not None and audio_codec not in codecs:
        suffixes = [suffix for suffix, name in _FORMATS.items() if audio_codec in _HELD_SOUND[name]]
        raise MediaError(f"{output_path}: '{Path(output_path).suffix}' cannot hold sound as {audio_codec}; write "
                         f"{' or '.join(suffixes)}, or use {' or '.join(codecs)}")
    return SOUND_CODECS[audio_codec or codecs[0]]


def check_holds(video_path: str | os.PathLike[str], output_path: str | os.PathLike[str],
                keep_sound: bool = False) -> None:
    """Raise MediaError, with what to do, if the container of `output_path` cannot hold the picture of `video_path`,
    or its own sound if that is kept. Only headers are tried: call it before the work.
    """
    video_path, output_path = Path(video_path), Path(output_path)
    container_format = check_container(output_path)
    with open_media(video_path) as source:
        picture = picture_stream(source, video_path)
        sound = sound_stream(source, video_path) if keep_sound else None
        wanted: list[Stream] = [picture] if sound is None else [picture, sound]
        for kind, stream in zip(("picture", "sound"), wanted):
            if held(wanted[:wanted.index(stream) + 1], container_format):
                continue
            suffixes = (video_path.suffix.lower(), ".mkv", ".mov", ".mp4")
            others = [suffix for suffix in suffixes if suffix in _FORMATS and held(wanted, _FORMATS[suffix])]
            advice = f"write '{others[0]}' instead" if others else _CONVERT[kind]
            raise MediaError(f"{output_path}: '{output_path.suffix}' cannot hold this {kind} "
                             f"({stream.codec_context.name}); {advice}")


def held(streams: Sequence[Stream], container_format: str, tag: str | None = None) -> bool:
    """Whether the container takes these streams (the first one under `tag`): a header is written to memory."""
    try:
        with av.open(io.BytesIO(), "w", format=container_format) as trial:
            twins = [trial.add_stream_from_template(stream, opaque=True) for stream in streams]
            if tag is not None:
                twins[0].codec_context.codec_tag = tag
            trial.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    return True


def kept_tag(source: InputContainer, stream: VideoStream, container_format: str) -> str | None:
    """The tag of a picture's codec in a container of that format; None: the muxer's own choice.

    The tag tells flavours of ProRes apart, and Apple players read HEVC only under hvc1 or dvh1. A clip's tag is dropped
    where the container does not take it.
    """
    codec, movie = stream.codec_context, container_format in ("mp4", "mov")
    kept = [codec.codec_tag] if codec.name == "prores" or (movie and "mov" in source.format.name) else []
    tags = [*kept, "hvc1"] if movie and codec.name == "hevc" else kept
    return next((tag for tag in tags if tag.isalnum() and held([stream], container_format, tag)), None)
