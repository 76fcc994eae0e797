"""Each file of an evaluation, decoded once: its sound at the file's own rate, its pictures at their own times.

A thread decodes the next clips while the networks work on this one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from ..errors import MediaError
from ..media.audio import audio_blocks
from ..media.video import iter_frames
from .sides import ClipFiles

SHORT_SIDE = 256  # pixels; larger pictures are made smaller while they are decoded, or a clip would not fit in memory
SILENT_PEAK = 1e-4  # -80 dB full scale
AHEAD = 2  # clips decoded before they are asked for
Item = TypeVar("Item")
Loaded = TypeVar("Loaded")


@dataclass(frozen=True)
class Decoded:
    """What was in the files of one clip; `problems` say why a part of it is not here."""

    files: ClipFiles
    waveform: Tensor | None  # (C, N) float32
    sample_rate: int
    frames: Tensor | None  # (F, 3, H, W) uint8 RGB, upright
    times: Tensor | None  # (F,) float64 seconds, from the start of the clip
    picture_s: float = 0.0  # length of the picture
    problems: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        """Seconds of sound; of picture where there is no sound."""
        return self.picture_s if self.waveform is None else self.waveform.shape[1] / self.sample_rate

    @property
    def silent(self) -> bool:
        """Whether there is a sound track in which nothing is to be heard."""
        return self.waveform is not None and float(self.waveform.abs().max()) < SILENT_PEAK


def decode(files: ClipFiles, duration_s: float, picture: bool) -> Decoded:
    """The first `duration_s` seconds of a clip: its sound and, where wanted, its picture.

    What is unreadable, empty, without sound or not finite is told in `problems` and left out; nothing is raised.
    """
    end_s = min(files.end_s if files.end_s is not None else np.inf, files.start_s + duration_s)
    waveform, rate, frames, times, picture_s, problems = None, 0, None, None, 0.0, []
    try:
        waveform, rate = _sound(files, end_s)
    except MediaError as error:
        problems.append(str(error).removeprefix(f"{files.file}: "))
    if picture and files.picture is not None:
        try:
            frames, times, picture_s = _picture(files, end_s)
        except MediaError as error:
            problems.append(str(error).removeprefix(f"{files.picture}: "))
    return Decoded(files, waveform, rate, frames, times, picture_s, tuple(dict.fromkeys(problems)))


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
    return torch.from_numpy(np.ascontiguousarray(waveform, dtype=np.float32)), rate


def _picture(files: ClipFiles, end_s: float) -> tuple[Tensor, Tensor, float]:
    images, times, shown_s = [], [], 0.0
    assert files.picture is not None
    for frame in iter_frames(files.picture, start_s=files.start_s, end_s=end_s, short_side=SHORT_SIDE):
        images.append(frame.image)
        times.append(frame.time_s - files.start_s)
        shown_s = frame.duration_s
    if not images:
        raise MediaError(f"{files.picture}: no picture between {files.start_s:g} and {end_s:g} s")
    frames = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    length = min(times[-1] + shown_s, end_s - files.start_s)
    return frames, torch.tensor(times, dtype=torch.float64), length


def ahead(load: Callable[[Item], Loaded], items: Iterable[Item], count: int = AHEAD) -> Iterator[Loaded]:
    """`load(item)` of every item, in order, done in a thread up to `count` items before they are asked for.

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
