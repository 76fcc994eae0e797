"""A clip of an evaluation: decoded once, every resampling and every network once, when a metric first needs it.

Sound is decoded at the file's own rate, pictures at their own times; a thread decodes the next clips while the networks
work on this one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import gcd
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..errors import MediaError
from ..features.resampling import kaiser_resample, sinc_resample
from ..features.resize import resize_pictures, short_side_size
from ..media.audio import audio_blocks, resample
from ..media.video import iter_frames
from ..protocols.clip import Event
from .networks import Networks, Resampler
from .sides import Absent, ClipFiles, Skipped

SHORT_SIDE = 256  # pixels, to which the pictures of a large clip are scaled
LARGE = 2**28  # bytes; the pictures of a clip that takes more do not stay at their own size
SHORTEST_S = 0.01  # sound shorter than one frame of analysis cannot be measured
SILENT_PEAK = 1e-4  # -80 dB full scale
AHEAD = 2  # clips decoded ahead
MAX_PHASES = 2000  # of torchaudio's resampler, whose filters grow with their square; 44.1 to 48 kHz has 160
Item = TypeVar("Item")
Loaded = TypeVar("Loaded")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Decoded:
    """The decoded files of one clip; `problems` say why a part of it is missing."""

    files: ClipFiles
    waveform: Tensor | None  # (C, N) float32
    sample_rate: int
    frames: Tensor | None  # (F, 3, H, W) uint8 RGB, upright
    times: Tensor | None  # (F,) float64 seconds, from the start of the clip
    picture_s: float = 0.0  # length of the picture
    problems: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        """Seconds of sound, or of picture without sound."""
        return self.picture_s if self.waveform is None else self.waveform.shape[1] / self.sample_rate

    @property
    def silent(self) -> bool:
        """Whether the sound track is all silence."""
        return self.waveform is not None and float(self.waveform.abs().max()) < SILENT_PEAK


def decode(files: ClipFiles, duration_s: float, picture_s: float) -> Decoded:
    """The first `duration_s` seconds of a clip's sound and the first `picture_s` of its picture (0: none of it).

    Parts that are unreadable, empty, without sound or not finite are skipped and named in `problems`; nothing is
    raised.
    """
    last_s = files.end_s if files.end_s is not None else np.inf
    waveform, rate, frames, times, length_s, problems = None, 0, None, None, 0.0, []
    try:
        waveform, rate = _sound(files, min(last_s, files.start_s + duration_s))
    except MediaError as error:
        problems.append(str(error).removeprefix(f"{files.file}: "))
    if picture_s and files.picture is not None:
        try:
            frames, times, length_s = _picture(files, min(last_s, files.start_s + picture_s))
        except MediaError as error:
            problems.append(str(error).removeprefix(f"{files.picture}: "))
    return Decoded(files, waveform, rate, frames, times, length_s, tuple(dict.fromkeys(problems)))


def _sound(files: ClipFiles, end_s: float) -> tuple[Tensor, int]:
    if files.sound is None:
        raise MediaError(f"{files.file}: has no sound track of its own")
    rate, blocks = audio_blocks(files.sound, from_picture=files.sound == files.picture)
    first, last = round(files.start_s * rate), round(end_s * rate)
    pieces, position = [], 0
    for block in blocks:
        pieces.append(block[:, max(0, first - position):last - position])
        position += block.shape[1]
        if position >= last:
            break
    waveform = np.concatenate(pieces, axis=1) if pieces else np.zeros((1, 0), np.float32)
    if waveform.shape[1] == 0:
        raise MediaError(f"{files.sound}: its sound track is empty")
    broken = int((~np.isfinite(waveform)).any(0).sum())
    if broken:
        raise MediaError(f"{files.sound}: {broken} of {waveform.shape[1]} samples are NaN or infinite")
    if waveform.shape[1] < SHORTEST_S * rate:
        raise MediaError(f"{files.sound}: its sound is {waveform.shape[1]} samples long, less than "
                         f"{SHORTEST_S * 1000:g} ms; too short to be measured")
    return torch.from_numpy(np.ascontiguousarray(waveform, dtype=np.float32)), rate


def _picture(files: ClipFiles, end_s: float) -> tuple[Tensor, Tensor, float]:
    images, times, shown_s, size, large = list[Tensor](), [], 0.0, 0, False
    assert files.picture is not None
    for frame in iter_frames(files.picture, start_s=files.start_s, end_s=end_s):
        image = torch.from_numpy(frame.image).permute(2, 0, 1)
        size += image.nbytes
        if size > LARGE and not large:
            images, large = [_smaller(one) for one in images], True
        images.append(_smaller(image) if large else image)
        times.append(frame.time_s - files.start_s)
        shown_s = frame.duration_s
    if not images:
        raise MediaError(f"{files.picture}: no picture between {files.start_s:g} and {end_s:g} s")
    frames = torch.stack(images)
    length = min(times[-1] + shown_s, end_s - files.start_s)
    return frames, torch.tensor(times, dtype=torch.float64), length


def _smaller(image: Tensor) -> Tensor:
    """uint8 (3, H, W) with its shorter side at `SHORT_SIDE`, as Pillow's antialiased bilinear; smaller ones as they
    are."""
    height, width = image.shape[1:]
    if min(height, width) <= SHORT_SIDE:
        return image
    return resize_pictures(image[None], short_side_size(height, width, SHORT_SIDE))[0]


def prefetch(load: Callable[[Item], Loaded], items: Iterable[Item], count: int = AHEAD) -> Iterator[Loaded]:
    """`load(item)` of every item, in order, computed in a thread up to `count` items ahead.

    Whatever `load` raises is raised here, at its item.
    """
    waiting: deque[Future[Loaded]] = deque()
    with ThreadPoolExecutor(1, "decoding") as thread:
        try:
            for item in items:
                waiting.append(thread.submit(load, item))
                if len(waiting) > count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


class Observation:
    """One decoded file, its first `duration_s` seconds."""

    def __init__(self, decoded: Decoded, networks: Networks, duration_s: float) -> None:
        self.decoded, self.networks = decoded, networks
        self.duration_s = min(duration_s, decoded.duration_s)
        self._known: dict[object, Any] = {}

    def cached(self, key: object, compute: Callable[[], Value]) -> Value:
        """`compute()`, cached under `key` while the clip is measured."""
        if key not in self._known:
            self._known[key] = compute()
        return self._known[key]

    def sound(self, sample_rate: int, resampler: Resampler = "soxr") -> Tensor:
        """(N,) float32, the mean of the channels: soxr (HQ), or torchaudio's sinc or long Kaiser window, with which
        published networks were evaluated. Raises Absent where there is none, Skipped for a rate those cannot convert.
        """
        return self.cached(("sound", sample_rate, resampler), partial(self._sound, sample_rate, resampler))

    def channels(self) -> tuple[Tensor, int]:
        """(C, N) float32 as the file has it, and its sample rate. Raises Absent where there is none."""
        if self.decoded.waveform is None:
            raise Absent("; ".join(self.decoded.problems))
        return self.decoded.waveform[:, :round(self.duration_s * self.decoded.sample_rate)], self.decoded.sample_rate

    def _sound(self, sample_rate: int, resampler: Resampler) -> Tensor:
        waveform, rate = self.channels()
        mono = waveform.mean(0)
        if resampler == "soxr":
            return torch.from_numpy(resample(mono[None].numpy(), rate, sample_rate))[0]
        if max(rate, sample_rate) // gcd(rate, sample_rate) > MAX_PHASES:
            raise Skipped(f"is sampled at {rate} Hz, which torchaudio's resampler cannot bring to {sample_rate} Hz in "
                          "memory; resample it first")
        return (sinc_resample if resampler == "sinc" else kaiser_resample)(mono, rate, sample_rate)

    def pictures(self, fps: float | None = None, until_s: float = 0.0) -> Tensor:
        """(F, 3, H, W) uint8 RGB: every picture, or `fps` a second as `filtered` takes them.

        until_s: where to end if later than the measured time, as far as was decoded. Raises Skipped where there are no
        pictures.
        """
        decoded = self.decoded
        if decoded.frames is None or decoded.times is None:
            raise Skipped("has no picture")
        length_s = min(max(self.duration_s, until_s), decoded.picture_s)
        if fps is None:
            return decoded.frames[decoded.times < length_s - 1e-9]
        return decoded.frames[torch.from_numpy(filtered(decoded.times.numpy(), length_s, fps))]

    def fps(self) -> float:
        """Pictures a second, on average. Raises Skipped where there are none."""
        return len(self.pictures()) / min(self.duration_s, self.decoded.picture_s)

    def audio_features(self, name: str) -> dict[str, Tensor]:
        """Features of the sound by a network, (1, ...) each. Raises Skipped where it is too short."""
        network = self.networks[name]
        return self.cached(("audio features", name), lambda: network.audio_features(
            self.sound(network.sample_rate, network.resampler)))

    def video_features(self, name: str) -> dict[str, Tensor]:
        """Features of the pictures by a network. Raises Skipped where there are too few."""
        network = self.networks[name]
        return self.cached(("video features", name), lambda: network.video_features(self.pictures(network.fps)))

    def steps(self, name: str, whole_s: float) -> Tensor:
        """The "steps" (F, D) of a network that reads `whole_s` seconds of pictures even where less is measured."""
        network = self.networks[name]
        return self.cached(("steps", name), lambda: network.video_features(
            self.pictures(network.fps, whole_s))["steps"])


def filtered(times_s: np.ndarray, length_s: float, fps: float) -> np.ndarray:
    """Numbers of the pictures that FFmpeg's `fps` filter takes: of a clip of `length_s` seconds whose pictures begin at
    `times_s` (F,), ascending from 0.

    Published networks were given these. The filter rounds each time to the nearest 1 / fps and takes the last picture
    that is not later, so they come from up to half a step ahead: at 25 pictures a second, for 4, numbers 3, 9, 15, 21.
    Generation holds the picture shown at k / fps instead (`media.video.iter_frames`).
    """
    count = max(1, _nearest(length_s * fps))
    rounded = np.floor(times_s * fps + 0.5 + 1e-6)
    return np.maximum(np.searchsorted(rounded, np.arange(count), side="right") - 1, 0)


def _nearest(x: float) -> int:
    return int(np.floor(x + 0.5 + 1e-6))


@dataclass(frozen=True)
class Pair:
    """A clip as the metrics of one system get it."""

    clip_id: str
    made: Observation | None  # the generated side
    real: Observation | None  # the reference side
    shown: Observation | None  # whose picture counts
    facts: ClipFiles  # label, captions and events, of the reference where there is one
    duration_s: float  # up to which events count
    networks: Networks

    @property
    def generated(self) -> Observation:
        """The generated side; Absent where it is missing."""
        return _present(self.made, Absent("is not among the generated clips"))

    @property
    def reference(self) -> Observation:
        """The reference side; Absent where it is missing."""
        return _present(self.real, Absent("is not among the reference clips"))

    @property
    def picture(self) -> Observation:
        """The side whose picture counts; Skipped where there is none."""
        return _present(self.shown, Skipped("has no picture"))

    @property
    def caption(self) -> str:
        """The first caption; Skipped where there is none."""
        if not self.facts.captions:
            raise Skipped("has no caption")
        return self.facts.captions[0]

    def events(self, visible: bool) -> list[Event]:
        """Events within the time that is measured, visible or invisible ones; Skipped where they are not annotated."""
        if self.facts.events is None:
            raise Skipped("has no annotated events")
        return [e for e in self.facts.events if e.visible == visible and e.t < self.duration_s]

    def text_features(self, network: str) -> Tensor:
        """The caption's embedding by a network, (1, D)."""
        return self.networks[network].text_features(self.caption)


def _present(observation: Observation | None, otherwise: Skipped) -> Observation:
    if observation is None:
        raise otherwise
    return observation
