"""The matching head of GRAM: does a caption match a (video, audio) condition? Needed in training only.

Source: `ispamm/GRAM: model/gram.py, model/vast.py`. The text tower reads the caption with cross-attention to the
condition tokens; two classes on its [CLS] state, class 1 = match.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LAYER_NORM_EPS = 1e-12


@dataclass(frozen=True)
class MatchingConfig:
    """Widths of the three towers, and how many frames and audio slices have an embedding of their own."""

    video_width: int = 1408
    audio_width: int = 768
    text_width: int = 768
    max_frames: int = 8
    max_audio_slices: int = 1


class MatchingHead(nn.Module):
    """Turns tower outputs into condition tokens, and [CLS] states into match logits."""

    def __init__(self, config: MatchingConfig) -> None:
        super().__init__()
        width = config.text_width
        self.video_projection = _projection(config.video_width, width)
        self.audio_projection = _projection(config.audio_width, width)
        self.video_frame_embedding = nn.Parameter(0.02 * torch.randn(1, config.max_frames, width))
        self.audio_frame_embedding = nn.Parameter(0.02 * torch.randn(1, config.max_audio_slices, width))
        self.video_type_embedding = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.audio_type_embedding = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.head = nn.ModuleDict({
            "linear1": nn.Linear(width, width), "layernorm": nn.LayerNorm(width, eps=LAYER_NORM_EPS),
            "linear2": nn.Linear(width, 2)})

    def condition(self, video_tokens: Tensor, audio_tokens: Tensor) -> Tensor:
        """video_tokens (B, n, P, video_width) and audio_tokens (B, m, T, audio_width) -> (B, n*P + m*T, text_width):
        video first, then audio."""
        video = self._embed(self.video_projection(video_tokens), self.video_frame_embedding, self.video_type_embedding)
        audio = self._embed(self.audio_projection(audio_tokens), self.audio_frame_embedding, self.audio_type_embedding)
        return torch.cat([video, audio], dim=1)

    def forward(self, cls: Tensor) -> Tensor:
        """[CLS] states (B, text_width) -> logits (B, 2)."""
        return self.head["linear2"](self.head["layernorm"](F.gelu(self.head["linear1"](cls))))

    @staticmethod
    def _embed(tokens: Tensor, frame_embedding: Tensor, type_embedding: Tensor) -> Tensor:
        per_frame = resize_frame_embedding(frame_embedding, tokens.shape[1])
        return (tokens + per_frame.unsqueeze(2)).flatten(1, 2) + type_embedding


def resize_frame_embedding(table: Tensor, count: int) -> Tensor:
    """(1, n, W) -> (1, count, W) by nearest neighbour, as the official loader does."""
    if table.shape[1] == count:
        return table
    return F.interpolate(table.transpose(1, 2), count, mode="nearest").transpose(1, 2)


def _projection(source: int, target: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(source, target), nn.LayerNorm(target, eps=LAYER_NORM_EPS))
