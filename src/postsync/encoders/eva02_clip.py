"""The visual tower of EVA02-CLIP-L/14-336: rotary positions, gated feed-forward, inner norms.

Source: Fang et al., arXiv 2303.11331; open_clip's `EVA02-L-14-336` and baaivision/EVA: EVA-CLIP (MIT), whose two
layouts `from_official` reads. Not the EVA01 of eva_clip.py.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from diffusers import ConfigMixin, ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import WeightsError
from ..features.resize import centre_crop, resize_pictures, short_side_size
from ..weights.layout import build, rename
from .eva_clip import IMAGE_MEAN, IMAGE_STD

FPS = 5.0  # any rate works, frames are independent; VATT takes five a second
EPS = 1e-6
_BATCH = 8  # frames at once

IGNORED = (
    (r"(module\.)?text\.", "the text tower"),
    (r"(module\.)?logit_scale$", "the temperature of the training loss"),
    (r".*\brope\.", "sines and cosines, computed here"),
)
KEYS = (
    (r"^module\.", ""),
    (r"^visual\.(trunk\.)?", ""),
    (r"\.attn\.([qv])_bias$", r".attn.\1_proj.bias"),
    (r"\.attn\.inner_attn_ln\.", ".attn.norm."),
    (r"\.mlp\.w1\.", ".mlp.fc1_g."),
    (r"\.mlp\.w2\.", ".mlp.fc1_x."),
    (r"\.mlp\.ffn_ln\.", ".mlp.norm."),
    (r"\.mlp\.w3\.", ".mlp.fc2."),
)


class Attention(nn.Module):
    """Self-attention whose patches' queries and keys are rotated by their position; a norm over the joined heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.v_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
        projections = (self.q_proj, self.k_proj, self.v_proj)
        q, k, v = (p(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in projections)
        q, k = (torch.cat([t[:, :, :1], rotate(t[:, :, 1:], *table)], dim=2) for t in (q, k))
        return self.proj(self.norm(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)))


class GatedMlp(nn.Module):
    """SwiGLU with a norm between."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1_g, self.fc1_x = nn.Linear(width, hidden), nn.Linear(width, hidden)
        self.norm = nn.LayerNorm(hidden, eps=EPS)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.norm(F.silu(self.fc1_g(x)) * self.fc1_x(x)))


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=EPS), nn.LayerNorm(width, eps=EPS)
        self.attn = Attention(width, heads)
        self.mlp = GatedMlp(width, hidden)

    def forward(self, x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.attn(self.norm1(x), table)
        return x + self.mlp(self.norm2(x))


class PatchEmbedding(nn.Module):
    """Strided convolution: (B, 3, H, W) -> (B, patches, width), row by row."""

    def __init__(self, width: int, patch_size: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch_size, patch_size)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.proj(pictures).flatten(2).transpose(1, 2)


class Eva02ClipVision(ModelMixin, ConfigMixin):
    """Pictures -> CLIP embeddings. Parameters carry open_clip's names; the defaults are L/14-336.

    reference_grid: patches a side in the pre-training to whose scale the positions are brought.
    """

    config_name = "config.json"  # type: ignore[assignment]

    def __init__(self, image_size: int = 336, patch_size: int = 14, width: int = 1024, depth: int = 24, heads: int = 16,
                 embed_dim: int = 768, reference_grid: int = 16) -> None:
        super().__init__()
        self.register_to_config(image_size=image_size, patch_size=patch_size, width=width, depth=depth, heads=heads,
                                embed_dim=embed_dim, reference_grid=reference_grid)
        self.image_size, self.grid = image_size, image_size // patch_size
        self.patch_embed = PatchEmbedding(width, patch_size)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.grid**2, width))
        self.blocks = nn.ModuleList(Block(width, heads, int(width * 8 / 3)) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.head = nn.Linear(width, embed_dim)

    def tokens(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, S, S), CLIP-normalised -> all tokens after the final norm (B, 1 + patches, width)."""
        x = self.patch_embed(pictures)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embed
        head_dim = self.config["width"] // self.config["heads"]
        sines, cosines = rotation(self.grid, head_dim, self.config["reference_grid"])
        for block in self.blocks:
            x = block(x, (sines.to(x), cosines.to(x)))
        return self.norm(x)

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, S, S), CLIP-normalised -> embeddings (B, embed_dim), not of unit length."""
        return self.head(self.tokens(pictures)[:, 0])

    @torch.no_grad()
    def features(self, frames: Tensor) -> dict[str, Tensor]:
        """uint8 frames (F, 3, H, W) -> "embedding" (F, embed_dim), not of unit length.

        The shorter side is resized (bicubic), then the middle square is taken.
        """
        size = short_side_size(frames.shape[-2], frames.shape[-1], self.image_size)
        mean, std = (torch.tensor(v, device=self.device).view(3, 1, 1) for v in (IMAGE_MEAN, IMAGE_STD))
        rows = [torch.zeros(0, self.config["embed_dim"], device=self.device)]
        for chunk in frames.split(_BATCH):
            pictures = centre_crop(resize_pictures(chunk, size, "bicubic"), self.image_size).to(self.device) / 255
            rows.append(self((pictures - mean) / std))
        return {"embedding": torch.cat(rows)}


def rotation(grid: int, head_dim: int, reference_grid: int) -> tuple[Tensor, Tensor]:
    """Sines and cosines (grid * grid, head_dim) of every patch.

    The first half of a head turns by the row, the second by the column; each angle occurs twice, for neighbouring
    channels; positions are scaled to `reference_grid`.
    """
    rates = 10000.0 ** (-torch.arange(0, head_dim // 2, 2, dtype=torch.float64) / (head_dim // 2))
    angles = (torch.arange(grid, dtype=torch.float64) / grid * reference_grid)[:, None] * rates
    angles = angles.repeat_interleave(2, dim=-1)
    rows, columns = (angles[:, None].expand(-1, grid, -1), angles[None].expand(grid, -1, -1))
    joined = torch.cat([rows, columns], dim=-1).flatten(0, 1).float()
    return joined.sin(), joined.cos()


def rotate(x: Tensor, sines: Tensor, cosines: Tensor) -> Tensor:
    """Rotate neighbouring channels of (B, heads, patches, head_dim): (a, b) -> (a cos - b sin, b cos + a sin)."""
    turned = torch.stack([-x[..., 1::2], x[..., ::2]], dim=-1).flatten(-2)
    return x * cosines + turned * sines


def from_official(state_dict: Mapping[str, Tensor], **sizes: object) -> Eva02ClipVision:
    """An EVA02-CLIP file in open_clip's or the original layout -> its visual tower of the published or given sizes.

    `IGNORED` lists the skipped keys. Raises WeightsError for another layout.
    """
    if not any("visual." in key for key in state_dict):
        raise WeightsError("this checkpoint has no visual tower; use open_clip's or QuanSun's EVA02-CLIP file.")
    state, _ = rename(state_dict, KEYS, IGNORED)
    return build(lambda: Eva02ClipVision(**sizes), state, "EVA02-CLIP-L/14-336")  # type: ignore[arg-type]
