"""The eyes of VATT: pictures -> one feature each, which its language model is shown.

The published weights see through EVA02-CLIP, five pictures a second, features not of unit length (inferred); the mini
sees through GRAM's video tower, four a second.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from ...encoders.eva02_clip import Eva02ClipVision
from ...encoders.eva_clip import normalize_images
from ...encoders.gram import GramEncoder, load_gram
from ...errors import ConditionError
from ...weights.layout import is_saved, readable

Eyes = GramEncoder | Eva02ClipVision


def load_eyes(folder: Path, torch_dtype: torch.dtype = torch.float32) -> Eyes:
    """The eyes saved in `folder`: an EVA02-CLIP, or GRAM's towers. They run once a clip, hence in full precision.

    Raises WeightsError for a folder that holds neither.
    """
    if is_saved(folder, Eva02ClipVision.__name__):
        with readable(folder, "readable EVA02-CLIP", "name a folder that postsync weights convert wrote."):
            return Eva02ClipVision.from_pretrained(folder).float()
    return load_gram(folder).float()


def picture_features(eyes: Eyes, frames: Tensor) -> Tensor:
    """Frames (F, 3, H, W), uint8 or float in 0..1 -> features (F, E)."""
    if frames.dim() != 4 or frames.shape[1] != 3 or len(frames) == 0:
        raise ConditionError(f"video is frames (F, 3, H, W), not {tuple(frames.shape)}.")
    if isinstance(eyes, Eva02ClipVision):
        pictures = frames if frames.dtype == torch.uint8 else (frames * 255).round().clamp(0, 255).byte()
        return eyes.features(pictures)["embedding"]
    pictures = frames.float() / 255 if frames.dtype == torch.uint8 else frames
    return eyes.video_tokens(normalize_images(pictures[None].to(eyes.device), eyes.image_size))[0, :, 0]


def within(features: Tensor, start: int, count: int) -> Tensor:
    """`count` successive features of (F, E), the last one repeated beyond the end."""
    return features[torch.arange(start, start + count).clamp(0, len(features) - 1)]


def pooled(features: Tensor, count: int) -> Tensor:
    """Features (B, F, E) -> (B, count, E), means over equal parts of the time."""
    return functional.adaptive_avg_pool1d(features.mT, count).mT


def blinded(video: Tensor, blind: Tensor) -> Tensor:
    """Picture features (B, F, E), zero where a sample (B,) is told without its picture."""
    return video.masked_fill(blind.to(video.device)[:, None, None], 0.0)
