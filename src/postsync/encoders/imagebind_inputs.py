"""How a clip becomes ImageBind's inputs: which seconds, which frames, and which crops are taken.

Two protocols are in use. "imagebind": five times two seconds, the first and last frame of each, bilinear without
antialiasing (facebookresearch/ImageBind's data rules with the sampling it pins: clips reach the end). "av-benchmark":
neighbouring pairs of frames at half a frame a second, bicubic (hkchengrex/av-benchmark). Both cut three squares.
"""

from __future__ import annotations

import math
from fractions import Fraction

import torch
from torch import Tensor
from torch.nn import functional as F

from ..features.resize import resize_pictures, short_side_size
from ..features.spectrogram import imagebind, log_mel_spectrogram
from .eva_clip import IMAGE_MEAN, IMAGE_STD

CLIP_S = 2
AUDIO_CLIPS, VIDEO_CLIPS = 3, 5
SIDE = 224
FBANK_FRAMES, FBANK_MEAN, FBANK_SCALE = 204, -4.268, 9.138
_RATE = 16000


def clip_times(duration_s: float, count: int) -> list[tuple[Fraction, Fraction]]:
    """(start, end) in seconds of `count` clips of 2 s, evenly spaced, the last at the end.

    For anything shorter than 2 s all are 0..2. (pytorchvideo 0.1.5 spaces them otherwise and misses the end; ImageBind
    pins the later rule.) As there, the last start is a float and only then becomes a fraction: it may be a hair below
    a whole sample, which `sample_ranges` then rounds down.
    """
    last = Fraction(max(float(duration_s) - CLIP_S, 0.0))
    starts = [last * i / max(count - 1, 1) for i in range(count)]
    return [(start, start + CLIP_S) for start in starts]


def sample_ranges(num_samples: int) -> list[tuple[int, int]]:
    """First sample and end of the three clips of a waveform at 16 kHz; the end may lie beyond a short one's."""
    return [(math.floor(start * _RATE), math.floor(end * _RATE))
            for start, end in clip_times(num_samples / _RATE, AUDIO_CLIPS)]


def audio_clips(waveform: Tensor) -> Tensor:
    """Waveform (N,) at 16 kHz in -1..1 -> normalised filterbanks (3, 1, 128, 204).

    Raises ValueError for less than 400 samples. As in the official code, a clip that overlaps the one before, in
    anything shorter than 6 s, finds that one's mean already subtracted there.
    """
    banks, waveform = [], waveform.clone()
    for start, end in sample_ranges(len(waveform)):
        waveform[start:end] -= waveform[start:end].mean()
        fbank = log_mel_spectrogram(waveform[None, start:end], imagebind())[0].T[:, :FBANK_FRAMES]
        banks.append(F.pad(fbank, (0, FBANK_FRAMES - fbank.shape[1])))
    return ((torch.stack(banks) - FBANK_MEAN) / FBANK_SCALE)[:, None]


def frame_pairs(num_frames: int, fps: float, duration_s: float | None = None) -> list[tuple[int, int]]:
    """First and last frame of each of the five clips; duration_s: of the video, by default num_frames / fps."""
    duration = num_frames / fps if duration_s is None else duration_s
    pairs = []
    for start, end in clip_times(duration, VIDEO_CLIPS):
        first = min(math.ceil(fps * start), num_frames - 1)
        pairs.append((first, max(min(math.ceil(fps * end), num_frames) - 1, first)))
    return pairs


def video_views(frames: Tensor, fps: float, protocol: str = "imagebind") -> Tensor:
    """uint8 frames (F, 3, H, W) at `fps` -> views (S, 3, 2, 224, 224), CLIP-normalised.

    protocol: "imagebind", S = 15; or "av-benchmark", whose frames come at 0.5 fps, S = 3 (F - 1). Raises ValueError for
    no frames, an unknown protocol, or one frame for pairs.
    """
    if protocol == "imagebind":
        if len(frames) == 0:
            raise ValueError("a clip without frames has no views")
        return torch.cat([scale_and_crop(frames[list(pair)]) for pair in frame_pairs(len(frames), fps)])
    if protocol != "av-benchmark":
        raise ValueError(f"unknown protocol '{protocol}'; choose imagebind or av-benchmark")
    if len(frames) < 2 or fps != 0.5:
        raise ValueError(f"av-benchmark reads two or more frames at 0.5 fps, not {len(frames)} at {fps}")
    resized = resize_pictures(frames, short_side_size(frames.shape[-2], frames.shape[-1], SIDE), "bicubic")
    crops = three_crops(_normalised(resized.float() / 255))  # (3, C, F, 224, 224)
    return torch.cat([crops[:, :, i : i + 2] for i in range(len(frames) - 1)])


def scale_and_crop(frames: Tensor) -> Tensor:
    """uint8 frames (T, 3, H, W) -> three crops (3, 3, T, 224, 224), CLIP-normalised; the shorter side becomes 224."""
    height, width = frames.shape[-2:]
    size = (math.floor(height / width * SIDE), SIDE) if width < height else (SIDE, math.floor(width / height * SIDE))
    scaled = F.interpolate(frames.float() / 255, size, mode="bilinear", align_corners=False)
    return three_crops(_normalised(scaled))


def three_crops(pictures: Tensor) -> Tensor:
    """(T, C, H, W), shorter side 224 -> squares at the longer side's start, middle and end: (3, C, T, 224, 224)."""
    height, width = pictures.shape[-2:]
    rest = max(height, width) - SIDE
    axis = -2 if height > width else -1
    crops = [pictures.narrow(axis, offset, SIDE) for offset in (0, math.ceil(rest / 2), rest)]
    return torch.stack(crops).transpose(1, 2)


def _normalised(pictures: Tensor) -> Tensor:
    mean, std = (pictures.new_tensor(values).view(3, 1, 1) for values in (IMAGE_MEAN, IMAGE_STD))
    return (pictures - mean) / std
