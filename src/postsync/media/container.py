"""Opening media files: every defect of a file becomes a one-line error that says what to do."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from ..errors import MediaError

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg",
                            ".wmv", ".flv", ".3gp", ".ogv"})
AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".aif", ".aiff"})
MAX_PIXELS = 8192 * 4608  # of one picture: 8K and a little more; the decoder refuses larger ones before it allocates
_PLAYLISTS = ("hls", "dash", "concat", "sdp", "rtsp")  # they point to other files and addresses
_STILL_FORMATS = ("image2", "tty", "_pipe")  # FFmpeg reads pictures and plain text as one-frame "videos"
_STILL_CODECS = ("mjpeg", "png", "bmp", "webp", "tiff", "gif")  # of cover pictures; also of some videos
_CONTENT_BOXES = (b"ftyp", b"moov", b"mdat", b"moof")  # without the whole of them a file is cut short
_COVER = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
# No media file may cause another file or address to be read.
_OPTIONS = {"protocol_whitelist": "file", "max_pixels": str(MAX_PIXELS)}
Item = TypeVar("Item")


def one_line(error: BaseException) -> str:
    """The error's own words on one line, without the path, which the messages already name."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())


@contextlib.contextmanager
def open_media(path: str | os.PathLike[str]) -> Iterator[InputContainer]:
    """Open a media file for reading.

    Raises MediaError when it is missing, a folder, empty, unreadable, truncated, or not media.
    """
    path = Path(path)
    check_readable(path)
    try:
        # An absolute path keeps names such as "a:b.mp4" from being read as a protocol.
        container = av.open(os.path.abspath(path), "r", options=_OPTIONS, metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
        if is_truncated(path):
            raise truncated(path) from error
        raise MediaError(
            f"{path}: not a readable media file ({one_line(error)}); it may be damaged, cut short or of another kind: "
            "play it in a video player, or download or export it again"
        ) from error
    with container:
        if container.format.name in _PLAYLISTS:
            raise MediaError(f"{path}: a playlist, which names other files; give the video itself")
        yield container


def reading(items: Iterable[Item], path: str | os.PathLike[str]) -> Iterator[Item]:
    """`items`, read from the media file `path`; FFmpeg's errors become a MediaError."""
    iterator = iter(items)
    while True:
        try:
            item = next(iterator)
        except StopIteration:
            return
        except (av.FFmpegError, ValueError, OverflowError, MemoryError) as error:
            raise MediaError(
                f"{path}: damaged, cannot be read to its end ({one_line(error)}); copy, download or export it again"
            ) from error
        yield item


def check_readable(path: Path) -> None:
    """Raise MediaError unless `path` is a readable, non-empty file."""
    try:
        path.stat()
    except FileNotFoundError as error:
        raise MediaError(f"{path}: no such file; check the name and the folder") from error
    except (OSError, ValueError) as error:  # a name too long, a file where a folder should be, a circle of links
        raise MediaError(f"{path}: no such file ({one_line(error)}); check the name and the folder") from error
    if path.is_dir():
        raise MediaError(f"{path}: is a folder, not a file; name a file inside it")
    if not path.is_file():
        raise MediaError(f"{path}: a pipe or device, not a file; save it to a file first")
    if not os.access(path, os.R_OK):
        raise MediaError(f"{path}: no permission to read it; change its permissions or copy it")
    if path.stat().st_size == 0:
        raise MediaError(f"{path}: the file is empty (0 bytes); download or export it again")


def sha256_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content, hexadecimal. Raises MediaError where it cannot be read."""
    check_readable(Path(path))
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MediaError(f"{path}: could not be read ({one_line(error)}); check the disk, or copy the file") from error


def picture_stream(container: InputContainer, path: str | os.PathLike[str]) -> VideoStream:
    """The first real video stream; cover art and thumbnails are skipped. Raises MediaError if there is none."""
    if container.format.name.endswith(_STILL_FORMATS):
        raise MediaError(f"{path}: a still picture or text, not a video; give an mp4, mov, mkv, webm or avi file")
    for stream in container.streams.video:
        if _is_cover(stream, len(container.streams)):
            continue
        if stream.codec_context is None:
            raise MediaError(f"{path}: no decoder for its picture; convert it to H.264 first")
        stream.codec_context.options = {"max_pixels": _OPTIONS["max_pixels"]}
        return stream
    if container.streams.audio:
        raise MediaError(f"{path}: has sound but no moving picture; give a video file")
    raise MediaError(f"{path}: not a video; give an mp4, mov, mkv, webm or avi file")


def sound_stream(container: InputContainer, path: str | os.PathLike[str]) -> AudioStream | None:
    """The first sound track with a decoder and at least one packet; None if there is none.

    The packets are read from a second opening of the file, so that `container` stays where it is.
    """
    tracks = [stream for stream in container.streams.audio if stream.codec_context is not None]
    if not tracks:
        return None
    with open_media(path) as again:
        filled: set[int] = set()
        for packet in reading(again.demux([again.streams[track.index] for track in tracks]), path):
            if packet.size:
                filled.add(packet.stream_index)
            if tracks[0].index in filled or len(filled) == len(tracks):
                break
    return next((track for track in tracks if track.index in filled), None)


def _is_cover(stream: VideoStream, num_streams: int) -> bool:
    """Whether a stream is one picture beside the others: it is flagged so, or a still picture of some writers."""
    if stream.disposition & _COVER:
        return True
    if num_streams == 1 or stream.codec_context is None or stream.codec_context.name not in _STILL_CODECS:
        return False
    tags = {key.upper(): value for key, value in stream.metadata.items()}  # NUMBER_OF_FRAMES: mkvmerge's
    length_s, rate = tagged_duration_s(stream), stream.average_rate
    return (stream.frames == 1 or tags.get("NUMBER_OF_FRAMES") == "1" or not rate
            or (length_s is not None and length_s * rate < 1.5))


def tagged_duration_s(stream: Stream) -> float | None:
    """The end of a stream by its DURATION tag (mkv, webm: 00:00:03.000000000), seconds on the file's clock."""
    tags = (value for key, value in stream.metadata.items() if key.upper().split("-")[0] == "DURATION")
    found = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", next(tags, "").strip("\0 "))
    if found is None:
        return None
    hours, minutes, seconds = found.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def truncated(path: str | os.PathLike[str]) -> MediaError:
    """The error for a file that is shorter than its header states."""
    return MediaError(f"{path}: the file is cut short (its end is missing); copy, download or export it again")


def is_truncated(path: Path) -> bool:
    """Whether the outermost boxes (mp4, mov), segment (mkv, webm) or RIFF chunk (avi) reach past the end of the file.

    An mp4 without any `moov` box, as an interrupted recording leaves it, counts as truncated too.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(256)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            return _mp4_end(file, size) > size
        if head[:4] == b"\x1aE\xdf\xa3":
            return _matroska_end(head) > size
        if head[:4] == b"RIFF":
            length = int.from_bytes(head[4:8], "little")
            return size < 8 + length < 2**32
    return False


def _mp4_end(file: BinaryIO, size: int) -> int:
    """The end of the last top-level box by its header; past the file's end if `moov` is missing (ISO 14496-12, 4.2).

    What follows the last box is no box, whatever it says: cameras append data of their own.
    """
    position, has_index = 0, False
    while position + 8 <= size:
        file.seek(position)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        elif length == 0:  # the box runs to the end of the file
            length = size - position
        if length < 8:  # not a box: padding after the last one
            break
        if position + length > size and header[4:8] not in _CONTENT_BOXES:
            break
        has_index |= header[4:8] == b"moov"
        position += length
    return position if has_index else size + 1


def _matroska_end(head: bytes) -> int:
    """The end of the segment by its header; 0 if its length is unknown, as in live recordings (RFC 8794, section 4)."""

    def length_at(position: int) -> tuple[int, int]:
        width = 9 - head[position].bit_length()
        value = int.from_bytes(head[position : position + width], "big") & ((1 << 7 * width) - 1)
        return (0 if value == (1 << 7 * width) - 1 else value), position + width

    if len(head) < 16:
        return 0
    header_length, position = length_at(4)
    segment = position + header_length
    if segment + 12 > len(head) or head[segment : segment + 4] != b"\x18\x53\x80\x67":
        return 0
    length, start = length_at(segment + 4)
    return start + length if length else 0
