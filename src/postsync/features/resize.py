"""Resizing pictures for networks, in plain torch, with the arithmetic of the library each was trained with."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def resize_pictures(frames: Tensor, size: tuple[int, int], mode: str = "bilinear") -> Tensor:
    """uint8 pictures (F, 3, H, W) -> uint8 (F, 3, *size), antialiased as Pillow does (so does torchvision on uint8).

    mode: "bilinear" or "bicubic". Computed on the CPU, where torch rounds in the same places as Pillow. Raises
    ValueError for pictures that are not uint8 of that shape.
    """
    if frames.dtype != torch.uint8 or frames.dim() != 4:
        raise ValueError(f"pictures are {frames.dtype} {tuple(frames.shape)}; give uint8 (F, 3, H, W)")
    if frames.shape[-2:] == size:
        return frames
    return F.interpolate(frames.cpu(), size, mode=mode, antialias=True)


def short_side_size(height: int, width: int, short: int) -> tuple[int, int]:
    """(height, width) scaled so that the shorter side is `short`; the longer side is cut to whole pixels."""
    if height <= width:
        return short, int(width / height * short)
    return int(height / width * short), short


def centre_crop(frames: Tensor, size: int) -> Tensor:
    """The middle (..., size, size) of (..., H, W); an odd remainder is on the right and at the bottom.

    Raises ValueError for pictures smaller than that.
    """
    height, width = frames.shape[-2:]
    if min(height, width) < size:
        raise ValueError(f"pictures of {width} x {height} have no middle of {size} x {size}; resize them first")
    top, left = (height - size) // 2, (width - size) // 2
    return frames[..., top : top + size, left : left + size]
