"""The picture of a soundtrack: a clip, whose packets are copied, or frames in memory, which are encoded."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from ..errors import ConditionError, MediaError
from .decoding import MAX_DURATION_S
from .encode import Encoding, encode_pictures
from .mux import mux
from .video import (
    IN_MEMORY,
    Converter,
    FrameStream,
    OnFraction,
    PixelFormat,
    Shown,
    VideoInfo,
    declared,
    frame_stream,
    probe,
    shown_frames,
)

if TYPE_CHECKING:
    from torch import Tensor

_MARKER_FPS = 25.0  # frames a second of markers where there is no picture
_ONE_FRAME_S = 0.04  # default duration of a single frame


class Picture(ABC):
    """Moving pictures with their times. Seconds count from the first picture."""

    path: Path | None = None  # the file, if it is one
    _info: VideoInfo | None = None

    @property
    def name(self) -> str:
        """Its name in messages."""
        return IN_MEMORY if self.path is None else str(self.path)

    @property
    def known(self) -> VideoInfo | None:
        """The exact length and size, if all of it was read before."""
        return self._info

    @property
    def info(self) -> VideoInfo:
        """The exact length and size; the first call reads all of it. Raises MediaError."""
        if self._info is None:
            self._info = self._probed()
        return self._info

    def iter_frames(self, size: tuple[int, int] | None = None, fps: float | None = None,
                    pixel_format: PixelFormat = "rgb24", start_s: float = 0.0,
                    end_s: float | None = None) -> FrameStream:
        """Stream the frames, see `video.iter_frames`."""
        found: list[VideoInfo] = []
        convert = Converter(self.name, size, pixel_format)
        return frame_stream(self.shown(found, max(start_s, 0.0)), found, convert, fps, start_s, end_s)

    @abstractmethod
    def expected(self) -> VideoInfo | None:
        """Length and size as far as known without reading all of it. Raises MediaError."""

    @abstractmethod
    def shown(self, found: list[VideoInfo], start_s: float = 0.0) -> Generator[Shown]:
        """The frames with their times; `found` gets the exact length once all were read. Raises MediaError."""

    @abstractmethod
    def write(self, sound: np.ndarray | Tensor | Iterable[np.ndarray | Tensor], sample_rate: int,
              target: str | os.PathLike[str], *, keep_sound: bool = False,
              audio_codec: str | None = None, on_progress: OnFraction | None = None) -> Path:
        """Write the picture with `sound` to `target`, atomically; returns that path.

        sound: (C, N) in -1..1, 1 or 2 channels, or an iterable of such blocks; its first sample sounds with the first
            picture. Padded with silence or cut to the picture's length.
        sample_rate: of the sound, Hz.
        keep_sound: keep the picture's own sound, if any; the new one becomes the track after it.
        audio_codec: of the new sound: "aac", "opus", "flac" or "pcm" (24 bits); None: the container's usual one.
        on_progress: receives the finished share; an exception from it ends the work, and nothing is written.

        Raises MediaError.
        """

    @abstractmethod
    def _probed(self) -> VideoInfo:
        """The exact length and size."""


class ClipPicture(Picture):
    """The picture of a video file. Its packets are copied, never re-encoded."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path = Path(path)

    def expected(self) -> VideoInfo | None:
        """See `Picture`; from the file's header."""
        return self._info or declared(self.path)

    def shown(self, found: list[VideoInfo], start_s: float = 0.0) -> Generator[Shown]:
        """See `Picture`."""
        yield from shown_frames(self.path, found, start_s)
        if found:
            self._info = found[0]

    def write(self, sound: np.ndarray | Tensor | Iterable[np.ndarray | Tensor], sample_rate: int,
              target: str | os.PathLike[str], *, keep_sound: bool = False,
              audio_codec: str | None = None, on_progress: OnFraction | None = None) -> Path:
        """See `Picture` and `mux`."""
        return mux(self.path, sound, sample_rate, target, info=self._info, keep_sound=keep_sound,
                   audio_codec=audio_codec, on_progress=on_progress)

    def _probed(self) -> VideoInfo:
        return probe(self.path)


class FramesPicture(Picture):
    """Frames in memory, shown at a constant rate or at given times.

    frames: (F, H, W, 3) RGB or (F, H, W) luma, also (F, 3, H, W): an array, a tensor or a list of pictures; integers
        in 0..255, or floats in 0..1, which are rounded to 8 bits.
    fps: frames a second.
    times_s: instead of `fps`, when each frame appears: F rising seconds, counted from the first; the last frame is
        shown as long as the one before it.

    Raises ConditionError for frames or times of another kind.
    """

    def __init__(self, frames: Any, fps: float | None = None, times_s: Sequence[float] | None = None) -> None:
        self._frames = _pictures(frames)
        self._times, length_s = _times(len(self._frames), fps, times_s)
        self._ends = [*self._times[1:], length_s]
        height, width = self._frames.shape[1:3]
        self._info = VideoInfo(path=None, width=width, height=height, duration_s=length_s, first_pts_s=0.0,
                               num_frames=len(self._frames), fps=len(self._frames) / length_s, has_audio=False,
                               codec="rawvideo")

    def expected(self) -> VideoInfo | None:
        """See `Picture`; exact."""
        return self._info

    def shown(self, found: list[VideoInfo], start_s: float = 0.0) -> Generator[Shown]:
        """See `Picture`."""
        pixels = "rgb24" if self._frames.ndim == 4 else "gray"
        for image, start, end in zip(self._frames, self._times, self._ends):
            yield start, end - start, av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format=pixels)
        found.append(self.info)

    def write(self, sound: np.ndarray | Tensor | Iterable[np.ndarray | Tensor], sample_rate: int,
              target: str | os.PathLike[str], *, keep_sound: bool = False,
              audio_codec: str | None = None, on_progress: OnFraction | None = None) -> Path:
        """See `Picture` and `encode_pictures`. Such frames have no sound of their own to keep."""
        return encode_pictures(self._frames, self._times, self.info.duration_s, target, sound, sample_rate,
                               encoding=Encoding(sound_codec=audio_codec), on_progress=on_progress)

    def _probed(self) -> VideoInfo:
        assert self._info is not None  # known from the start
        return self._info


