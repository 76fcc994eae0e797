"""The visual tower of EVA01-CLIP: a pre-norm vision transformer with learned absolute positions.

Source: `baaivision/EVA: EVA-CLIP` with the switches of EVA01-CLIP-g-14 (no rotary embedding, no sub-LN, no scale).
Parameters carry the official names, so that the `visual.*` part of an official file loads directly.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

IMAGE_MEAN = (0.48145466, 0.4578275, 0.40821073)
IMAGE_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class EvaClipConfig:
    """Sizes of the tower; the defaults are EVA01-CLIP-g-14."""

    image_size: int = 224
    patch_size: int = 14
    width: int = 1408
    depth: int = 40
    heads: int = 16
    mlp_ratio: float = 4.3637
    head_dim: int | None = None  # width of the CLIP projection `head`; None: no head (GRAM does not use it)
    layer_norm_eps: float = 1e-6
    drop_path_rate: float = 0.0  # of the last block, linear over depth, in training; 0.4 when the tower was pre-trained

    @property
    def num_patches(self) -> int:
        """Patches of one image."""
        return (self.image_size // self.patch_size) ** 2


class EvaClipVision(nn.Module):
    """Images -> tokens. Token 0 is the class token."""

    def __init__(self, config: EvaClipConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbedding(config)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + config.num_patches, config.width))
        drop_rates = [config.drop_path_rate * i / max(1, config.depth - 1) for i in range(config.depth)]
        self.blocks = nn.ModuleList(Block(config, rate) for rate in drop_rates)
        self.norm = nn.LayerNorm(config.width, eps=config.layer_norm_eps)
        self.head = nn.Linear(config.width, config.head_dim) if config.head_dim is not None else None
        self.apply(_init_weights)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)

    def forward(self, pixels: Tensor) -> Tensor:
        """pixels (B, 3, image_size, image_size), normalised (`normalize_images`) -> all tokens after the final norm,
        (B, 1 + patches, width), which is what GRAM uses. Blocks held in another precision compute in that of the
        pixels, one after another."""
        x = self.patch_embed(pixels)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embed
        for block in self.blocks:
            held = next(block.parameters()).dtype
            x = block(x) if held == x.dtype else functional_call(
                block, {name: value.to(x.dtype) for name, value in block.named_parameters()}, (x,))
        return self.norm(x)


class PatchEmbedding(nn.Module):
    """Strided convolution: (B, 3, H, W) -> (B, patches, width), row by row."""

    def __init__(self, config: EvaClipConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, config.width, kernel_size=config.patch_size, stride=config.patch_size)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.proj(pixels).flatten(2).transpose(1, 2)


class Attention(nn.Module):
    """Self-attention with learned biases on queries and values; keys have none."""

    def __init__(self, config: EvaClipConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.q_bias = nn.Parameter(torch.zeros(config.width))
        self.v_bias = nn.Parameter(torch.zeros(config.width))
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=False)
        self.proj = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        q, k, v = F.linear(x, self.qkv.weight, bias).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two linear layers around an exact GELU."""

    def __init__(self, config: EvaClipConfig) -> None:
        super().__init__()
        hidden = int(config.width * config.mlp_ratio)
        self.fc1 = nn.Linear(config.width, hidden)
        self.fc2 = nn.Linear(hidden, config.width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm transformer block; in training its branches are dropped per sample with `drop_rate`."""

    def __init__(self, config: EvaClipConfig, drop_rate: float) -> None:
        super().__init__()
        self.drop_rate = drop_rate
        self.norm1 = nn.LayerNorm(config.width, eps=config.layer_norm_eps)
        self.attn = Attention(config)
        self.norm2 = nn.LayerNorm(config.width, eps=config.layer_norm_eps)
        self.mlp = Mlp(config)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self._drop_path(self.attn(self.norm1(x)))
        return x + self._drop_path(self.mlp(self.norm2(x)))

    def _drop_path(self, branch: Tensor) -> Tensor:
        if not (self.training and self.drop_rate):
            return branch
        return branch * F.dropout(branch.new_ones(len(branch), 1, 1), self.drop_rate)


def normalize_images(frames: Tensor, image_size: int, antialias: bool = True) -> Tensor:
    """Frames (..., 3, H, W) in 0..1 -> (..., 3, image_size, image_size), CLIP's mean and deviation.

    Resized bilinearly without keeping the aspect (transform `none` of GRAM); frames of that size are unchanged.
    `antialias` as in torchvision 0.17 and later; older releases had none on tensors.
    """
    flat = frames.flatten(0, -4)
    if flat.shape[-2:] != (image_size, image_size):
        flat = F.interpolate(flat, (image_size, image_size), mode="bilinear", align_corners=False, antialias=antialias)
    mean, std = (flat.new_tensor(v).view(3, 1, 1) for v in (IMAGE_MEAN, IMAGE_STD))
    return ((flat - mean) / std).unflatten(0, frames.shape[:-3])


def resize_positions(pos_embed: Tensor, num_patches: int) -> Tensor:
    """Position table (1, 1 + P, width) of a square grid -> (1, 1 + num_patches, width), bicubic; class token kept."""
    grid, target = round((pos_embed.shape[1] - 1) ** 0.5), round(num_patches ** 0.5)
    if grid == target:
        return pos_embed
    patches = pos_embed[:, 1:].transpose(1, 2).unflatten(2, (grid, grid)).float()
    patches = F.interpolate(patches, (target, target), mode="bicubic", align_corners=False)
    return torch.cat([pos_embed[:, :1], patches.flatten(2).transpose(1, 2).to(pos_embed.dtype)], dim=1)


def _init_weights(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)  # a fixed 0.02 leaves narrow towers almost constant
        if module.bias is not None:
            nn.init.zeros_(module.bias)
