"""Stable Audio's diffusion transformer with a free latent length, in the key names of the official checkpoints.

Source: Stability-AI/stable-audio-tools `models/dit.py`, `models/transformer.py` (MIT, read, not copied); Evans et al.
2024, "Stable Audio Open". The semantic tokens enter every layer by cross-attention. Time and the global condition form
one token in front of the latent frames ("prepend", the published model) or scale, shift and gate every layer ("adaLN",
an option of stable-audio-tools that learns in far fewer steps).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import pi
from typing import Literal

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

TIME_FEATURES = 256
GlobalCondType = Literal["prepend", "adaLN"]


class FourierFeatures(nn.Module):
    """Time (B, 1) -> (B, features): cosines, then sines, of learned frequencies."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(features // 2, 1))

    def forward(self, t: Tensor) -> Tensor:
        angle = 2 * pi * t @ self.weight.T
        return torch.cat([angle.cos(), angle.sin()], dim=-1)


class ScaleNorm(nn.Module):
    """LayerNorm with a learned gamma; beta is a zero buffer of the official layout."""

    beta: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))
        self.register_buffer("beta", torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, x.shape[-1:], self.gamma, self.beta, eps=1e-5)


class RotaryEmbedding(nn.Module):
    """Cosines and sines, (length, dim) each, of the rotary position code.

    The frequencies are computed, not read from the buffer, which exists for the layout only: a float16 checkpoint would
    round them, and late positions would drift.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.register_buffer("inv_freq", 10000.0 ** -(torch.arange(0, dim, 2).float() / dim))

    def forward(self, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
        frequency = 10000.0 ** -(torch.arange(0, self.dim, 2, device=device).float() / self.dim)
        angle = torch.arange(length, device=device).float()[:, None] * frequency
        angle = torch.cat([angle, angle], dim=-1)
        return angle.cos(), angle.sin()


def rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotate the first dim of the head dimensions of (B, heads, T, D) by the angles of (T, dim) cosines and sines."""
    dim = cosines.shape[-1]
    turned, rest = x[..., :dim].float(), x[..., dim:]
    first, second = turned.chunk(2, dim=-1)
    turned = turned * cosines + torch.cat([-second, first], dim=-1) * sines
    return torch.cat([turned.to(x.dtype), rest], dim=-1)


class SelfAttention(nn.Module):
    """Full attention over the frames, with rotary positions."""

    def __init__(self, dim: int, head_dim: int) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.to_qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.to_out = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
        q, k, v = rearrange(self.to_qkv(x), "b t (n h d) -> n b h t d", n=3, d=self.head_dim)
        out = functional.scaled_dot_product_attention(rotate(q, *angles), rotate(k, *angles), v)
        return self.to_out(rearrange(out, "b h t d -> b t (h d)"))


class CrossAttention(nn.Module):
    """Attention to the condition tokens (B, S, context); each key/value head serves several query heads in a row."""

    def __init__(self, dim: int, context_dim: int, head_dim: int) -> None:
        super().__init__()
        if dim % context_dim:
            raise ValueError(f"{dim // head_dim} query heads cannot share {context_dim // head_dim} key/value heads")
        self.head_dim = head_dim
        self.shared = dim // context_dim
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_kv = nn.Linear(context_dim, 2 * context_dim, bias=False)
        self.to_out = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        q = rearrange(self.to_q(x), "b t (h d) -> b h t d", d=self.head_dim)
        kv = rearrange(self.to_kv(context), "b s (n h d) -> n b h s d", n=2, d=self.head_dim)
        k, v = kv.repeat_interleave(self.shared, dim=2)
        out = functional.scaled_dot_product_attention(q, k, v)
        return self.to_out(rearrange(out, "b h t d -> b t (h d)"))


class SwiGLU(nn.Module):
    """Linear to twice the inner width; the first half times SiLU of the second."""

    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(dim, 2 * inner)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * functional.silu(gate)


