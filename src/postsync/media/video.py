"""The picture of a video file, streamed: frames by their timestamps, upright, of any size and pixel format.

Times are in seconds from the first picture. Length of a clip = last decoded frame's time + its duration - first
frame's time; header values are not trusted (variable rates, edit lists and webm report wrong ones).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import av
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from ..errors import MediaError
from .container import MAX_PIXELS, is_truncated, one_line, open_media, picture_stream, reading, sound_stream, truncated
from .decoding import MIN_HOLD_S, SEEK_FROM_S, decoded, timed, warn_of_missing_end

PixelFormat = Literal["rgb24", "gray"]
OnFraction = Callable[[float], None]  # receives the finished share, 0..1; may raise to stop the work
IN_MEMORY = "the frames given"  # name of frames in memory in messages


@dataclass(frozen=True)
class VideoInfo:
    """Facts about a video, known after all its frames were decoded."""

    path: Path | None  # None: frames in memory
    width: int  # pixels, after rotation
    height: int
    duration_s: float  # last frame's time + its duration - first frame's time
    first_pts_s: float  # the first picture's time on the file's own clock
    num_frames: int
    fps: float  # num_frames / duration_s, the true average
    has_audio: bool
    codec: str

    @property
    def name(self) -> str:
        """The video's name in messages."""
        return IN_MEMORY if self.path is None else str(self.path)


@dataclass(frozen=True)
class Frame:
    """One picture: `image` (H, W, 3) or (H, W) uint8, shown from `time_s` for `duration_s` seconds."""

    time_s: float
    duration_s: float
    image: np.ndarray


class FrameStream(Iterator[Frame]):
    """Frames of a video, decoded while they are iterated; `info` is available once all have been read."""

    def __init__(self, frames: Iterator[Frame], found: list[VideoInfo], name: str) -> None:
        self._frames, self._found, self._name = frames, found, name

    def __next__(self) -> Frame:
        return next(self._frames)

    @property
    def info(self) -> VideoInfo:
        """The video's exact length and size. Raises MediaError before the stream has been read to the video's end."""
        if not self._found:
            raise MediaError(f"{self._name}: its length is known only after all frames were read; call probe() instead")
        return self._found[0]


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """Decode the whole video once, without converting pictures, and return its facts. Raises MediaError."""
    found: list[VideoInfo] = []
    for _ in shown_frames(Path(path), found):
        pass
    return found[0]


def iter_frames(
    path: str | os.PathLike[str],
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    pixel_format: PixelFormat = "rgb24",
    start_s: float = 0.0,
    end_s: float | None = None,
    short_side: int | None = None,
) -> FrameStream:
    """Stream the frames of the first video track.

    Args:
        size: (width, height) of the images; None keeps the upright picture's own.
        fps: None gives every frame at its own time; otherwise the picture shown at start_s + k / fps (sample and hold).
        pixel_format: "rgb24" gives images (H, W, 3), "gray" (H, W).
        start_s, end_s: only frames (or sample times) with start_s <= time < end_s, seconds from the first picture.
        short_side: where `size` is None, larger pictures are scaled down to this short side, keeping the aspect ratio.

    Raises MediaError (while iterating) for a file that is missing, truncated, not a video or has no decodable frame.
    """
    path, found = Path(path), list[VideoInfo]()
    convert = Converter(str(path), size, pixel_format, short_side)
    return frame_stream(shown_frames(path, found, max(start_s, 0.0)), found, convert, fps, start_s, end_s)


Shown = tuple[float, float, av.VideoFrame]  # start and duration in seconds from the first picture


def frame_stream(shown: Iterator[Shown], found: list[VideoInfo], convert: Converter, fps: float | None, start_s: float,
                 end_s: float | None) -> FrameStream:
    """The frames of `shown`, which fills `found` at its end, in the form of `iter_frames`."""
    if fps is not None and not fps > 0:
        raise ValueError(f"fps must be positive, not {fps}")
    end = math.inf if end_s is None else end_s
    frames = _native(shown, convert, start_s, end) if fps is None else _held(shown, convert, fps, start_s, end)
    return FrameStream(frames, found, convert.name)


def _native(shown: Iterator[Shown], convert: Converter, start_s: float, end_s: float) -> Iterator[Frame]:
    for time, duration, frame in shown:
        if time >= end_s:
            return
        if time >= start_s:
            yield Frame(time, duration, convert(frame))


def _held(shown: Iterator[Shown], convert: Converter, fps: float, start_s: float, end_s: float) -> Iterator[Frame]:
    """Sample and hold. A frame counts as reached up to a millisecond early: mkv and webm round times to that."""
    step = 0
    for time, duration, frame in shown:
        image = None
        slack = min(hold_slack(fps), 0.25 * duration)
        while (at := start_s + step / fps) < time + duration - slack:
            if at >= end_s - 1e-9:
                return
            if image is None:
                image = convert(frame)
            yield Frame(at, 1.0 / fps, image)
            step += 1


def hold_slack(fps: float) -> float:
    """By how many seconds before its time a picture counts as reached, where `fps` pictures a second are held."""
    return min(1e-3, 0.25 / fps)


