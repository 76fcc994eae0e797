"""The two towers of Synchformer: a segment of 0.64 s of pictures or sound -> a few vectors in its order of time.

Source: Iashin et al., arXiv 2401.16423; v-iashin/Synchformer (MIT): model/modules/feat_extractors. The picture's is a
ViT with divided space-time attention (Motionformer), the sound's an Audio Spectrogram Transformer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .vit import Attention, Block, positions

MEL_BINS, MEL_FRAMES = 128, 66
AUDIO_PATCH, AUDIO_STRIDE = 16, 10
AUDIO_ROWS = (MEL_BINS - AUDIO_PATCH) // AUDIO_STRIDE + 1
AUDIO_COLUMNS = (MEL_FRAMES - AUDIO_PATCH) // AUDIO_STRIDE + 1


class Aggregation(nn.TransformerEncoderLayer):
    """Several tokens -> one: a transformer layer over them and a token of its own, (B, N, width) -> (B, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads, 4 * width, 0.0, F.gelu, layer_norm_eps=1e-6, batch_first=True, norm_first=True)
        self.cls_token = positions(1, 1, width)

    def forward(self, tokens: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], dim=1))[:, 0]


class DividedAttention(Attention):
    """Attention of a token to the class token and to those of the same position (over time) or time (over space).

    The class token attends to all. Tokens are time-major, the class token first.
    """

    def __init__(self, width: int, heads: int, times: int, over_time: bool) -> None:
        super().__init__(width, heads)
        self.times, self.over_time = times, over_time

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        first = F.scaled_dot_product_attention(q[:, :, :1], k, v)
        grouped = self._groups(q)
        groups = grouped.shape[2]
        keys, values = (torch.cat([x[:, :, None, :1].expand(-1, -1, groups, -1, -1), self._groups(x)], dim=3)
                        for x in (k, v))
        rest = F.scaled_dot_product_attention(grouped, keys, values)
        rest = rest.transpose(2, 3) if self.over_time else rest
        return torch.cat([first, rest.flatten(2, 3)], dim=2)

    def _groups(self, x: Tensor) -> Tensor:
        """(B, heads, 1 + times * places, d) -> (B, heads, groups, members, d), without the class token."""
        x = x[:, :, 1:].unflatten(2, (self.times, -1))
        return x.transpose(2, 3) if self.over_time else x


class DividedBlock(Block):
    """x += attention over time; x += attention over space; x += mlp; each of its own layer norm."""

    def __init__(self, width: int, heads: int, times: int) -> None:
        super().__init__(width, heads)
        self.norm3 = nn.LayerNorm(width, 1e-6)
        self.timeattn = DividedAttention(width, heads, times, over_time=True)
        self.attn = DividedAttention(width, heads, times, over_time=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + self.timeattn(self.norm3(x)))


class VideoTower(nn.Module):
    """Segments (B, 3, frames, H, W) in -1..1 -> (B, times, width), a vector for every two frames."""

    def __init__(self, width: int, depth: int, heads: int, crop: int, patch: int, tubelet: int, times: int) -> None:
        super().__init__()
        self.patch_embed = nn.Conv3d(3, width, (tubelet, patch, patch), (tubelet, patch, patch))
        self.cls_token = positions(1, 1, width)
        self.pos_embed = positions(1, 1 + (crop // patch) ** 2, width)
        self.temp_embed = positions(1, times, width)
        self.blocks = nn.ModuleList(DividedBlock(width, heads, times) for _ in range(depth))
        self.norm = nn.LayerNorm(width, 1e-6)
        self.aggregation = Aggregation(width, heads)

    def tokens(self, segments: Tensor) -> Tensor:
        """The input of the first block: (B, 1 + times * places, width)."""
        patches = self.patch_embed(segments).flatten(3).permute(0, 2, 3, 1)
        patches = (patches + self.pos_embed[:, None, 1:] + self.temp_embed[:, :, None]).flatten(1, 2)
        return torch.cat([(self.cls_token + self.pos_embed[:, :1]).expand(len(segments), -1, -1), patches], dim=1)

    def forward(self, segments: Tensor) -> Tensor:
        x = self.tokens(segments)
        for block in self.blocks:
            x = block(x)
        times = self.temp_embed.shape[1]
        places = self.norm(x[:, 1:]).unflatten(1, (times, -1))
        return self.aggregation(places.flatten(0, 1)).unflatten(0, (-1, times))


class AudioTower(nn.Module):
    """Mel segments (B, 128, 66), scaled -> (B, 6, width), a vector for every 0.1 s."""

    def __init__(self, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(1, width, AUDIO_PATCH, AUDIO_STRIDE)
        self.cls_token, self.dist_token = positions(1, 1, width), positions(1, 1, width)
        self.pos_embed = positions(1, 2 + AUDIO_ROWS * AUDIO_COLUMNS, width)
        self.blocks = nn.ModuleList(Block(width, heads, eps=1e-12) for _ in range(depth))
        self.norm = nn.LayerNorm(width, 1e-12)
        self.aggregation = Aggregation(width, heads)

    def tokens(self, mel: Tensor) -> Tensor:
        """The input of the first block: (B, 2 + 12 * 6, width), patches of the same frequency beside each other."""
        patches = self.patch_embed(mel[:, None]).flatten(2).transpose(1, 2)
        first = torch.cat([self.cls_token, self.dist_token], dim=1).expand(len(mel), -1, -1)
        return torch.cat([first, patches], dim=1) + self.pos_embed

    def forward(self, mel: Tensor) -> Tensor:
        x = self.tokens(mel)
        for block in self.blocks:
            x = block(x)
        columns = self.norm(x)[:, 2:].unflatten(1, (AUDIO_ROWS, AUDIO_COLUMNS)).transpose(1, 2)
        return self.aggregation(columns.flatten(0, 1)).unflatten(0, (-1, AUDIO_COLUMNS))
