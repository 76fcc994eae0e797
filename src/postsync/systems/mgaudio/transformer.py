"""FBDT, MGAudio's transformer: SiT with a vector of the picture instead of a class label.

Source: arXiv 2510.24103; willisma/SiT `models.py` and sihyun-yu/REPA `models/sit.py` (MIT), triton99/MDSGen
`masked_diffusion/models.py` for the rectangular position table and the reducer of the picture's features (all read, not
copied). Parameters carry the names of SiT, timm and MDSGen, so that checkpoints of that family load directly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from ...encoders.vit import Attention, Mlp
from ...errors import ConditionError

TIME_FEATURES = 256


def sincos_table(width: int, rows: int, columns: int) -> Tensor:
    """(rows * columns, width) fixed positions, row-major: the first half encodes the column, the second the row.

    Each half holds sines, then cosines, of the index times 10000^(-k / (width / 4)).
    """
    frequency = 10000.0 ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))

    def encode(index: Tensor) -> Tensor:
        angle = index.double()[:, None] * frequency
        return torch.cat([angle.sin(), angle.cos()], dim=1)

    row, column = torch.arange(rows).repeat_interleave(columns), torch.arange(columns).repeat(rows)
    return torch.cat([encode(column), encode(row)], dim=1).float()


class PatchEmbed(nn.Module):
    """Latents (B, C, T, F) -> tokens (B, N, width), time first."""

    def __init__(self, channels: int, width: int, patch: Sequence[int]) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, tuple(patch), tuple(patch))  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class TimestepEmbedder(nn.Module):
    """Time (B,) in 0..1, unscaled -> (B, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(TIME_FEATURES, width), nn.SiLU(), nn.Linear(width, width))

    @staticmethod
    def features(t: Tensor) -> Tensor:
        """(B, 256) float32: cosines, then sines, of t * 10000^(-k / 128)."""
        half = TIME_FEATURES // 2
        frequency = 10000.0 ** -(torch.arange(half, device=t.device, dtype=torch.float32) / half)
        angle = t.float()[:, None] * frequency
        return torch.cat([angle.cos(), angle.sin()], dim=-1)

    def forward(self, t: Tensor) -> Tensor:
        return self.mlp(self.features(t).to(self.mlp[0].weight.dtype))  # type: ignore[arg-type]


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """LayerNorm without parameters, then scale and shift (B, 1, width)."""
    return torch.addcmul(shift, functional.layer_norm(x, x.shape[-1:], eps=1e-6), 1 + scale)


