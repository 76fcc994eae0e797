"""Frames in memory as a video file: H.264 with AAC, in webm VP9 with Opus. The same input gives the same bytes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from av.container import OutputContainer
from av.packet import Packet

from .audio import resampled_blocks
from .holding import check_container, sound_encoder
from .mux import ENCODED_RATE, SoundWriter, fitted, opened_for_writing
from .output import whole_file
from .video import OnFraction

if TYPE_CHECKING:
    from torch import Tensor

CLOCK = 90_000  # ticks a second: every frame keeps its own time
_STEP = 10  # frames between two reports of progress


@dataclass(frozen=True)
class Encoding:
    """How frames and sound are encoded."""

    crf: int = 18  # constant quality: lower is better and larger
    exact_size: bool = False  # keep odd sizes, in 4:4:4, which not every player shows; else add a row or column
    sound_rate: int = ENCODED_RATE  # Hz
    sound_codec: str | None = None  # "aac", "opus", "flac" or "pcm"; None: the container's usual one
    sound_bit_rate: int | None = None  # None: 128 kbit/s a channel, of Opus 96


def encode_pictures(
    frames: Iterable[np.ndarray],
    times_s: Sequence[float],
    duration_s: float,
    target: str | os.PathLike[str],
    sound: np.ndarray | Tensor | Iterable[np.ndarray | Tensor] | None = None,
    sample_rate: int = ENCODED_RATE,
    *,
    encoding: Encoding | None = None,
    on_progress: OnFraction | None = None,
) -> Path:
    """Write frames, each (H, W, 3) RGB or (H, W) luma uint8, with sound to `target`; returns that path.

    Args:
        times_s: when each frame appears, rising seconds from 0; they need not be regular.
        duration_s: when the last frame ends.
        sound: (C, N) in -1..1, 1 or 2 channels, or an iterable of such blocks; padded with silence or cut to
            `duration_s`. None: a file without sound.
        sample_rate: of the sound, Hz.
        on_progress: receives the finished share, about every ten frames; an exception from it ends the work.

    Raises MediaError for an unsupported suffix, and if the file cannot be written. It is written atomically.
    """
    target, encoding = Path(target), encoding or Encoding()
    container_format, encoder = check_container(target), sound_encoder(target, encoding.sound_codec)
    ticks = [round(time * CLOCK) for time in times_s]
    with whole_file(target) as temporary, opened_for_writing(temporary, container_format) as container:
        picture: _PictureWriter | None = None
        track: SoundWriter | None = None
        for number, (image, tick) in enumerate(zip(frames, ticks, strict=True)):
            if picture is None:
                picture = _PictureWriter(container, image, [*ticks, round(duration_s * CLOCK)], encoding)
                if sound is not None:
                    blocks = fitted(resampled_blocks(sound, sample_rate, encoding.sound_rate), duration_s,
                                    encoding.sound_rate)
                    track = SoundWriter(container, blocks, encoder, encoding.sound_rate, encoding.sound_bit_rate)
            if track is not None:
                track.advance(tick / CLOCK)
            picture.write(image, tick)
            if on_progress is not None and number % _STEP == 0:
                on_progress(tick / CLOCK / duration_s)
        if picture is not None:
            picture.finish()
        if track is not None:
            track.finish()
    return target


class _PictureWriter:
    """Encodes frames and hands the packets to the muxer. `ticks`: the starts of all frames, and the end of the last."""

    def __init__(self, container: OutputContainer, image: np.ndarray, ticks: Sequence[int],
                 encoding: Encoding) -> None:
        self.container = container
        mean_rate = Fraction((len(ticks) - 1) * CLOCK, ticks[-1]).limit_denominator(1000)
        height, width = image.shape[:2]
        self.padding = (0, 0)
        if container.format.name == "webm":
            options = {"crf": str(encoding.crf + 8), "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"}
            self.stream = container.add_stream("libvpx-vp9", rate=mean_rate, options=options)
            self.stream.pix_fmt = "yuv420p"
        else:
            if not encoding.exact_size:
                self.padding = (height % 2, width % 2)  # 4:2:0 in H.264 needs even sides
            options = {"crf": str(encoding.crf), "bf": "0"}
            self.stream = container.add_stream("libx264", rate=mean_rate, options=options)
            self.stream.pix_fmt = "yuv444p" if encoding.exact_size and (height % 2 or width % 2) else "yuv420p"
        self.stream.height, self.stream.width = height + self.padding[0], width + self.padding[1]
        self.stream.time_base = self.stream.codec_context.time_base = Fraction(1, CLOCK)
        # otherwise the last frame's length would be guessed
        self.lasts = {start: end - start for start, end in pairwise(ticks)}

    def write(self, image: np.ndarray, tick: int) -> None:
        """Encode one frame."""
        if any(self.padding):
            edges = ((0, self.padding[0]), (0, self.padding[1]), *[(0, 0)] * (image.ndim - 2))
            image = np.pad(image, edges, mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24" if image.ndim == 3 else "gray")
        frame.pts, frame.time_base = tick, Fraction(1, CLOCK)
        self._mux(self.stream.encode(frame))

    def finish(self) -> None:
        """Flush the encoder."""
        self._mux(self.stream.encode(None))

    def _mux(self, packets: Sequence[Packet]) -> None:
        for packet in packets:
            if packet.pts is not None:
                packet.duration = self.lasts.get(packet.pts, packet.duration)
            self.container.mux(packet)