class NoPicture(Picture):
    """No picture at all, for `duration_s` seconds: sound made from words, or of a system that makes its own picture.

    Raises ConditionError for a length that is not above 0.
    """

    def __init__(self, duration_s: float) -> None:
        if not 0 < duration_s <= MAX_DURATION_S:
            raise ConditionError(f"without a picture, duration_s says how long the sound is: above 0 and up to "
                                 f"{MAX_DURATION_S / 3600:.0f} hours, not {duration_s}.")
        self._info = VideoInfo(path=None, width=0, height=0, duration_s=duration_s, first_pts_s=0.0, num_frames=0,
                               fps=_MARKER_FPS, has_audio=False, codec="none")

    @property
    def name(self) -> str:
        """See `Picture`."""
        return "sound without a picture"

    def expected(self) -> VideoInfo | None:
        """See `Picture`; exact."""
        return self._info

    def shown(self, found: list[VideoInfo], start_s: float = 0.0) -> Generator[Shown]:
        """See `Picture`: nothing is shown."""
        found.append(self.info)
        yield from ()

    def write(self, sound: np.ndarray | Tensor | Iterable[np.ndarray | Tensor], sample_rate: int,
              target: str | os.PathLike[str], *, keep_sound: bool = False,
              audio_codec: str | None = None, on_progress: OnFraction | None = None) -> Path:
        """Raises MediaError: a file of sound alone ends in .wav."""
        raise MediaError(f"{target}: there is no picture to write; end the name in .wav or .flac")

    def _probed(self) -> VideoInfo:
        assert self._info is not None  # known from the start
        return self._info


def open_picture(source: Any, fps: float | None = None, times_s: Sequence[float] | None = None) -> Picture:
    """The picture of a file (a path), of frames in memory (see `FramesPicture`), or a `Picture` itself.

    Raises ConditionError if `fps` or times are given for a source with its own times, and as `FramesPicture`.
    """
    if not isinstance(source, (str, os.PathLike, Picture)):
        return FramesPicture(source, fps, times_s)
    if fps is not None or times_s is not None:
        raise ConditionError("a video file has times of its own; give fps or times for frames in memory only.")
    return source if isinstance(source, Picture) else ClipPicture(source)


def _pictures(frames: Any) -> np.ndarray:
    """(F, H, W, 3) or (F, H, W) uint8. Raises ConditionError."""
    if hasattr(frames, "detach"):
        frames = frames.detach().cpu().numpy()
    try:
        array = np.asarray(frames if isinstance(frames, np.ndarray) else [_picture(one) for one in frames])
    except (TypeError, ValueError) as error:
        raise ConditionError(f"these frames are not pictures of one size ({' '.join(str(error).split())}); "
                             f"{_WANTED}.") from error
    if array.ndim == 4 and array.shape[-1] != 3 and array.shape[1] == 3:
        array = array.transpose(0, 2, 3, 1)
    if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[-1] != 3) or 0 in array.shape:
        raise ConditionError(f"these frames have the shape {array.shape}; {_WANTED}.")
    if array.dtype == np.uint8:
        return array
    floats = np.issubdtype(array.dtype, np.floating)
    if not floats and not np.issubdtype(array.dtype, np.integer):
        raise ConditionError(f"these frames hold {array.dtype}; give integers in 0..255 or floats in 0..1.")
    low, high, most = array.min(), array.max(), 1 if floats else 255
    if not (low >= 0 and high <= most):  # also where NaN
        raise ConditionError(f"these frames hold {'floats' if floats else 'integers'} from {low} to {high}; give "
                             "integers in 0..255 or floats in 0..1.")
    return np.stack([np.rint(image * 255.0) for image in array]).astype(np.uint8) if floats else array.astype(np.uint8)


_WANTED = "give (F, H, W, 3) or (F, H, W), at least one frame"


def _picture(frame: Any) -> np.ndarray:
    """One picture of a list."""
    return np.asarray(frame.detach().cpu() if hasattr(frame, "detach") else frame)


def _times(count: int, fps: float | None, times_s: Sequence[float] | None) -> tuple[list[float], float]:
    """When each frame appears, and the total length, in seconds. Raises ConditionError."""
    if (fps is None) == (times_s is None):
        raise ConditionError("frames in memory need either fps or the times at which they appear.")
    if times_s is None:
        if fps is None or not 0.1 <= fps <= 1000:
            raise ConditionError(f"{fps} frames a second; give a number from 0.1 to 1000.")
        times, length_s = [k / fps for k in range(count)], count / fps
    else:
        given = np.asarray(times_s, dtype=np.float64)
        if given.shape != (count,) or not np.isfinite(given).all() or (np.diff(given) <= 0).any():
            raise ConditionError(f"{count} frames need {count} rising times in seconds, one for each.")
        times = (given - given[0]).tolist()
        length_s = times[-1] + (times[-1] - times[-2] if count > 1 else _ONE_FRAME_S)
    if length_s > MAX_DURATION_S:
        raise ConditionError(f"these frames last {length_s:.0f} s; the limit is {MAX_DURATION_S / 3600:.0f} hours; "
                             "give the times in seconds.")
    return times, length_s