class SiTBlock(nn.Module):
    """Attention and MLP, each shifted, scaled and gated by the condition c (B, width); the identity at
    initialisation."""

    def __init__(self, width: int, num_heads: int, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        self.attn = Attention(width, num_heads)
        self.mlp = Mlp(width, int(width * mlp_ratio), gelu="tanh")
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.adaLN_modulation(c)[:, None].chunk(6, dim=-1)
        x = torch.addcmul(x, gate_a, self.attn(modulated(x, shift_a, scale_a)))
        return torch.addcmul(x, gate_m, self.mlp(modulated(x, shift_m, scale_m)))


class FinalLayer(nn.Module):
    """Tokens (B, N, width) -> the values of their patches (B, N, values)."""

    def __init__(self, width: int, values: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, values)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(c)[:, None].chunk(2, dim=-1)
        return self.linear(modulated(x, shift, scale))


def alignment_projector(width: int, hidden: int, outputs: int) -> nn.Sequential:
    """REPA's three layers from token states to the space they are aligned with."""
    return nn.Sequential(nn.Linear(width, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(),
                         nn.Linear(hidden, outputs))


class FBDT(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Velocity noise - clean of latents (B, channels, latent_frames, latent_bins); the defaults are B/2.

    130.6 M values without the projector. `align_dim` None omits the projector, which only training needs.
    `train_positions` makes the position table trainable, as in MDSGen (inferred: fixed, as in SiT). With
    `null_features` the null condition is features of zeros (inferred: a vector of zeros after the reducer, as in
    MDSGen).
    """

    @register_to_config
    def __init__(self, channels: int = 8, latent_frames: int = 204, latent_bins: int = 16,
                 patch_size: Sequence[int] = (2, 2), hidden_size: int = 768, depth: int = 12, num_heads: int = 12,
                 feature_dim: int = 512, num_features: int = 32, encoder_depth: int = 4, align_dim: int | None = 512,
                 projector_dim: int = 2048, train_positions: bool = False, null_features: bool = False) -> None:
        super().__init__()
        if latent_frames % patch_size[0] or latent_bins % patch_size[1] or not 0 < encoder_depth <= depth:
            raise ValueError(f"latents {latent_frames} x {latent_bins} need whole patches, not {tuple(patch_size)}, "
                             f"and the block aligned, {encoder_depth}, is one of 1..{depth}")
        self.grid = (latent_frames // patch_size[0], latent_bins // patch_size[1])
        self.patch, self.channels, self.encoder_depth = tuple(patch_size), channels, encoder_depth
        self.feature_shape, self.null_features = (num_features, feature_dim), null_features
        self.x_embedder = PatchEmbed(channels, hidden_size, patch_size)
        self.pos_embed = nn.Parameter(sincos_table(hidden_size, *self.grid)[None], requires_grad=train_positions)
        self.t_embedder = TimestepEmbedder(hidden_size)
        self.mlp_feat = nn.Sequential(nn.Linear(feature_dim, hidden_size), nn.GELU(),
                                      nn.LayerNorm(hidden_size, eps=1e-12))
        self.conv1d_feat = nn.Sequential(nn.Conv1d(num_features, 1, 1), nn.GELU(),
                                         nn.LayerNorm(hidden_size, eps=1e-12))
        self.blocks = nn.ModuleList(SiTBlock(hidden_size, num_heads) for _ in range(depth))
        self.final_layer = FinalLayer(hidden_size, patch_size[0] * patch_size[1] * channels)
        if align_dim is not None:
            self.projectors = nn.ModuleList([alignment_projector(hidden_size, projector_dim, align_dim)])
        self._draw_weights()

    def _draw_weights(self) -> None:
        """SiT's initialisation: Xavier everywhere, zeros in the modulations and the last layer, so the output is
        exactly 0."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.xavier_uniform_(module.weight.flatten(1))
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        small: list[Any] = [self.t_embedder.mlp[0], self.t_embedder.mlp[2], self.mlp_feat[0], self.conv1d_feat[0]]
        for layer in small:
            nn.init.normal_(layer.weight, std=0.02)
        silent: list[Any] = [m.adaLN_modulation[1] for m in self.modules() if isinstance(m, SiTBlock | FinalLayer)]
        for layer in (*silent, self.final_layer.linear):
            nn.init.zeros_(layer.weight)

    def pool_features(self, features: Tensor) -> Tensor:
        """The picture's features (B, num_features, feature_dim) -> one condition vector (B, width).

        The frames are the channels of a 1 x 1 convolution: a learned weighted sum, so their number is fixed. Raises
        ConditionError for another shape.
        """
        if tuple(features.shape[1:]) != self.feature_shape:
            raise ConditionError(f"the picture's features have shape {tuple(features.shape[1:])}; this model takes "
                                 f"{self.feature_shape}, four a second.")
        return self.conv1d_feat(self.mlp_feat(features.to(self.pos_embed.dtype)))[:, 0]

    def null_condition(self, count: int) -> Tensor:
        """The condition (count, width) without a picture."""
        like = self.pos_embed
        if self.null_features:
            return self.pool_features(like.new_zeros(count, *self.feature_shape))
        return like.new_zeros(count, like.shape[2])

    def forward(self, x: Tensor, t: Tensor, condition: Tensor, project: bool = False) -> tuple[Tensor, Tensor | None]:
        """Latents (B, C, T, F) at time t (B,) in 0..1 (1 is noise) -> velocity like x, projected tokens.

        condition (B, width): what `pool_features` or `null_condition` gives. With `project` the token states after
        block `encoder_depth` (counted from 1) go through the projector: (B, N, align_dim), else None.
        """
        tokens = self.x_embedder(x) + self.pos_embed
        c = self.t_embedder(t) + condition
        projected = None
        for i, block in enumerate(self.blocks, start=1):
            tokens = block(tokens, c)
            if project and i == self.encoder_depth:
                projected = self.projectors[0](tokens)
        return self._unpatchify(self.final_layer(tokens, c)), projected

    def _unpatchify(self, values: Tensor) -> Tensor:
        """(B, N, p * q * C) -> (B, C, T, F)."""
        return rearrange(values, "b (h w) (p q c) -> b c (h p) (w q)", h=self.grid[0], p=self.patch[0],
                         q=self.patch[1])
