"""What a U-Net is told by the other one: blocks that take a temporal sequence of the other modality.

Source: arXiv 2409.17550; `SonyResearch/SVG_baseline: src/va_core/model/svg` (read, not copied). `CMCPEBlock` adds the
sequence to its features as a positional encoding, before a self-attention; `cross_attention` (the ablation, after CoDi)
lets the features attend to one vector. Names of parameters are the published ones.
"""

from __future__ import annotations

import torch
from diffusers import Transformer2DModel
from diffusers.models.attention import FeedForward
from diffusers.models.attention_processor import Attention
from einops import rearrange
from torch import Tensor, nn

from .sequences import GROUPS, zeroed


class PositionedAttention(Attention):  # type: ignore[misc]
    """Self-attention of features to which the other modality's sequence is added as a positional encoding."""

    def __init__(self, channels: int, dim_head: int, context_dim: int) -> None:
        super().__init__(channels, heads=channels // dim_head, dim_head=dim_head)
        self.proj_c = FeedForward(context_dim, channels)
        self.norm = nn.GroupNorm(GROUPS, channels, eps=1e-6)

    def encoding(self, sequence: Tensor, length: int) -> Tensor:
        """The other modality's sequence (B, D, L, 1) -> (B, length, C), the nearest of its steps at each."""
        encoding = self.norm(self.proj_c(sequence[..., 0].mT).mT)
        nearest = torch.arange(length, device=encoding.device) * encoding.shape[-1] // length
        return encoding[..., nearest].mT


class CMCPEBlock(nn.Module):
    """Cross-modal conditioning as positional encoding, of features (B, C, T, H, W) of pictures, each of which attends
    within itself, or (B, C, F, M) of sound. A new block passes its input on."""

    def __init__(self, channels: int, dim_head: int, context_dim: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels, eps=1e-6)
        self.proj_in = nn.Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList([CMCPETransformer(channels, dim_head, context_dim)])
        self.proj_out = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor, sequence: Tensor) -> Tensor:
        """x as of the class; sequence (B, D, L, 1), which covers the same time."""
        size, normed = x.shape, self.norm(x)
        frames = rearrange(normed, "b c t h w -> (b t) c h w") if x.dim() == 5 else normed
        height, width = frames.shape[-2:]
        tokens = self.proj_in(frames).flatten(2).mT
        for block in self.transformer_blocks:
            tokens = block(tokens, sequence, size[2])
        told = self.proj_out(rearrange(tokens, "b (h w) c -> b c h w", h=height, w=width))
        return x + (rearrange(told, "(b t) c h w -> b c t h w", b=size[0]) if x.dim() == 5 else told)


class CMCPETransformer(nn.Module):
    """The layers of a CMC-PE block. Each residual starts from the normalised stream, as published, and the encoding is
    in none of them."""

    def __init__(self, channels: int, dim_head: int, context_dim: int) -> None:
        super().__init__()
        self.attn_c = PositionedAttention(channels, dim_head, context_dim)
        self.ff = FeedForward(channels)
        self.attn_s = Attention(channels, heads=channels // dim_head, dim_head=dim_head)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(channels) for _ in range(3))

    def forward(self, tokens: Tensor, sequence: Tensor, length: int) -> Tensor:
        """Tokens (B T, H W, C) of pictures or (B, F M, C) of sound, `length` being T or F; sequence (B, D, L, 1)."""
        u = self.norm1(tokens)
        encoding = self.attn_c.encoding(sequence, length)
        if len(tokens) == len(sequence):  # sound, or a single picture: all steps are among its tokens
            encoding = encoding.repeat_interleave(tokens.shape[1] // length, dim=1)
        else:
            encoding = encoding.flatten(0, 1)[:, None]
        h = self.attn_c(u + encoding) + u
        v = self.norm2(h)
        h = self.attn_s(v) + v
        w = self.norm3(h)
        return self.ff(w) + w


class CrossAttentionBlock(Transformer2DModel):  # type: ignore[misc]
    """The ablation: features attend to one vector of the other modality, (B, 1, D). A new block passes its input on."""

    def __init__(self, channels: int, dim_head: int, context_dim: int) -> None:
        super().__init__(num_attention_heads=channels // dim_head, attention_head_dim=dim_head, in_channels=channels,
                         norm_num_groups=GROUPS, cross_attention_dim=context_dim)
        zeroed(self.proj_out)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """x (B, C, T, H, W) or (B, C, F, M)."""
        if x.dim() == 4:
            return super().forward(x, encoder_hidden_states=vector, return_dict=False)[0]
        frames = rearrange(x, "b c t h w -> (b t) c h w")
        told = super().forward(frames, encoder_hidden_states=vector.repeat_interleave(x.shape[2], dim=0),
                               return_dict=False)[0]
        return rearrange(told, "(b t) c h w -> b c t h w", b=len(x))