class Converter:
    """Decoded frame -> upright image of the wanted size. One scaler is kept for the whole stream."""

    def __init__(self, name: str, size: tuple[int, int] | None, pixel_format: PixelFormat,
                 short_side: int | None = None) -> None:
        self.name, self.size, self.pixel_format, self.scaler = name, size, pixel_format, VideoReformatter()
        self.short_side = short_side
        self._rotation: int | None = None
        self._orientation = (False, False, False)

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        if frame.rotation != self._rotation:  # asked for once: a frame whose side data was read is freed by the
            self._rotation, self._orientation = frame.rotation, _orientation(frame)  # cycle collector, much later
        swap, flip_x, flip_y = self._orientation
        width, height = (frame.height, frame.width) if swap else (frame.width, frame.height)
        if self.size is not None:
            width, height = self.size
        elif self.short_side is not None and min(width, height) > self.short_side:
            scale = self.short_side / min(width, height)
            width, height = round(width * scale), round(height * scale)
        stored = (height, width) if swap else (width, height)
        smaller = stored[0] * stored[1] < frame.width * frame.height
        try:
            scaled = self.scaler.reformat(
                frame, *stored, format=self.pixel_format, interpolation="AREA" if smaller else "BICUBIC", threads=1
            )
            image = scaled.to_ndarray()
        except (av.FFmpegError, ValueError, MemoryError) as error:
            raise MediaError(
                f"{self.name}: a picture of {frame.width} x {frame.height} in '{frame.format.name}' cannot be "
                f"converted ({one_line(error)}); convert the clip to H.264 first"
            ) from error
        image = image.swapaxes(0, 1) if swap else image
        return np.ascontiguousarray(image[:: -1 if flip_y else 1, :: -1 if flip_x else 1])


def _orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """(swap rows and columns, then mirror x, then mirror y) from the display matrix; all eight orientations."""
    side_data = cast("Iterable[SideData]", frame.side_data)  # PyAV's stub calls it a dictionary
    matrix = next((data for data in side_data if data.type is SideDataType.DISPLAYMATRIX), None)
    if matrix is None or len(bytes(matrix)) < 36:
        return False, False, False
    # x' = a x + c y, y' = b x + d y, stored row by row as (a, b, u, c, d, v, ...).
    a, b, _, c, d = np.frombuffer(bytes(matrix), dtype=np.int32)[:5].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, a < 0, d < 0
    return True, c < 0, b < 0


def shown_frames(path: Path, found: list[VideoInfo], start_s: float = 0.0) -> Iterator[Shown]:
    """Each decoded frame with its time and true display duration; fills `found` once all frames were read.

    With a late start the frames after the first begin at or before `start_s`: the sample and hold needs those before.
    """
    with _opened(path) as (container, stream):
        stream.thread_type = "AUTO"
        count, last, first_pts_s = 0, None, 0.0
        for time, duration, frame in timed(decoded(container, stream, path, start_s), stream, path):
            if last is None and frame.pts is not None and stream.time_base is not None:
                first_pts_s = float(frame.pts * stream.time_base)
            count, last = count + 1, (time, duration, frame)
            yield last
        if last is None:
            raise MediaError(
                f"{path}: not one frame could be decoded: it is damaged, or larger than {MAX_PIXELS / 1e6:.1f} million "
                "pixels a picture; play it in a video player, or export it again"
            )
        if start_s < SEEK_FROM_S:
            time, duration, frame = last
            warn_of_missing_end(container, stream, first_pts_s, time + duration, path)
            width, height = (frame.height, frame.width) if _orientation(frame)[0] else (frame.width, frame.height)
            found.append(
                VideoInfo(
                    path=path,
                    width=width,
                    height=height,
                    duration_s=time + duration,
                    first_pts_s=first_pts_s,
                    num_frames=count,
                    fps=count / (time + duration),
                    has_audio=sound_stream(container, path) is not None,
                    codec=stream.codec_context.name,
                )
            )


def declared(path: str | os.PathLike[str]) -> VideoInfo | None:
    """The declared facts about a file's picture, without decoding it: usually right, but unreliable.

    From its header if that has length and number of pictures (mp4, mov), else from its packets, which are read through.
    None if neither has them. Raises MediaError.
    """
    path = Path(path)
    with _opened(path) as (container, stream):
        base = float(stream.time_base or 0)
        count, length_s = stream.frames, (stream.duration or 0) * base
        if not (count and length_s):
            count, length_s = _packets_of(container, stream, base, path)
        if count <= 0 or not 0 < length_s < math.inf:
            return None
        return VideoInfo(path, stream.width, stream.height, length_s, float(stream.start_time or 0) * base, count,
                         count / length_s, sound_stream(container, path) is not None, stream.codec_context.name)


def _packets_of(container: InputContainer, stream: VideoStream, base: float, path: Path) -> tuple[int, float]:
    """Number of the packets that are pictures, and the seconds from the start of the first to the end of the last."""
    usual = float(1 / stream.average_rate) if stream.average_rate else 0.04
    shown: list[tuple[float, float]] = []  # start and duration
    for packet in reading(container.demux(stream), path):
        ticks = packet.pts if packet.pts is not None else packet.dts
        if packet.size and not packet.is_discard:
            start = usual * len(shown) if ticks is None else ticks * base
            shown.append((start, (packet.duration or 0) * base))
    shown.sort()
    if len(shown) < 2:
        return len(shown), max([duration or usual for _, duration in shown], default=0.0)
    (before, _), (last, length) = shown[-2:]
    return len(shown), last + (length if length > MIN_HOLD_S else last - before) - shown[0][0]


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The file and its picture. Raises MediaError, also for a file that is cut short."""
    with open_media(path) as container:
        if is_truncated(path):
            raise truncated(path)
        yield container, picture_stream(container, path)