class FeedForward(nn.Module):
    """SwiGLU, then back to the model width (the official names leave a gap at `ff.1`)."""

    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        last = nn.Linear(inner, dim)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.ff = nn.Sequential(SwiGLU(dim, inner), nn.Identity(), last)

    def forward(self, x: Tensor) -> Tensor:
        return self.ff(x)


class TransformerLayer(nn.Module):
    """Self-attention, cross-attention and feed-forward, each on a normalised residual branch that starts at zero.

    Under adaLN, `modulation` (B, 6 dim) plus the layer's own offset scale, shift and gate the first and the last.
    """

    def __init__(self, dim: int, context_dim: int, head_dim: int, inner: int, modulated: bool) -> None:
        super().__init__()
        self.pre_norm = ScaleNorm(dim)
        self.self_attn = SelfAttention(dim, head_dim)
        self.cross_attend_norm = ScaleNorm(dim)
        self.cross_attn = CrossAttention(dim, context_dim, head_dim)
        self.ff_norm = ScaleNorm(dim)
        self.ff = FeedForward(dim, inner)
        nn.init.zeros_(self.self_attn.to_out.weight)
        nn.init.zeros_(self.cross_attn.to_out.weight)

        if modulated:
            self.to_scale_shift_gate = nn.Parameter(torch.randn(6 * dim) / dim**0.5)

    def forward(self, x: Tensor, context: Tensor, angles: tuple[Tensor, Tensor],
                modulation: Tensor | None = None) -> Tensor:
        if modulation is None:
            x = x + self.self_attn(self.pre_norm(x), angles)
            x = x + self.cross_attn(self.cross_attend_norm(x), context)
            return x + self.ff(self.ff_norm(x))
        scale, shift, gate, ff_scale, ff_shift, ff_gate = (self.to_scale_shift_gate + modulation)[:, None].chunk(6, -1)
        x = x + self.self_attn(self.pre_norm(x) * (1 + scale) + shift, angles) * torch.sigmoid(1 - gate)
        x = x + self.cross_attn(self.cross_attend_norm(x), context)
        return x + self.ff(self.ff_norm(x) * (1 + ff_scale) + ff_shift) * torch.sigmoid(1 - ff_gate)


