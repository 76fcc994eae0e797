"""Decoding the picture packet by packet, with limits: damaged packets are skipped, endless ones refused.

A small file can cause a lot of work: pictures beyond `MAX_PIXELS` (the decoder refuses them before it allocates), far
more pictures than its bytes can hold, or times that jump by years. The limits are well beyond what cameras and encoders
produce; they are checked while decoding, since headers can be wrong.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from ..errors import MediaError
from ..notes import note
from .container import one_line, reading, tagged_duration_s
from .packed import unpacked

_logger = logging.getLogger(__name__)

SEEK_FROM_S = 4.0  # windows that start later are reached by a seek, earlier ones by decoding
MAX_DURATION_S = 4 * 3600.0  # of a clip
MAX_HOLD_S = MAX_DURATION_S  # for which one picture may be shown: slides stand for long
MIN_HOLD_S = 1e-3  # of the last picture; less is not an intended duration
MAX_START_S = 30 * 86400.0  # of the first picture on the file's own clock, either way
FREE_PIXELS = 50e9  # decoded regardless of the size of their file: 100 s of 4K at 60 fps
MAX_PIXELS_PER_BYTE = 250_000  # beyond that; a still picture in 4K, well encoded, comes to 180 000
_WHOLE_FILE = ("matroska", "asf", "flv")  # formats whose headers state one length for all tracks


def timed(
    frames: Iterator[av.VideoFrame], stream: VideoStream, path: Path
) -> Iterator[tuple[float, float, av.VideoFrame]]:
    """(start, duration, frame) in seconds from the first picture; a picture lasts until the next one.

    Raises MediaError for impossible times.
    """
    base = stream.time_base or Fraction(1, 1000)
    usual = _usual_duration(stream)
    first: int | None = None
    held: tuple[int, av.VideoFrame] | None = None  # the frame whose end is still unknown
    for frame in frames:
        if frame.pts is not None:
            ticks = frame.pts
        else:
            ticks = held[0] + max(1, round(usual / base)) if held else 0
        if first is None:
            first = ticks
            if abs(first * base) > MAX_START_S:
                raise MediaError(f"{path}: its clock starts at {float(first * base):.0f} s; export it again")
        if held is not None:
            if ticks <= held[0]:
                continue  # two pictures at one time: the earlier one is kept
            usual = (ticks - held[0]) * base
            yield _checked(held[0] - first, usual, base, path), float(usual), held[1]
        held = (ticks, frame)
    if held is not None and first is not None:
        declared = ((held[1].duration or 0) * base, usual, Fraction(1, 25))
        length = next(one for one in declared if MIN_HOLD_S <= one <= MAX_HOLD_S)
        yield _checked(held[0] - first, length, base, path), float(length), held[1]


def _usual_duration(stream: VideoStream) -> Fraction:
    """The default duration of a picture: a frame at the header's rate if plausible, else 1/25 s."""
    rate = stream.average_rate
    return 1 / rate if rate and 1 / MAX_HOLD_S <= rate <= 1000 else Fraction(1, 25)


def _checked(ticks: int, duration: Fraction, base: Fraction, path: Path) -> float:
    """The time of a frame in seconds. Raises MediaError for a picture shown, or a clip lasting, beyond the limits."""
    start = float(ticks * base)
    if duration > MAX_HOLD_S:
        raise MediaError(
            f"{path}: the picture at {start:.3f} s would be shown for {float(duration):.0f} s (limit {MAX_HOLD_S:.0f} "
            "s); its times are damaged: export it again"
        )
    if start + duration > MAX_DURATION_S:
        raise MediaError(f"{path}: is longer than {MAX_DURATION_S / 3600:.0f} hours; cut it into parts")
    return start


def warn_of_missing_end(container: InputContainer, stream: VideoStream, first_pts_s: float, length_s: float,
                        path: Path) -> None:
    """Warn if the header states more than was decoded: FFmpeg takes some kinds of damage for the end of the file.

    Not an error, since headers can be wrong as well; the picture is what was decoded, here and in the output.
    """
    tagged, whole_file = tagged_duration_s(stream), container.format.name.startswith(_WHOLE_FILE)
    if tagged is not None:
        declared = tagged - first_pts_s
    elif stream.duration is not None and stream.time_base is not None and not whole_file:
        declared = float(stream.duration * stream.time_base)
    elif len(container.streams) == 1:
        declared = (container.duration or 0) / av.time_base - max(first_pts_s, 0.0)
    else:
        return  # the length of the whole file, which sound or subtitles may need
    if declared - length_s > max(0.5, 0.05 * length_s):
        note(_logger, "%s: its picture ends at %.3f s, but its header says %.1f s: the rest is damaged or missing",
             path, length_s, declared)


def decoded(container: InputContainer, stream: VideoStream, path: Path, start_s: float) -> Iterator[av.VideoFrame]:
    """The stream's frames in display order; from `SEEK_FROM_S` on: the first frame, then those around `start_s`."""
    frames = _frames_of_packets(container, stream, path)
    first = next(frames, None)
    if first is None:
        return
    yield first
    seekable = stream.codec_context.name != "mpeg4"  # whose packed pictures are known by the first packet alone
    if seekable and start_s >= SEEK_FROM_S and first.pts is not None and stream.time_base:
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
    """Decode packet by packet. Damaged packets are skipped, as in players, with one warning at the end."""
    size = path.stat().st_size
    damaged, num_packets, pixels = 0, 0, 0  # pixels: of the pictures decoded so far
    for packet in reading(unpacked(container.demux(stream), stream), path):
        num_packets += bool(packet.size)
        try:
            frames = packet.decode()
        except (av.FFmpegError, ValueError, MemoryError) as error:
            damaged += 1
            _logger.debug("%s: packet %s cannot be decoded (%s)", path, packet.pts, one_line(error))
            continue
        for frame in frames:
            pixels += frame.width * frame.height
            if pixels > FREE_PIXELS + MAX_PIXELS_PER_BYTE * size:
                raise MediaError(
                    f"{path}: {size} bytes decode to more than {pixels / 1e9:.0f} billion pixels, which no "
                    "camera produces; if the clip is genuine, encode it again with a shorter key frame interval"
                )
            yield frame
    if damaged and pixels:
        note(_logger, "%s: %d of %d pictures are damaged; the pictures before them are held instead", path, damaged,
             num_packets)
