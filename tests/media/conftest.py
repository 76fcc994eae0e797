"""Small clips drawn and encoded for the media tests: every frame is told apart by its picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.subtitles.subtitle import SubtitleSet

ASS_HEADER = b"[Script Info]\nScriptType: v4.00+\n[Events]\nFormat: Layer, Start, End, Style, Text\n"


def draw(index: int, width: int, height: int) -> np.ndarray:
    """Frame number `index`, (H, W, 3): green top, red left, brightness of the rest by number."""
    image = np.full((height, width, 3), (6 * index) % 198 + 40, dtype=np.uint8)
    image[:, : width // 4] = (220, 0, 0)
    image[: height // 4] = (0, 220, 0)
    return image


def _open_sound(target: av.container.OutputContainer, codec: str, index: int) -> tuple:
    stream = target.add_stream(codec, rate=48000, layout="stereo")
    stream.metadata["title"] = f"old sound {index}"
    tone = 0.1 * np.sin(2 * np.pi * 200 * (index + 1) * np.arange(48000) / 48000).astype(np.float32)
    return stream, np.stack([tone, tone])


def write_video(
    path: Path,
    ticks: Sequence[int] = tuple(range(30)),
    rate: int = 25,
    codec: str = "libx264",
    size: tuple[int, int] = (64, 48),
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    rotation: tuple[int, bool, bool] | None = None,
    sounds: Sequence[str] = (),
    subtitles: str | None = None,
    chapters: bool = False,
    metadata: dict[str, str] | None = None,
    cover: bool = False,
    tag: str | None = None,
) -> Path:
    """Frame i is shown from ticks[i] / rate on. `rotation` is (degrees counter-clockwise, mirror x, mirror y)."""
    with av.open(str(path), "w") as target:
        stream = target.add_stream(codec, rate=rate, options={"preset": "ultrafast", **(options or {})})
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.codec_context.time_base, stream.bit_rate = Fraction(1, rate), 2_000_000
        if tag:
            stream.codec_context.codec_tag = tag
        if rotation:
            stream.set_display_rotation(rotation[0], hflip=rotation[1], vflip=rotation[2])
        tracks = [_open_sound(target, name, index) for index, name in enumerate(sounds)]
        text = target.add_stream(subtitles) if subtitles else None
        if text is not None:
            text.codec_context.subtitle_header = ASS_HEADER
            text.codec_context.time_base = text.time_base = Fraction(1, 1000)
        extra = target.add_stream("mjpeg", rate=1) if cover else None
        if extra is not None:
            extra.width, extra.height, extra.pix_fmt = 32, 32, "yuvj420p"
            extra.disposition = av.stream.Disposition.attached_pic
        target.metadata.update(metadata or {})
        if chapters:
            base = Fraction(1, 1000)
            target.set_chapters(
                [
                    {"id": 1, "start": 0, "end": 500, "time_base": base, "metadata": {"title": "first"}},
                    {"id": 2, "start": 500, "end": 1000, "time_base": base, "metadata": {"title": "second"}},
                ]
            )
        target.start_encoding()
        if extra is not None:
            target.mux(extra.encode(av.VideoFrame.from_ndarray(draw(3, 32, 32)).reformat(format="yuvj420p")))
        if text is not None:
            packet = text.codec_context.encode_subtitle(SubtitleSet.create(b"0,0,Default,,0,0,0,,bang", 0, 400, 200000))
            packet.stream, packet.pts, packet.dts, packet.duration = text, 200, 200, 400
            packet.time_base = Fraction(1, 1000)
            target.mux(packet)
        for track, wave in tracks:
            sound = av.AudioFrame.from_ndarray(wave, format="fltp", layout="stereo")
            sound.sample_rate, sound.pts, sound.time_base = 48000, 0, Fraction(1, 48000)
            target.mux(track.encode(sound))
            target.mux(track.encode(None))
        for index, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(draw(index, *size))
            frame.pts, frame.time_base = tick, Fraction(1, rate)
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return path


def shift_packets(source: Path, path: Path, shift_s: float) -> Path:
    """Stream copy with all times moved; times below zero become an edit list in mp4."""
    with av.open(str(source)) as read, av.open(str(path), "w") as target:
        stream = read.streams.video[0]
        twin = target.add_stream_from_template(stream)
        for packet in read.demux(stream):
            if packet.size:
                ticks = round(shift_s / packet.time_base)
                packet.pts += ticks
                packet.dts += ticks
                packet.stream = twin
                target.mux(packet)
    return path


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    """`make_video("name.mp4", **what)`, see `write_video`; with `shift_s` the clip is stream-copied to other times."""

    def make(name: str = "clip.mp4", shift_s: float | None = None, **what) -> Path:
        if shift_s is None:
            return write_video(tmp_path / name, **what)
        return shift_packets(write_video(tmp_path / f"unshifted_{name}", **what), tmp_path / name, shift_s)

    return make


@pytest.fixture
def drawn() -> Callable[[int, int, int], np.ndarray]:
    """`drawn(index, width, height)`: the picture that frame `index` was made from."""
    return draw


@pytest.fixture
def frame_number() -> Callable[[np.ndarray], int]:
    """The number (below 33) of the frame that a decoded image was, from the brightness of its grey part."""

    def number(image: np.ndarray) -> int:
        grey = image[image.shape[0] // 2 :, image.shape[1] // 2 :]
        return round((float(grey.mean()) - 40) / 6)

    return number
