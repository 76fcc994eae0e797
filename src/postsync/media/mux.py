"""Puts a soundtrack under a picture: the video packets are copied, never decoded; only the sound is encoded.

The first video track, all subtitles, chapters and metadata are copied, and on request the first sound track. Other
sound, further video tracks, cover art, attachments and data streams are dropped (logged). Same input and waveform give
the same bytes.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.codec.context import Flags as CodecFlags
from av.container import Flags as ContainerFlags
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.stream import SubtitleStream
from av.video.stream import VideoStream

from ..errors import MediaError
from ..notes import note
from .audio import resampled_blocks
from .container import one_line, open_media, picture_stream, reading
from .output import whole_file
from .video import Progress, VideoInfo, probe

if TYPE_CHECKING:
    from torch import Tensor

_logger = logging.getLogger(__name__)

ENCODED_RATE = 48000
_BITEXACT = cast(int, ContainerFlags.bitexact.value)  # no library version, no random identifiers in the file
_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
_SAME_CONTAINER = {".mp4", ".mov", ".mkv", ".webm"}
_OWN_KEYS = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}  # the muxer writes its own


def default_output(path: str | os.PathLike[str], suffix: str = ".postsync") -> Path:
    """`clip.mov` -> `clip.postsync.mov`. avi and m4v become mp4, unsupported containers become mkv."""
    path = Path(path)
    kind = path.suffix.lower()
    if kind in _SAME_CONTAINER:
        return path.with_name(f"{path.stem}{suffix}{path.suffix}")
    return path.with_name(f"{path.stem}{suffix}{'.mp4' if kind in ('.avi', '.m4v') else '.mkv'}")


def check_container(output_path: str | os.PathLike[str]) -> str:
    """FFmpeg's name of the container of the output's suffix. Raises MediaError for an unsupported one."""
    path = Path(output_path)
    if path.suffix.lower() not in _FORMATS:
        raise MediaError(f"{path}: cannot write '{path.suffix}' video; end the name in {', '.join(sorted(_FORMATS))}")
    return _FORMATS[path.suffix.lower()]


def mux(
    video_path: str | os.PathLike[str],
    waveform: np.ndarray | Tensor | Iterable[np.ndarray | Tensor],
    sample_rate: int,
    output_path: str | os.PathLike[str],
    info: VideoInfo | None = None,
    keep_sound: bool = False,
    on_progress: Progress | None = None,
) -> Path:
    """Write the picture of `video_path` with `waveform` as its sound to `output_path`; returns that path.

    Args:
        waveform: (C, N) in -1..1, 1 or 2 channels, or an iterable of such blocks (streamed). Its
            first sample sounds with the first picture. Padded with silence or cut to the video's length.
        sample_rate: of the waveform, Hz. Encoded as AAC at 48 kHz, in webm as Opus at 48 kHz.
        info: the result of `probe` or of a fully read `iter_frames`; probed if None.
        keep_sound: copy the video's first sound track packet by packet; the waveform becomes the track after it.
        on_progress: receives the finished share; an exception from it ends the work.

    Raises MediaError: unusable input, output that is the input (through any link) or cannot be written, a container
    that cannot hold the video's codec or the kept sound's. No partial file is left, whatever ends the work.
    """
    video_path, output_path = Path(video_path), Path(output_path)
    container_format = check_container(output_path)
    with whole_file(output_path, inputs=(video_path,)) as temporary:
        info = info or probe(video_path)
        blocks = fitted(resampled_blocks(waveform, sample_rate, ENCODED_RATE), info.duration_s)
        with open_media(video_path) as source, opened_for_writing(temporary, container_format) as target:
            copied = _copied_streams(source, target, video_path, output_path, keep_sound)
            _copy(source, target, copied, video_path, blocks, info, on_progress)
    return output_path


@contextlib.contextmanager
def opened_for_writing(path: Path, container_format: str) -> Iterator[OutputContainer]:
    """A new media file that can be played while loading, deterministic in its content."""
    # Edit lists count in the movie's time scale: at 48 kHz the sound's start is exact to the sample.
    options = {"movflags": "faststart", "movie_timescale": str(ENCODED_RATE)}
    options = options if container_format in ("mp4", "mov") else {}
    with av.open(os.path.abspath(path), "w", format=container_format, container_options=options) as target:
        target.flags = target.flags | _BITEXACT
        yield target


def _copy(
    source: InputContainer,
    target: OutputContainer,
    copied: dict[int, Stream],
    video_path: Path,
    blocks: Iterator[np.ndarray],
    info: VideoInfo,
    on_progress: Progress | None,
) -> None:
    """Copy packets in the source's order; the sound is encoded alongside, always a little ahead of the picture."""
    sound = SoundWriter(target, blocks, info.first_pts_s)
    target.metadata.update({k: v for k, v in source.metadata.items() if k.lower() not in _OWN_KEYS})
    if chapters := source.chapters():
        target.set_chapters(chapters)
    for number, packet in enumerate(_packets(source, list(copied), video_path)):
        ticks = packet.dts if packet.dts is not None else packet.pts
        time_s = None if ticks is None else float(ticks * packet.time_base)
        sound.advance(time_s)
        packet.stream = copied[packet.stream_index]
        _copy_packet(target, packet, video_path)
        if on_progress is not None and time_s is not None and number % 10 == 0:
            on_progress(min(max((time_s - info.first_pts_s) / info.duration_s, 0.0), 1.0))
    sound.finish()


