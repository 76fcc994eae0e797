"""What a page plays of a clip: its first seconds, as bytes of bounded size that every browser knows."""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor

from ..data.clip import Clip
from ..errors import MediaError
from ..features.envelope import frame_rms
from ..features.onsets import pick_onsets
from ..features.spectrogram import audioldm_log_mel
from ..media.audio import read_audio, resample
from ..media.container import open_media, picture_stream
from ..media.mux import mux
from ..media.video import Frame, iter_frames, probe
from ..scenes.export import render_mp4

MAX_CLIP_S = 12.0
MAX_COPIED_BYTES = 1_000_000  # larger files, and other codecs than H.264 4:2:0, are encoded anew
MAX_VIDEO_BYTES = 1_500_000
MAX_SIDE = 320  # pixels, of what is encoded anew
_MAX_FPS = 31.0
_CRFS = (28, 38, 48)  # the first that fits is taken
_RATE, _ANALYSIS_RATE = 48000, 16000


@dataclass(frozen=True)
class Sound:
    """The sound of an excerpt: `waveform` (1 or 2, N) float32 at 48 kHz, and what is drawn of it."""

    waveform: np.ndarray
    envelope: Tensor  # (M,) linear RMS at 100 Hz
    onsets_s: list[float]
    log_mel: Tensor  # (T, 64) at 100 Hz

    @property
    def duration_s(self) -> float:
        """Seconds, at most MAX_CLIP_S."""
        return self.waveform.shape[1] / _RATE


def has_picture(path: Path) -> bool:
    """Whether a readable media file has a moving picture. Raises MediaError for one that cannot be opened."""
    with open_media(path) as container:
        if not container.streams.video:
            return False
        try:
            picture_stream(container, path)
        except MediaError:  # only cover art, or a picture without decoder: the sound is all there is to show
            return False
    return True


def read_sound(path: Path, start_s: float = 0.0, length_s: float = MAX_CLIP_S) -> Sound:
    """`length_s` seconds from `start_s` on, counted from the first picture where there is one.

    More than two channels are averaged. Raises MediaError for a file that cannot be read or ends before `start_s`.
    """
    waveform = read_audio(path, _RATE, mono=False, max_duration_s=start_s + length_s, from_picture=has_picture(path))
    waveform = waveform[:, round(start_s * _RATE):]
    if not waveform.shape[1]:
        raise MediaError(f"{path}: its sound ends before {start_s:g} s, where the clip starts; mend the manifest")
    waveform = waveform if len(waveform) <= 2 else waveform.mean(axis=0, keepdims=True)
    mono = torch.from_numpy(resample(waveform.mean(axis=0, keepdims=True), _RATE, _ANALYSIS_RATE))[0]
    envelope = frame_rms(mono, _ANALYSIS_RATE)
    long_enough = torch.nn.functional.pad(mono, (0, max(0, 1024 - len(mono))))  # of one frame, mirrored at both ends
    log_mel = audioldm_log_mel(long_enough[None])[0, :max(1, len(envelope))]
    return Sound(waveform, envelope, pick_onsets(envelope).tolist(), log_mel)


def encoded_sound(waveform: np.ndarray) -> bytes:
    """An m4a of (1 or 2, N) float32 at 48 kHz: AAC of 96 kbit/s."""
    buffer, layout = io.BytesIO(), "mono" if len(waveform) == 1 else "stereo"
    with av.open(buffer, "w", format="mp4") as target:
        stream = target.add_stream("aac", rate=_RATE, layout=layout, bit_rate=96_000)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(waveform), format="fltp", layout=layout)
        frame.sample_rate, frame.pts = _RATE, 0
        for part in (frame, None):
            target.mux(stream.encode(part))
    return buffer.getvalue()


def encoded_video(picture: Path, waveform: np.ndarray, start_s: float = 0.0,
                  length_s: float = MAX_CLIP_S) -> bytes | None:
    """An mp4 of `length_s` seconds of `picture` from `start_s` on, with (1 or 2, N) at 48 kHz as its sound.

    The picture is copied packet by packet where it is small and H.264 4:2:0; else it is encoded anew, at most MAX_SIDE
    pixels on its longer side and 31 frames a second. None where it exceeds MAX_VIDEO_BYTES even at the coarsest
    quality. Raises MediaError for a picture that cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="postsync-") as name:
        folder = Path(name)
        if start_s == 0 and _is_copied(picture, length_s):
            return mux(picture, waveform, _RATE, folder / "clip.mp4").read_bytes()
        clip = _small(picture, start_s, length_s)
        for crf in _CRFS:
            silent = render_mp4(clip, folder / f"silent_{crf}.mp4", with_audio=False, crf=crf)
            muxed = mux(silent, waveform, _RATE, folder / f"clip_{crf}.mp4")
            if muxed.stat().st_size <= MAX_VIDEO_BYTES:
                return muxed.read_bytes()
    return None


def _is_copied(picture: Path, length_s: float) -> bool:
    if picture.stat().st_size > MAX_COPIED_BYTES:
        return False
    with open_media(picture) as container:
        context = picture_stream(container, picture).codec_context
        if context.name != "h264" or context.pix_fmt not in ("yuv420p", "yuvj420p"):
            return False
    return probe(picture).duration_s <= length_s + 0.1


def _small(picture: Path, start_s: float, length_s: float) -> Clip:
    """The excerpt's frames at their own times, scaled down, without those that come faster than 31 a second."""
    first = next(iter_frames(picture, start_s=start_s), None)
    if first is None:
        raise MediaError(f"{picture}: has no picture after {start_s:g} s, where the clip starts; mend the manifest")
    height, width = first.image.shape[:2]
    scale = min(1.0, MAX_SIDE / max(width, height))
    size = (max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2))
    kept: list[Frame] = []
    for frame in iter_frames(picture, size, start_s=start_s, end_s=start_s + length_s):
        if not kept or frame.time_s - kept[-1].time_s > 1 / _MAX_FPS:
            kept.append(frame)
    frames = torch.from_numpy(np.stack([frame.image for frame in kept])).permute(0, 3, 1, 2)
    times = torch.tensor([frame.time_s - kept[0].time_s for frame in kept], dtype=torch.float64)
    end = min(frame.time_s + frame.duration_s, start_s + length_s)
    return Clip(picture.name, end - kept[0].time_s, frames=frames.contiguous(), times=times)
