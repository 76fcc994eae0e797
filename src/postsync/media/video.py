"""The picture of a video file, streamed: frames by their timestamps, upright, of any size and pixel format.

Times are in seconds from the first picture. Length of a clip = last decoded frame's time + its duration - first
frame's time; header values are not trusted (variable rates, edit lists and webm report wrong ones).
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, cast

import av
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from postsync.errors import MediaError
from postsync.media.container import is_truncated, one_line, open_media, picture_stream, truncated

_logger = logging.getLogger(__name__)
PixelFormat = Literal["rgb24", "gray"]
_SEEK_FROM_S = 4.0  # windows that start later are reached by a seek, earlier ones by decoding


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video after all its frames were decoded."""

    path: Path
    width: int  # pixels, after rotation
    height: int
    duration_s: float  # last frame's time + its duration - first frame's time
    first_pts_s: float  # the first picture's time on the file's own clock
    num_frames: int
    fps: float  # num_frames / duration_s, the true average
    has_audio: bool
    codec: str

    @property
    def suffix(self) -> str:
        """The file's suffix in lower case, such as ".mp4"."""
        return self.path.suffix.lower()


@dataclass(frozen=True)
class Frame:
    """One picture: `image` (H, W, 3) or (H, W) uint8, shown from `time_s` for `duration_s` seconds."""

    time_s: float
    duration_s: float
    image: np.ndarray


class FrameStream(Iterator[Frame]):
    """Frames of a file, decoded while they are iterated; `info` is there once all have been read."""

    def __init__(self, frames: Iterator[Frame], found: list[VideoInfo], path: Path) -> None:
        self._frames, self._found, self._path = frames, found, path

    def __next__(self) -> Frame:
        return next(self._frames)

    @property
    def info(self) -> VideoInfo:
        """The video's exact length and size. Raises MediaError before the stream was read to the video's end."""
        if not self._found:
            raise MediaError(f"{self._path}: its length is known only after all frames were read; call probe() instead")
        return self._found[0]


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """Decode the whole video once, without converting a picture, and say what it is. Raises MediaError."""
    found: list[VideoInfo] = []
    for _ in _shown(Path(path), found, 0.0):
        pass
    return found[0]


def iter_frames(
    path: str | os.PathLike[str],
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    pixel_format: PixelFormat = "rgb24",
    start_s: float = 0.0,
    end_s: float | None = None,
) -> FrameStream:
    """Stream the frames of the first video track.

    Args:
        size: (width, height) of the images; None keeps the upright picture's own.
        fps: None gives every frame at its own time; else the picture shown at start_s + k / fps (sample and hold).
        pixel_format: "rgb24" gives images (H, W, 3), "gray" (H, W).
        start_s, end_s: only frames (or sample times) with start_s <= time < end_s, seconds from the first picture.

    Raises MediaError (while iterating) for a file that is missing, truncated, not a video or has no decodable frame.
    """
    if fps is not None and not fps > 0:
        raise ValueError(f"fps must be positive, not {fps}")
    path = Path(path)
    found: list[VideoInfo] = []
    shown = _shown(path, found, max(start_s, 0.0))
    convert = _Converter(size, pixel_format)
    end = math.inf if end_s is None else end_s
    frames = _native(shown, convert, start_s, end) if fps is None else _held(shown, convert, fps, start_s, end)
    return FrameStream(frames, found, path)