def _packets(source: InputContainer, indices: list[int], video_path: Path) -> Iterator[Packet]:
    """The packets to copy. Only the end mark (size 0) is dropped; packets without dts are real pictures."""
    for packet in reading(source.demux([source.streams[index] for index in indices]), video_path):
        if packet.size:
            yield packet


def _copy_packet(target: OutputContainer, packet: Packet, video_path: Path) -> None:
    """Mux one packet. Raises MediaError if the muxer cannot place it: times that run backwards, a broken one."""
    try:
        target.mux(packet)
    except (av.error.ArgumentError, av.error.InvalidDataError) as error:
        raise MediaError(
            f"{video_path}: its packets cannot be copied ({one_line(error)}); it is damaged: export it again"
        ) from error


def _copied_streams(
    source: InputContainer, target: OutputContainer, video_path: Path, output_path: Path, keep_sound: bool
) -> dict[int, Stream]:
    """Input stream index -> the output stream that takes its packets."""
    picture = picture_stream(source, video_path)
    sound = source.streams.audio[0] if keep_sound and source.streams.audio else None
    copied: dict[int, Stream] = {}
    for stream in source.streams:
        if stream not in (picture, sound) and not isinstance(stream, SubtitleStream):
            reason = "replaced" if isinstance(stream, AudioStream) else "only the picture and subtitles are copied"
            _logger.info("%s: stream %d (%s) is dropped: %s", video_path, stream.index, stream.type, reason)
            continue
        try:
            # opaque: the decoder's context serves as template, so no encoder for the codec is needed.
            copied[stream.index] = twin = target.add_stream_from_template(stream, opaque=True)
        except (ValueError, av.FFmpegError) as error:
            if stream in (picture, sound):
                kind = "picture" if stream is picture else "sound"
                raise MediaError(
                    f"{output_path}: '{output_path.suffix}' cannot hold this {kind} ({one_line(error)}); "
                    f"write '{video_path.suffix}' or '.mkv' instead"
                ) from error
            note(_logger, "%s: subtitles %d are dropped: %s", video_path, stream.index, one_line(error))
            continue
        twin.metadata.update({k: v for k, v in stream.metadata.items() if k.lower() not in _OWN_KEYS})
        twin.disposition = stream.disposition
        if isinstance(stream, VideoStream):
            _keep_tag(stream, twin, target)
    return copied


def _keep_tag(stream: Stream, twin: Stream, target: OutputContainer) -> None:
    """Apple players read HEVC only under the tag hvc1; the muxer's own choice would be hev1."""
    if stream.codec_context.name == "hevc" and target.format.name in ("mp4", "mov"):
        twin.codec_context.codec_tag = "hvc1" if stream.codec_context.codec_tag == "hvc1" else "hev1"


def fitted(blocks: Iterator[np.ndarray], duration_s: float, rate: int = ENCODED_RATE) -> Iterator[np.ndarray]:
    """Blocks (C, n) at `rate`, cut or padded with silence to exactly `duration_s`.

    Raises MediaError for more than 2 channels.
    """
    missing = round(duration_s * rate)
    channels = 1
    for block in blocks:
        channels = len(block)
        if channels not in (1, 2):
            raise MediaError(f"the soundtrack has {channels} channels; mix it down to 1 or 2")
        for start in range(0, min(block.shape[1], missing), rate):
            part = block[:, start : min(start + rate, missing)]
            yield part
        missing -= min(block.shape[1], missing)
        if missing == 0:
            return
    while missing > 0:
        count = min(missing, rate)
        yield np.zeros((channels, count), dtype=np.float32)
        missing -= count


class SoundWriter:
    """Encodes blocks (C, n) float32 at `rate` and hands the packets to the muxer, a little ahead of the picture."""

    def __init__(self, target: OutputContainer, blocks: Iterator[np.ndarray], start_s: float, rate: int = ENCODED_RATE,
                 bit_rate: int | None = None) -> None:
        self.target, self.blocks, self.rate = target, blocks, rate
        self.block = next(blocks, None)
        channels = 1 if self.block is None else len(self.block)
        self.layout = "mono" if channels == 1 else "stereo"
        codec = "libopus" if target.format.name == "webm" else "aac"
        self.stream = cast(AudioStream, target.add_stream(codec, rate=rate, layout=self.layout))
        self.stream.bit_rate = bit_rate or (128_000 if codec == "aac" else 96_000) * channels
        self.stream.codec_context.flags |= CodecFlags.bitexact.value
        self.stream.time_base = Fraction(1, rate)
        self.position = round(start_s * rate)

    def advance(self, time_s: float | None) -> None:
        """Encode up to half a second after `time_s`; one block if the time is unknown."""
        while self.block is not None and (time_s is None or self.position / self.rate <= time_s + 0.5):
            self._write(self.block)
            self.block = next(self.blocks, None)
            if time_s is None:
                break

    def finish(self) -> None:
        """Encode the rest."""
        self.advance(math.inf)
        self._mux(self.stream.encode(None))

    def _write(self, block: np.ndarray) -> None:
        samples = np.ascontiguousarray(np.clip(block, -1.0, 1.0), dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=self.layout)
        frame.sample_rate = self.rate
        frame.pts, frame.time_base = self.position, Fraction(1, self.rate)
        self.position += samples.shape[1]
        self._mux(self.stream.encode(frame))

    def _mux(self, packets: list[Packet]) -> None:
        for packet in packets:
            self.target.mux(packet)
