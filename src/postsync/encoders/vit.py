"""The plain pre-norm transformer block of vision transformers, with timm's names."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Self-attention with a fused, biased projection of queries, keys and values: (B, N, width) -> same."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(self.attend(q, k, v).transpose(1, 2).flatten(2))

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(B, heads, N, width / heads) each -> same; every token attends to all."""
        return F.scaled_dot_product_attention(q, k, v)


class Mlp(nn.Module):
    """Linear, GELU (exact: "none", or its "tanh" form), linear."""

    def __init__(self, width: int, hidden: int, gelu: Literal["none", "tanh"] = "none") -> None:
        super().__init__()
        self.gelu = gelu
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate=self.gelu))


class Block(nn.Module):
    """x += attention(norm(x)); x += mlp(norm(x)). `eps` is that of the layer norms."""

    def __init__(self, width: int, heads: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.attn = Attention(width, heads)
        self.mlp = Mlp(width, 4 * width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def positions(*shape: int) -> nn.Parameter:
    """A learned table of embeddings or a token, drawn small."""
    return nn.Parameter(torch.randn(shape) * 0.02)
