"""What a modality tells the other one: its noisy latents as a sequence over time, or as one vector.

Source: arXiv 2409.17550; `SonyResearch/SVG_baseline` (read, not copied). Convolutions reduce space or frequency; for
pictures each residual block is followed by an attention over time. Names of parameters are the published ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar, cast

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

GROUPS = 32
HEADS = 8  # of the attention over time
SHIFTS = 8  # parts of the channels, each delayed by a frame more
FRAME_RATE = 8.0  # that places are told in, whatever the rate of the pictures
Layer = TypeVar("Layer", bound=nn.Module)


class LatentEncoder(nn.ModuleList):
    """`connector_out_*`: latents (B, C, T, H, W) of pictures or (B, C, F, M) of sound -> features of `channels`."""

    def __init__(self, latent_channels: int, base: int, emb_dim: int, channels: int, multipliers: Sequence[int],
                 num_blocks: Sequence[int], *, video: bool) -> None:
        """`base`: width of the U-Net's first level, half of which is the first here; `emb_dim`: of its time
        embedding."""
        width = base // 2
        layers: list[nn.Module] = [nn.ModuleList([nn.Conv2d(latent_channels, width, 3, padding=1)])]
        for level, (multiplier, count) in enumerate(zip(multipliers, num_blocks, strict=True)):
            if level:
                layers.append(nn.ModuleList([Halved(width)]))
            blocks = []
            for _ in range(count):
                block: nn.Module = ResBlock(width, multiplier * base, emb_dim)
                width = multiplier * base
                blocks.append(nn.ModuleList([block, SpatioTemporalAttention(width)]) if video else block)
            layers.append(nn.ModuleList(blocks))
        last = nn.Conv2d(width, channels, 3, padding=1)
        super().__init__([*layers, nn.Sequential(nn.GroupNorm(GROUPS, width), nn.SiLU(), last)])
        self.video = video

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """x (B, C, T, H, W) or (B, C, F, M); emb (B, E), the U-Net's time embedding of the latents' noise."""
        count = len(x)
        if self.video:
            emb = emb.repeat_interleave(x.shape[2], dim=0)
            x = rearrange(x, "b c t h w -> (b t) c h w")
        for stage in self:
            for layer in [stage] if isinstance(stage, nn.Sequential) else cast("nn.ModuleList", stage):
                x = self._through(layer, x, emb, count)
        return rearrange(x, "(b t) c h w -> b c t h w", b=count) if self.video else x

    def _through(self, layer: nn.Module, x: Tensor, emb: Tensor, count: int) -> Tensor:
        if isinstance(layer, nn.ModuleList):  # a residual block and its attention over time
            x = layer[0](x, emb)
            return rearrange(layer[1](rearrange(x, "(b t) c h w -> b c t h w", b=count)), "b c t h w -> (b t) c h w")
        return layer(x, emb) if isinstance(layer, ResBlock) else layer(x)


def as_sequence(features: Tensor) -> Tensor:
    """Features (B, D, T, H, W) or (B, D, F, M) -> (B, D, L, 1), for CMC-PE: means over space or frequency, each channel
    divided by its norm over time."""
    means = features.flatten(3).mean(3)
    return (means / means.norm(dim=-1, keepdim=True))[..., None]


def as_vector(features: Tensor) -> Tensor:
    """Features -> (B, 1, D) of unit length, for cross-attention: the mean over all places."""
    means = features.flatten(2).mean(2)
    return (means / means.norm(dim=-1, keepdim=True))[:, None]


class ResBlock(nn.Module):
    """Two convolutions, with the time embedding added between them. A new one passes its input on (if widths fit)."""

    def __init__(self, inner: int, outer: int, emb_dim: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(nn.GroupNorm(GROUPS, inner), nn.SiLU(), nn.Conv2d(inner, outer, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb_dim, outer))
        last = nn.Conv2d(outer, outer, 3, padding=1)
        self.out_layers = nn.Sequential(nn.GroupNorm(GROUPS, outer), nn.SiLU(), nn.Identity(), zeroed(last))
        self.skip_connection = nn.Identity() if inner == outer else nn.Conv2d(inner, outer, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """x (B, C, H, W), emb (B, E)."""
        h = self.in_layers(x) + self.emb_layers(emb)[..., None, None]
        return self.skip_connection(x) + self.out_layers(h)


class Halved(nn.Module):
    """Height and width halved."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H/2, W/2)."""
        return self.op(x)


