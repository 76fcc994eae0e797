"""Puts a soundtrack under a picture: the video packets are copied, never decoded; only the sound is encoded.

The first video track, all subtitles, chapters and metadata are copied, and on request the first sound track. Other
sound, further video tracks, cover art, attachments and data streams are dropped (logged). All times are rebased: the
first picture is at 0, and so is the sound. Same input and waveform give the same bytes.
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
from .boxes import fixed_point, set_shown_size, shown_size, special_pictures
from .container import one_line, open_media, picture_stream, reading, sound_stream
from .holding import check_container, check_holds, kept_tag, sound_encoder
from .matroska import set_pixel_aspect
from .output import whole_file
from .packed import unpacked
from .video import OnFraction, VideoInfo, probe

if TYPE_CHECKING:
    from av.container.core import Chapter
    from torch import Tensor

_logger = logging.getLogger(__name__)

ENCODED_RATE = 48000
_BITEXACT = cast(int, ContainerFlags.bitexact.value)  # no library version, no random identifiers in the file
_BIT_RATES = {"aac": 128_000, "libopus": 96_000}  # bit/s a channel, of codecs that lose something
_SAME_CONTAINER = {".mp4", ".mov", ".mkv", ".webm"}
_OWN_SOUND, _NEW_SOUND = "Original sound", "Generated sound"  # names of the tracks where both are in the file
_OWN_KEYS = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}  # the muxer writes its own


def default_output(path: str | os.PathLike[str], suffix: str = ".postsync") -> Path:
    """`clip.mov` -> `clip.postsync.mov`. avi and m4v become mp4, unsupported containers become mkv."""
    path = Path(path)
    kind = path.suffix.lower()
    if kind in _SAME_CONTAINER:
        return path.with_name(f"{path.stem}{suffix}{path.suffix}")
    return path.with_name(f"{path.stem}{suffix}{'.mp4' if kind in ('.avi', '.m4v') else '.mkv'}")


def mux(
    video_path: str | os.PathLike[str],
    waveform: np.ndarray | Tensor | Iterable[np.ndarray | Tensor],
    sample_rate: int,
    output_path: str | os.PathLike[str],
    info: VideoInfo | None = None,
    keep_sound: bool = False,
    audio_codec: str | None = None,
    on_progress: OnFraction | None = None,
) -> Path:
    """Write the picture of `video_path` with `waveform` as its sound to `output_path`; returns that path.

    Args:
        waveform: (C, N) in -1..1, 1 or 2 channels, or an iterable of such blocks (streamed). Its
            first sample sounds with the first picture. Padded with silence or cut to the video's length.
        sample_rate: of the waveform, Hz. It is encoded at 48 kHz.
        info: the result of `probe` or of a fully read `iter_frames`; probed if None.
        keep_sound: copy the video's first sound track packet by packet; the waveform becomes the track after it.
        audio_codec: of the waveform: "aac", "opus", "flac" or "pcm" (24 bits); None: AAC, in webm Opus.
        on_progress: receives the finished share; an exception from it ends the work.

    Raises MediaError: unusable input, output that is the input (through any link) or cannot be written, a container
    that cannot hold the video's codec or the kept sound's. No partial file is left, whatever ends the work.
    """
    video_path, output_path = Path(video_path), Path(output_path)
    container_format, encoder = check_container(output_path), sound_encoder(output_path, audio_codec)
    with whole_file(output_path, inputs=(video_path,)) as temporary:
        info = info or probe(video_path)
        blocks = fitted(resampled_blocks(waveform, sample_rate, ENCODED_RATE), info.duration_s)
        check_holds(video_path, output_path, keep_sound)
        with open_media(video_path) as source:
            keys = any("." in key for key in source.metadata)  # com.apple.quicktime.make: of phones
            with opened_for_writing(temporary, container_format, keys) as target:
                sound = sound_stream(source, video_path) if keep_sound else None
                copied = _copied_streams(source, target, video_path, sound)
                _copy(source, target, copied, video_path, SoundWriter(target, blocks, encoder), info, on_progress)
            _keep_shape(source, video_path, temporary, container_format, list(copied))
    return output_path


@contextlib.contextmanager
def opened_for_writing(path: Path, container_format: str, keys: bool = False) -> Iterator[OutputContainer]:
    """A new media file that can be played while loading, deterministic in its content.

    `keys`: metadata of mp4 and mov under names of any kind, as phones write it, not in the fixed fields.
    """
    # Edit lists count in the movie's time scale: at 48 kHz the sound's start is exact to the sample. Not strict: the
    # boxes of Dolby Vision and of 360-degree pictures are written too.
    options = {"movflags": "faststart+use_metadata_tags" if keys else "faststart",
               "movie_timescale": str(ENCODED_RATE), "strict": "unofficial"}
    options = options if container_format in ("mp4", "mov") else {}
    with av.open(os.path.abspath(path), "w", format=container_format, container_options=options) as target:
        target.flags = target.flags | _BITEXACT
        yield target


def _copy(
    source: InputContainer,
    target: OutputContainer,
    copied: dict[int, Stream],
    video_path: Path,
    sound: SoundWriter,
    info: VideoInfo,
    on_progress: OnFraction | None,
) -> None:
    """Copy packets in the source's order; the sound is encoded alongside, always a little ahead of the picture."""
    if any(isinstance(stream, AudioStream) for stream in copied.values()):
        _name(sound.stream, _NEW_SOUND)
    target.metadata.update({k: v for k, v in source.metadata.items() if k.lower() not in _OWN_KEYS})
    if chapters := _rebased_chapters(source, info.first_pts_s):
        target.set_chapters(chapters)
    for number, packet in enumerate(_packets(source, list(copied), video_path)):
        earlier = round(info.first_pts_s / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts - earlier
        packet.dts = None if packet.dts is None else packet.dts - earlier
        ticks = packet.dts if packet.dts is not None else packet.pts
        time_s = None if ticks is None else float(ticks * packet.time_base)
        sound.advance(time_s)
        packet.stream = copied[packet.stream_index]
        _copy_packet(target, packet, video_path)
        if on_progress is not None and time_s is not None and number % 10 == 0:
            on_progress(min(max(time_s / info.duration_s, 0.0), 1.0))
    sound.finish()


def _rebased_chapters(source: InputContainer, first_pts_s: float) -> list[Chapter]:
    """The chapters, counted from the first picture; what ends before it is dropped."""
    chapters = []
    for chapter in source.chapters():
        earlier = round(first_pts_s / chapter["time_base"]) if chapter["time_base"] else 0
        start, end = max(chapter["start"] - earlier, 0), chapter["end"] - earlier
        if end > start or not earlier:
            chapters.append(cast("Chapter", {**chapter, "start": start, "end": end}))
    return chapters


def _packets(source: InputContainer, indices: list[int], video_path: Path) -> Iterator[Packet]:
    """The packets to copy. Only the end mark (size 0) is dropped; packets without dts are real pictures."""
    packets = reading(source.demux([source.streams[index] for index in indices]), video_path)
    for packet in unpacked(packets, picture_stream(source, video_path)):
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


def _copied_streams(source: InputContainer, target: OutputContainer, video_path: Path,
                    sound: AudioStream | None) -> dict[int, Stream]:
    """Input stream index -> the output stream that takes its packets; `sound`: the track to be kept."""
    picture = picture_stream(source, video_path)
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
            if not isinstance(stream, SubtitleStream):
                raise
            note(_logger, "%s: subtitles %d are dropped: %s", video_path, stream.index, one_line(error))
            continue
        twin.metadata.update({k: v for k, v in stream.metadata.items() if k.lower() not in _OWN_KEYS})
        twin.disposition = stream.disposition
        if isinstance(stream, VideoStream):
            if (tag := kept_tag(source, stream, target.format.name)) is not None:
                twin.codec_context.codec_tag = tag
            if (aspect := _stated_aspect(stream)) is not None:
                cast(VideoStream, twin).codec_context.sample_aspect_ratio = aspect
        elif stream is sound and not twin.metadata.get("title"):
            _name(twin, _OWN_SOUND)
    return copied


def _name(track: Stream, title: str) -> None:
    """The name that players and editors show: the title in mkv, the handler in mp4 and mov."""
    track.metadata.update({"title": title, "handler_name": title})


def _keep_shape(source: InputContainer, video_path: Path, written: Path, container_format: str,
                copied: list[int]) -> None:
    """State in the written file the shape of the pixels, or the size at which they are shown, as the clip does."""
    picture = picture_stream(source, video_path)
    for kind in special_pictures(video_path) if container_format == "mov" else ():
        note(_logger, "%s: its %s data are dropped, which .mov cannot hold; write .mp4 or .mkv", video_path, kind)
    aspect = _stated_aspect(picture)
    if container_format in ("matroska", "webm"):
        if aspect is not None and not set_pixel_aspect(written, aspect, container_format == "webm"):
            note(_logger, "%s: the shape of its pixels, %s, is not kept: write .mp4 or .mov", video_path, aspect)
        return
    size = shown_size(video_path, picture.id) if "mov" in source.format.name else None
    if size is None and aspect is not None:
        size = fixed_point(float(picture.width * aspect), picture.height)
    if size is not None and any(size[:4]) and any(size[4:]):  # some writers leave zeros
        set_shown_size(written, copied.index(picture.index) + 1, size)


def _stated_aspect(stream: VideoStream) -> Fraction | None:
    """The shape of a pixel where the container states another one than the picture itself does."""
    stated, own = stream.sample_aspect_ratio, stream.codec_context.sample_aspect_ratio
    return stated if stated and stated != (own or 1) else None


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

    def __init__(self, target: OutputContainer, blocks: Iterator[np.ndarray], codec: str, rate: int = ENCODED_RATE,
                 bit_rate: int | None = None) -> None:
        self.target, self.blocks, self.rate = target, blocks, rate
        self.block = next(blocks, None)
        channels = 1 if self.block is None else len(self.block)
        self.layout = "mono" if channels == 1 else "stereo"
        self.stream = cast(AudioStream, target.add_stream(codec, rate=rate, layout=self.layout))
        if codec in _BIT_RATES:
            self.stream.bit_rate = bit_rate or _BIT_RATES[codec] * channels
        self.stream.codec_context.flags |= CodecFlags.bitexact.value
        self.stream.time_base = Fraction(1, rate)
        self.position = 0

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
