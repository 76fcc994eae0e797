"""ImageBind's towers for pictures, sound and text, which meet in one space of 1024 numbers.

Source: Girdhar et al., arXiv 2305.05665; its published weights (imagebind_huge.pth, CC BY-NC-SA 4.0: research only)
are the user's to fetch. Written from a description of the layout. How clips become inputs: imagebind_inputs.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from diffusers import ConfigMixin, ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F

from ..weights.layout import build, rename
from .imagebind_inputs import audio_clips, video_views

SAMPLE_RATE = 16000
EPS = 1e-6

IGNORED = (
    (r"modality_\w+\.depth\.", "depth, which no metric here reads"),
    (r"modality_\w+\.thermal\.", "thermal pictures, which no metric here reads"),
    (r"modality_\w+\.imu\.", "motion sensors, which no metric here reads"),
    (r"modality_preprocessors\.text\.mask$", "the causal mask, a constant"),
)
KEYS = (
    (r"^modality_preprocessors\.vision\.rgbt_stem\.proj\.1\.", "vision.patches."),
    (r"^modality_preprocessors\.audio\.rgbt_stem\.proj\.", "audio.patches."),
    (r"^modality_preprocessors\.audio\.rgbt_stem\.norm_layer\.", "audio.patch_norm."),
    (r"^modality_preprocessors\.(\w+)\.pos_embedding_helper\.pos_embed$", r"\1.positions"),
    (r"^modality_preprocessors\.text\.pos_embed$", "text.positions"),
    (r"^modality_preprocessors\.text\.token_embedding\.", "text.tokens."),
    (r"^modality_preprocessors\.(\w+)\.cls_token$", r"\1.class_token"),
    (r"^modality_trunks\.vision\.pre_transformer_layer\.0\.", "vision.first_norm."),
    (r"^modality_trunks\.(\w+)\.blocks\.", r"\1.blocks."),
    (r"\.attn\.in_proj_(weight|bias)$", r".attention.qkv.\1"),
    (r"\.attn\.out_proj\.", ".attention.out."),
    (r"\.attn\.bias_([kv])$", r".attention.extra_\1"),
    (r"\.norm_([12])\.", r".norm\1."),
    (r"\.mlp\.fc([12])\.", r".fc\1."),
    (r"^modality_heads\.(vision|audio)\.0\.", r"\1.norm."),
    (r"^modality_heads\.(vision|audio)\.2\.", r"\1.head."),
    (r"^modality_heads\.text\.proj\.0\.", "text.norm."),
    (r"^modality_heads\.text\.proj\.1\.", "text.head."),
    (r"^modality_postprocessors\.(\w+)\.1\.log_logit_scale$", r"\1.log_scale"),
)


class Attention(nn.Module):
    """Multi-head self-attention; `extra` adds one learned key and value for all tokens."""

    def __init__(self, width: int, heads: int, extra: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.extra_k = nn.Parameter(torch.zeros(1, 1, width)) if extra else None
        self.extra_v = nn.Parameter(torch.zeros(1, 1, width)) if extra else None

    def forward(self, x: Tensor, causal: bool) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        if self.extra_k is not None and self.extra_v is not None:
            k, v = (torch.cat([t, e.expand(len(x), -1, -1)], dim=1) for t, e in ((k, self.extra_k), (v, self.extra_v)))
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))
        return self.out(F.scaled_dot_product_attention(q, k, v, is_causal=causal).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Pre-norm transformer block with exact GELU."""

    def __init__(self, width: int, heads: int, extra: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=EPS), nn.LayerNorm(width, eps=EPS)
        self.attention = Attention(width, heads, extra)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, causal: bool = False) -> Tensor:
        x = x + self.attention(self.norm1(x), causal)
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class Tower(nn.Module):
    """Common part of the three towers: positions, blocks, final norm, head."""

    def __init__(self, size: Sequence[int], length: int, embed_dim: int, extra: bool = False) -> None:
        """size: (width, blocks, heads)."""
        super().__init__()
        width, blocks, heads = size
        self.positions = nn.Parameter(torch.zeros(1, length, width))
        self.blocks = nn.ModuleList(Block(width, heads, extra) for _ in range(blocks))
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.head = nn.Linear(width, embed_dim, bias=False)


class VisionTower(Tower):
    """Pairs of pictures (B, 3, 2, 224, 224), CLIP-normalised -> unit vectors (B, embed_dim)."""

    def __init__(self, size: Sequence[int], embed_dim: int, grid: int = 16, patch: int = 14, frames: int = 2) -> None:
        super().__init__(size, grid * grid + 1, embed_dim)
        width = size[0]
        self.patches = nn.Conv3d(3, width, (frames, patch, patch), (frames, patch, patch), bias=False)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.first_norm = nn.LayerNorm(width, eps=EPS)

    def forward(self, pictures: Tensor) -> Tensor:
        x = self.patches(pictures).flatten(2).transpose(1, 2)
        x = self.first_norm(torch.cat([self.class_token.expand(len(x), -1, -1), x], dim=1) + self.positions)
        for block in self.blocks:
            x = block(x)
        return F.normalize(self.head(self.norm(x[:, 0])), dim=-1)