class SpatioTemporalAttention(nn.Module):
    """Attention over time at each place, a feed-forward and a shift of channels in time, each added to its input."""

    def __init__(self, channels: int, heads: int = HEADS, dim_head: int | None = None) -> None:
        super().__init__()
        self.temporal_rel_pos_bias = RelativeBias(channels // 2, heads)
        self.temporal_attn = TemporalAttention(channels, heads, dim_head or channels // 4)
        self.ff = ShiftedFeedForward(channels)
        self.frameshiftblock = FrameShift(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> the same shape."""
        size = x.shape
        tokens = rearrange(x, "b c t h w -> (b h w) t c")
        told = self.temporal_attn(tokens + frame_places(*tokens.shape[1:]).to(tokens),
                                  self.temporal_rel_pos_bias(size[2]))
        x = x + rearrange(told, "(b h w) t c -> b c t h w", h=size[3], w=size[4])
        x = x + self.ff(x)
        return x + self.frameshiftblock(x)


def frame_places(frames: int, channels: int) -> Tensor:
    """(T, C): sines, then cosines, of the frames' times."""
    frequencies = torch.exp(-torch.arange(channels // 2) * math.log(10000) / (channels // 2 - 1))
    angles = (torch.arange(frames) / FRAME_RATE)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


class RelativeBias(nn.Module):
    """A bias of the attention for each head and distance in frames, whose logarithm a small network is told."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.net = nn.ModuleList([nn.Sequential(nn.Linear(1, width), nn.SiLU()),
                                  nn.Sequential(nn.Linear(width, width), nn.SiLU()), nn.Linear(width, heads)])

    def forward(self, frames: int) -> Tensor:
        """(heads, T, T)."""
        last = cast("nn.Linear", self.net[-1])
        places = torch.arange(frames, device=last.weight.device)
        distance = places[:, None] - places
        bias = (distance.sign() * (distance.abs() + 1).log())[..., None].to(last.weight)
        for layer in self.net:
            bias = layer(bias)
        return bias.permute(2, 0, 1)


class TemporalAttention(nn.Module):
    """Attention over (B, T, C), whose norm runs over time, as published: each channel loses its mean over the frames.
    """

    def __init__(self, channels: int, heads: int, dim_head: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = Gain(channels)
        self.to_q = nn.Linear(channels, heads * dim_head, bias=False)
        self.to_kv = nn.Linear(channels, 2 * heads * dim_head, bias=False)
        self.to_out = zeroed(nn.Linear(heads * dim_head, channels, bias=False))

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x (B, T, C), bias (heads, T, T)."""
        x = self.norm(x, dim=1)
        q, k, v = (rearrange(part, "b t (h d) -> b h t d", h=self.heads)
                   for part in (self.to_q(x), *self.to_kv(x).chunk(2, dim=-1)))
        told = functional.scaled_dot_product_attention(q, k, v, bias.to(q)[None])
        return self.to_out(rearrange(told, "b h t d -> b t (h d)"))


class Gain(nn.Module):
    """Unit variance along one axis, times a gain for each channel; no bias."""

    def __init__(self, channels: int, trailing: int = 0) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(channels, *[1] * trailing))

    def forward(self, x: Tensor, dim: int) -> Tensor:
        """x normalised along `dim`; 1e-3 in half precision, 1e-5 otherwise, bounds the variance from below."""
        least = 1e-5 if x.dtype == torch.float32 else 1e-3
        variance = x.var(dim, unbiased=False, keepdim=True).clamp_min(least)
        return (x - x.mean(dim, keepdim=True)) * variance.rsqrt() * self.g


class ShiftedFeedForward(nn.Module):
    """GEGLU over channels, half of which are delayed by a frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = int(channels * 8 / 3)
        self.proj_in = nn.Sequential(nn.Conv3d(channels, 2 * inner, 1, bias=False))
        self.proj_out = nn.ModuleList([Gain(inner, trailing=3), nn.Conv3d(inner, channels, 1, bias=False)])

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> the same shape."""
        value, gate = self.proj_in(x).chunk(2, dim=1)
        h = delayed(value * functional.gelu(gate), 2)
        return self.proj_out[1](self.proj_out[0](h, dim=1))


class FrameShift(nn.Module):
    """A convolution of each frame, whose channels are delayed by nought to seven frames. A new one adds nothing."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        last = nn.Conv2d(channels, channels, 3, padding=1)
        self.out_layers = nn.Sequential(nn.GroupNorm(GROUPS, channels), nn.SiLU(), zeroed(last))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> the same shape."""
        frames = self.out_layers(rearrange(x, "b c t h w -> (b t) c h w"))
        return delayed(rearrange(frames, "(b t) c h w -> b c t h w", b=len(x)), SHIFTS)


def delayed(x: Tensor, parts: int) -> Tensor:
    """x (B, C, T, H, W) with its channels in `parts`, part k delayed by k frames after zeros."""
    count = x.shape[2]
    return torch.cat([functional.pad(part, (0, 0, 0, 0, k, 0))[:, :, :count]
                      for k, part in enumerate(x.chunk(parts, dim=1))], dim=1)


def zeroed(layer: Layer) -> Layer:
    """The layer with zeros for weights: what it leads to starts as nothing."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