def read_frames(path: str | os.PathLike[str], num_frames: int, size: tuple[int, int]) -> np.ndarray:
    """`num_frames` pictures spread evenly over the video by time, (num_frames, H, W, 3) uint8 RGB. Reads it twice.

    GRAM's test rule: F slots are split as by `numpy.array_split`, element (len + 1) // 2 - 1 of each part is taken.
    A slot lasts 1/F of the video and shows the picture at its middle, which is frame i itself at a constant rate.
    With more frames asked for than there are, pictures repeat.
    """
    info = probe(path)
    slots = np.arange(max(info.num_frames, num_frames))
    parts = np.array_split(slots, num_frames)
    times = [(part[(len(part) + 1) // 2 - 1] + 0.5) * info.duration_s / len(slots) for part in parts]
    convert = _Converter(size, "rgb24")
    images: list[np.ndarray] = []
    for start, duration, frame in _shown(Path(path), [], 0.0):
        while len(images) < num_frames and times[len(images)] < start + duration:
            images.append(convert(frame))
    images.extend(images[-1:] * (num_frames - len(images)))
    return np.stack(images)


Shown = tuple[float, float, av.VideoFrame]  # start and duration in seconds from the first picture


def _native(shown: Iterator[Shown], convert: _Converter, start_s: float, end_s: float) -> Iterator[Frame]:
    for time, duration, frame in shown:
        if time >= end_s:
            return
        if time >= start_s:
            yield Frame(time, duration, convert(frame))


def _held(shown: Iterator[Shown], convert: _Converter, fps: float, start_s: float, end_s: float) -> Iterator[Frame]:
    """Sample and hold. A frame counts as reached up to a millisecond early: mkv and webm round times to that."""
    step = 0
    for time, duration, frame in shown:
        image = None
        slack = min(1e-3, 0.25 / fps, 0.25 * duration)
        while (at := start_s + step / fps) < time + duration - slack:
            if at >= end_s - 1e-9:
                return
            if image is None:
                image = convert(frame)
            yield Frame(at, 1.0 / fps, image)
            step += 1


class _Converter:
    """Decoded frame -> upright image of the wished size. One scaler is kept for the whole stream."""

    def __init__(self, size: tuple[int, int] | None, pixel_format: PixelFormat) -> None:
        self.size, self.pixel_format, self.scaler = size, pixel_format, VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        swap, flip_x, flip_y = _orientation(frame)
        width, height = (frame.height, frame.width) if swap else (frame.width, frame.height)
        if self.size is not None:
            width, height = self.size
        stored = (height, width) if swap else (width, height)
        smaller = stored[0] * stored[1] < frame.width * frame.height
        scaled = self.scaler.reformat(
            frame, *stored, format=self.pixel_format, interpolation="AREA" if smaller else "BICUBIC", threads=1
        )
        image = scaled.to_ndarray()
        image = image.swapaxes(0, 1) if swap else image
        return np.ascontiguousarray(image[:: -1 if flip_y else 1, :: -1 if flip_x else 1])


def _orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """(swap rows and columns, then mirror x, then mirror y) from the display matrix; all eight orientations."""
    side_data = cast("Iterable[SideData]", frame.side_data)  # PyAV's stub calls it a dictionary
    matrix = next((data for data in side_data if data.type is SideDataType.DISPLAYMATRIX), None)
    if matrix is None:
        return False, False, False
    # x' = a x + c y, y' = b x + d y, stored row by row as (a, b, u, c, d, v, ...).
    a, b, _, c, d = np.frombuffer(bytes(matrix), dtype=np.int32)[:5].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, a < 0, d < 0
    return True, c < 0, b < 0


def _shown(path: Path, found: list[VideoInfo], start_s: float) -> Iterator[Shown]:
    """Each decoded frame with its time and how long it is really shown; fills `found` where all frames were read.

    With a late start the frames after the first begin at or before `start_s`: those before are needed to hold.
    """
    if path.is_file() and is_truncated(path):
        raise truncated(path)
    with open_media(path) as container:
        stream = picture_stream(container, path)
        stream.thread_type = "AUTO"
        base = stream.time_base or Fraction(1, 1000)
        usual = 1 / stream.average_rate if stream.average_rate else Fraction(1, 25)
        first: int | None = None
        count = 0
        held: tuple[int, av.VideoFrame] | None = None  # the frame whose end is still unknown
        for frame in _decoded(container, stream, path, start_s):
            if frame.pts is not None:
                ticks = frame.pts
            else:
                ticks = held[0] + max(1, round(usual / base)) if held else 0
            first = ticks if first is None else first
            if held is not None:
                if ticks <= held[0]:
                    continue  # two pictures for one moment: the earlier one stays
                usual = (ticks - held[0]) * base
                yield float((held[0] - first) * base), float(usual), held[1]
            held = (ticks, frame)
            count += 1
        if held is None or first is None:
            raise MediaError(f"{path}: not one frame could be decoded; play it in a video player, or export it again")
        last, start = held[1], (held[0] - first) * base
        length = start + (last.duration * base or usual)
        yield float(start), float(length - start), last
        if start_s < _SEEK_FROM_S:
            width, height = (last.height, last.width) if _orientation(last)[0] else (last.width, last.height)
            found.append(
                VideoInfo(
                    path=path,
                    width=width,
                    height=height,
                    duration_s=float(length),
                    first_pts_s=float(first * base),
                    num_frames=count,
                    fps=float(count / length),
                    has_audio=bool(container.streams.audio),
                    codec=stream.codec_context.name,
                )
            )


def _decoded(container: InputContainer, stream: VideoStream, path: Path, start_s: float) -> Iterator[av.VideoFrame]:
    """The stream's frames in display order; from `_SEEK_FROM_S` on: the first frame, then those around `start_s`."""
    frames = _frames_of_packets(container, stream, path)
    first = next(frames, None)
    if first is None:
        return
    yield first
    if start_s >= _SEEK_FROM_S and first.pts is not None and stream.time_base:
        target = first.pts + math.floor(start_s / stream.time_base)
        try:
            container.seek(target, stream=stream)
            frames = _frames_of_packets(container, stream, path)
            landed = next(frames, None)
            if landed is None or landed.pts is None or landed.pts > target:  # no usable index: read from the start
                container.seek(first.pts, stream=stream)
                frames = _frames_of_packets(container, stream, path)
            else:
                yield landed
        except av.FFmpegError as error:
            _logger.debug("%s: cannot seek (%s), reading from the start", path, one_line(error))
    yield from frames


def _frames_of_packets(container: InputContainer, stream: VideoStream, path: Path) -> Iterator[av.VideoFrame]:
    """Decode packet by packet; a damaged packet is passed over with a warning, as players do."""
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError as error:
            _logger.warning("%s: passed over a damaged picture at packet %s (%s)", path, packet.pts, one_line(error))
            continue
        yield from frames