class ContinuousTransformer(nn.Module):
    """The layers with their input and output projections, without a forward: callers add between layers."""

    def __init__(self, channels: int, dim: int, depth: int, context_dim: int, head_dim: int, inner: int,
                 modulated: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TransformerLayer(dim, context_dim, head_dim, inner, modulated)
                                    for _ in range(depth))
        if modulated:
            self.global_cond_embedder = nn.Sequential(nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, 6 * dim))
        self.rotary_pos_emb = RotaryEmbedding(max(head_dim // 2, 32))
        self.project_in = nn.Linear(channels, dim, bias=False)
        self.project_out = nn.Linear(dim, channels, bias=False)


class DiTTrunk(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Common part of the DiT and its control branch: the embedders, the layers, and their inputs."""

    def _build(self, io_channels: int, embed_dim: int, depth: int, num_heads: int, cond_token_dim: int,
               global_cond_dim: int, ff_mult: float, global_cond_type: GlobalCondType, pooled_cond: bool) -> None:
        self.timestep_features = FourierFeatures(TIME_FEATURES)
        self.to_timestep_embed = nn.Sequential(nn.Linear(TIME_FEATURES, embed_dim), nn.SiLU(),
                                               nn.Linear(embed_dim, embed_dim))
        self.to_cond_embed = nn.Sequential(nn.Linear(cond_token_dim, cond_token_dim, bias=False), nn.SiLU(),
                                           nn.Linear(cond_token_dim, cond_token_dim, bias=False))
        self.to_global_embed = nn.Sequential(nn.Linear(global_cond_dim, embed_dim, bias=False), nn.SiLU(),
                                             nn.Linear(embed_dim, embed_dim, bias=False))
        self.to_pooled_embed: nn.Linear | None = None
        if pooled_cond:
            self.to_pooled_embed = nn.Linear(cond_token_dim, embed_dim, bias=False)
            nn.init.zeros_(self.to_pooled_embed.weight)
        self.transformer = ContinuousTransformer(io_channels, embed_dim, depth, cond_token_dim,
                                                 embed_dim // num_heads, round(embed_dim * ff_mult),
                                                 global_cond_type == "adaLN")
        self.preprocess_conv = nn.Conv1d(io_channels, io_channels, 1, bias=False)
        nn.init.zeros_(self.preprocess_conv.weight)

    def _preprocess(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T): residual 1x1 convolution."""
        return x + self.preprocess_conv(x)

    def _enter(self, x: Tensor, t: Tensor, cross_attn_cond: Tensor,
               global_cond: Tensor) -> tuple[Tensor, tuple[Tensor, tuple[Tensor, Tensor], Tensor | None]]:
        """Hidden states (B, T, E), under "prepend" with the time token in front, and the inputs of every
        layer: embedded context, rotary angles, modulation."""
        time = self.to_timestep_embed(self.timestep_features(t[:, None].to(x.dtype)))
        token = time + self.to_global_embed(global_cond)
        if self.to_pooled_embed is not None:
            token = token + self.to_pooled_embed(cross_attn_cond.sum(1))
        hidden = self.transformer.project_in(x.transpose(1, 2))
        modulation = None
        if self.config["global_cond_type"] == "adaLN":
            modulation = self.transformer.global_cond_embedder(token)
        else:
            hidden = torch.cat([token[:, None], hidden], dim=1)
        angles = self.transformer.rotary_pos_emb(hidden.shape[1], x.device)
        return hidden, (self.to_cond_embed(cross_attn_cond), angles, modulation)


class StableAudioDiT(DiTTrunk):
    """v prediction of Stable Audio Open; the defaults are its published size (1056.9 M values).

    Heads are `embed_dim / num_heads` wide; cross-attention has `cond_token_dim` / that many key/value heads.
    `pooled_cond` adds the sum of the tokens to the global condition (ours, for minis: they learn in far fewer steps).
    """

    @register_to_config
    def __init__(self, io_channels: int = 64, embed_dim: int = 1536, depth: int = 24, num_heads: int = 24,
                 cond_token_dim: int = 768, global_cond_dim: int = 1536, ff_mult: float = 4.0,
                 global_cond_type: GlobalCondType = "prepend", pooled_cond: bool = False) -> None:
        super().__init__()
        self._build(io_channels, embed_dim, depth, num_heads, cond_token_dim, global_cond_dim, ff_mult,
                    global_cond_type, pooled_cond)
        self.postprocess_conv = nn.Conv1d(io_channels, io_channels, 1, bias=False)
        nn.init.zeros_(self.postprocess_conv.weight)

    def forward(self, x: Tensor, t: Tensor, cross_attn_cond: Tensor, global_cond: Tensor,
                controls: Sequence[Tensor] = (), control_scale: float = 1.0) -> Tensor:
        """Latents (B, C, T) at time t (B,) in 0..1 -> v (B, C, T).

        cross_attn_cond (B, S, cond_token_dim), global_cond (B, global_cond_dim); `controls` are the branch's outputs
        (B, T + 1, E), T under adaLN, the i-th added, times `control_scale`, to the input of layer i.
        """
        hidden, given = self._enter(self._preprocess(x), t, cross_attn_cond, global_cond)
        for i, layer in enumerate(self.transformer.layers):
            if i < len(controls):
                hidden = hidden + control_scale * controls[i]
            hidden = layer(hidden, *given)
        out = self.transformer.project_out(hidden[:, -x.shape[-1]:]).transpose(1, 2)
        return out + self.postprocess_conv(out)