class AudioTower(Tower):
    """Normalised filterbanks (B, 1, 128, 204) -> unit vectors times their scale (20), (B, embed_dim)."""

    def __init__(self, size: Sequence[int], embed_dim: int, grid: tuple[int, int] = (12, 19), kernel: int = 16,
                 stride: int = 10) -> None:
        super().__init__(size, grid[0] * grid[1] + 1, embed_dim, extra=True)
        width = size[0]
        self.patches = nn.Conv2d(1, width, kernel, stride, bias=False)
        self.patch_norm = nn.LayerNorm(width)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.log_scale = nn.Parameter(torch.tensor(math.log(20.0)), requires_grad=False)

    def forward(self, fbank: Tensor) -> Tensor:
        x = self.patch_norm(self.patches(fbank).flatten(2).transpose(1, 2))
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x], dim=1) + self.positions
        for block in self.blocks:
            x = block(x)
        return F.normalize(self.head(self.norm(x[:, 0])), dim=-1) * self.log_scale.exp()


class TextTower(Tower):
    """CLIP tokens (B, 77) -> unit vectors times their learned scale (at most 100), (B, embed_dim)."""

    def __init__(self, size: Sequence[int], embed_dim: int, vocabulary: int = 49408, length: int = 77) -> None:
        super().__init__(size, length, embed_dim)
        self.tokens = nn.Embedding(vocabulary, size[0])
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids) + self.positions
        for block in self.blocks:
            x = block(x, causal=True)
        end = x[torch.arange(len(x), device=x.device), ids.argmax(-1)]  # the end of the text has the greatest id
        return F.normalize(self.head(self.norm(end)), dim=-1) * self.log_scale.exp().clamp(max=100)


class ImageBind(ModelMixin, ConfigMixin):
    """The three towers. `*_size`: their (width, blocks, heads); the defaults are imagebind_huge."""

    config_name = "config.json"  # type: ignore[assignment]

    def __init__(self, vision_size: Sequence[int] = (1280, 32, 16), text_size: Sequence[int] = (1024, 24, 16),
                 audio_size: Sequence[int] = (768, 12, 12), embed_dim: int = 1024, vocabulary: int = 49408) -> None:
        super().__init__()
        self.register_to_config(vision_size=list(vision_size), text_size=list(text_size), audio_size=list(audio_size),
                                embed_dim=embed_dim, vocabulary=vocabulary)
        self.vision = VisionTower(vision_size, embed_dim)
        self.text = TextTower(text_size, embed_dim, vocabulary)
        self.audio = AudioTower(audio_size, embed_dim)

    def embed_video(self, views: Tensor) -> Tensor:
        """Views (B, S, 3, 2, 224, 224) of clips, CLIP-normalised -> mean of their unit vectors (B, embed_dim)."""
        return self.vision(views.flatten(0, 1)).unflatten(0, views.shape[:2]).mean(1)

    def embed_images(self, pictures: Tensor) -> Tensor:
        """Still pictures (B, 3, 224, 224), CLIP-normalised -> unit vectors (B, embed_dim)."""
        return self.vision(pictures[:, :, None].expand(-1, -1, 2, -1, -1))

    def embed_audio(self, fbank: Tensor) -> Tensor:
        """Filterbanks (B, S, 1, 128, 204), normalised -> mean over the S clips of 20 x unit vectors (B, embed_dim)."""
        return self.audio(fbank.flatten(0, 1)).unflatten(0, fbank.shape[:2]).mean(1)

    def embed_text(self, ids: Tensor) -> Tensor:
        """CLIP tokens (B, 77), zero-padded (`ClipTokenizer`) -> scaled unit vectors (B, embed_dim)."""
        return self.text(ids)

    @torch.no_grad()
    def video_features(self, frames: Tensor, fps: float, protocol: str = "imagebind") -> dict[str, Tensor]:
        """uint8 frames (F, 3, H, W) of one clip at `fps` -> "embedding" (embed_dim,), for cosines.

        protocol: "imagebind" (15 views of five times two seconds) or "av-benchmark" (give it 0.5 frames a second).
        """
        views = video_views(frames, fps, protocol)
        return {"embedding": torch.cat([self.vision(view[None].to(self.device)) for view in views]).mean(0)}

    @torch.no_grad()
    def audio_features(self, waveform: Tensor) -> dict[str, Tensor]:
        """Waveforms (B, N) at 16 kHz in -1..1 -> "embedding" (B, embed_dim), the mean over three times two seconds."""
        return {"embedding": self.embed_audio(torch.stack([audio_clips(one) for one in waveform]))}

    @torch.no_grad()
    def text_features(self, ids: Tensor) -> dict[str, Tensor]:
        """CLIP tokens (B, 77) -> "embedding" (B, embed_dim)."""
        return {"embedding": self.embed_text(ids)}


def from_official(state_dict: Mapping[str, Tensor], **sizes: object) -> ImageBind:
    """`imagebind_huge.pth` -> ImageBind of the published or the given sizes.

    `IGNORED` lists the skipped keys. Raises WeightsError for another layout.
    """
    state, _ = rename(state_dict, KEYS, IGNORED)
    return build(lambda: ImageBind(**sizes), state, "ImageBind (imagebind_huge.pth)")  # type: ignore[arg-type]
