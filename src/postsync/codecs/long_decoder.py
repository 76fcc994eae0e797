"""The VAE's decoder over any length in chunks of time, equal to one pass, in the memory of two of its feature maps.

A convolution needs one frame on either side of a chunk. A group norm covers the whole clip: its mean and variance are
summed over all chunks first, so every layer is finished for the whole length before the next one begins.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Layer = Callable[[Tensor], Tensor]


def supports_chunking(decoder: Any) -> bool:
    """Whether all layers of this decoder depend on neighbouring frames only; attention in the middle depends on all."""
    return not any(block is not None for block in getattr(decoder.mid_block, "attentions", ()))


@torch.no_grad()
def decode_in_chunks(decoder: Any, latents: Tensor, size: int) -> Tensor:
    """diffusers' `Decoder` on latents (B, C, T, F), `size` frames at a time -> (B, C', T * 2**upsamplings, ...).

    Equal to `decoder(latents)` but for rounding. Not differentiable.
    """
    x = _chunked(decoder.conv_in, latents, size)
    for resnet in decoder.mid_block.resnets:
        x = _resnet(resnet, x, size)
    for block in decoder.up_blocks:
        for resnet in block.resnets:
            x = _resnet(resnet, x, size)
        for upsampler in block.upsamplers or ():
            x = _chunked(upsampler, x, size, scale=2)
    normalise = _group_norm(decoder.conv_norm_out, x, size)
    return _chunked(lambda part: decoder.conv_out(decoder.conv_act(normalise(part))), x, size)


def _resnet(resnet: Any, x: Tensor, size: int) -> Tensor:
    """diffusers' `ResnetBlock2D` without time embedding; `x` is overwritten where its shape allows that."""
    first = _group_norm(resnet.norm1, x, size)
    hidden = _chunked(lambda part: resnet.conv1(resnet.nonlinearity(first(part))), x, size)
    second = _group_norm(resnet.norm2, hidden, size)
    if resnet.conv_shortcut is not None:
        x = _chunked(resnet.conv_shortcut, x, size)

    def add(part: Tensor, start: int, stop: int) -> None:
        x[:, :, start:stop] += part

    _for_chunks(lambda part: resnet.conv2(resnet.nonlinearity(second(part))), hidden, size, 1, add)
    return x.div_(resnet.output_scale_factor)


def _group_norm(norm: nn.GroupNorm, x: Tensor, size: int) -> Layer:
    """The norm with the statistics of the whole of `x` (B, C, T, F), as a function of any part of it."""
    total = x.new_zeros(x.shape[0], norm.num_groups, 2, dtype=torch.float64)
    for start in range(0, x.shape[2], size):
        values = x[:, :, start : start + size].reshape(x.shape[0], norm.num_groups, -1).double()
        total += torch.stack([values.sum(-1), values.square().sum(-1)], dim=-1)
    mean, square = (total / (x[0].numel() / norm.num_groups)).unbind(-1)
    rstd = (square - mean.square()).clamp_min(0).add(norm.eps).rsqrt()
    per_group = norm.num_channels // norm.num_groups
    scale = rstd.repeat_interleave(per_group, 1) * norm.weight
    shift = norm.bias - mean.repeat_interleave(per_group, 1) * scale
    scale, shift = (value.to(x.dtype)[:, :, None, None] for value in (scale, shift))
    return lambda part: part * scale + shift


def _chunked(layer: Layer, x: Tensor, size: int, scale: int = 1) -> Tensor:
    """`layer(x)`, computed chunk by chunk; it depends on one frame to either side and multiplies the frames by
    `scale`."""
    result: list[Tensor] = []

    def put(part: Tensor, start: int, stop: int) -> None:
        if not result:
            result.append(part.new_empty(*part.shape[:2], x.shape[2] * scale, part.shape[3]))
        result[0][:, :, start:stop] = part

    _for_chunks(layer, x, size, scale, put)
    return result[0]


def _for_chunks(layer: Layer, x: Tensor, size: int, scale: int, use: Callable[[Tensor, int, int], None]) -> None:
    length = x.shape[2]
    for start in range(0, length, size):
        stop, left = min(start + size, length), max(start - 1, 0)
        part = layer(x[:, :, left : stop + 1])
        use(part[:, :, (start - left) * scale : (stop - left) * scale], start * scale, stop * scale)
