"""VATT Audio: a masked transformer that fills in the tokens of a sound, told by the hidden states of a language model.

Source: arXiv 2411.05679; `DragonLiu1995/video-to-audio-through-text: vatt/vt2a/modules/vt2a_mlm_alibi_uni_coder.py`
(read, not copied). Two stacks without causality over condition and sound: the first has feed-forward layers and norms
of its own for each of the two, the second is ordinary. ALiBi and a sine table tell the places; the tokens of one time
share a position.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional

from ...diffusion.guidance import classifier_free_guidance
from ...errors import ConditionError

SlotOrder = Literal["aligned", "official"]
"""What head k at position t predicts: "aligned", codebook k at time t; "official", as published, slot k T + t of the
time-major tokens, that is codebook (k T + t) mod K at time (k T + t) div K."""


class MaskedTokenTransformer(ModelMixin, ConfigMixin):
    """Tokens (B, K, T), some of them masked, and a condition (B, L, D) -> logits (B, K, T, V) of all tokens.

    The token V stands for a masked one. `shared_norm`: the first stack's norms are one pair, as published.
    """

    codebooks: Tensor

    @register_to_config
    def __init__(self, condition_dim: int = 2048, num_codebooks: int = 4, codebook_size: int = 2048,
                 codebook_dim: int = 128, dim: int = 1024, num_heads: int = 16, head_dim: int = 64,
                 joint_layers: int = 12, audio_layers: int = 12, max_positions: int = 1000, dropout: float = 0.1,
                 shared_norm: bool = True, slot_order: SlotOrder = "aligned") -> None:
        super().__init__()
        self.register_buffer("codebooks", torch.zeros(num_codebooks, codebook_size, codebook_dim))
        self.mask_vectors = nn.Parameter(torch.randn(num_codebooks, codebook_dim))
        self.token_projection = nn.Linear(codebook_dim, dim)
        self.condition_projection = nn.Linear(condition_dim, dim)
        self.condition_type, self.audio_type = (nn.Parameter(0.02 * torch.randn(1, 1, dim)) for _ in range(2))
        sizes = (dim, num_heads, head_dim, dropout)
        self.joint_stack = Stack(joint_layers, *sizes, experts=True, shared_norm=shared_norm)
        self.audio_stack = Stack(audio_layers, *sizes, experts=False, shared_norm=False)
        self.heads = nn.ModuleList(nn.Linear(dim, codebook_size, bias=False) for _ in range(num_codebooks))
        self.input_dropout = nn.Dropout(dropout)

    @property
    def mask_token(self) -> int:
        """The number that stands for a masked token."""
        return int(self.config["codebook_size"])

    def forward(self, tokens: Tensor, condition: Tensor, condition_mask: Tensor | None = None,
                dropped: Tensor | None = None) -> Tensor:
        """Logits in the order of the tokens, whatever the slot order. `condition_mask` (B, L): false for padding.
        `dropped` (B,): samples without condition; its padding stays."""
        latents = self.latents(tokens, condition, condition_mask, dropped)[1][:, condition.shape[1]:]
        logits = torch.stack([head(latents) for head in self.heads], dim=1)
        return in_token_order(logits, self.config["slot_order"])

    def latents(self, tokens: Tensor, condition: Tensor, condition_mask: Tensor | None = None,
                dropped: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The outputs (B, L + T, dim) of both stacks. Raises ConditionError for more positions than the table has."""
        length, total = condition.shape[1], condition.shape[1] + tokens.shape[2]
        if total > self.config["max_positions"]:
            raise ConditionError(f"{length} positions of the condition and {tokens.shape[2]} of the sound are more "
                                 f"than the {self.config['max_positions']} that VATT knows; shorten the prompt or the "
                                 "sound.")
        told = self.condition_projection(condition)
        if dropped is not None:
            told = torch.where(dropped[:, None, None], 0.0, told)
        x = torch.cat([told + self.condition_type, self.embed(tokens) + self.audio_type], dim=1)
        x = x + sine_table(total, self.config["dim"]).to(x)
        kept = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        if condition_mask is not None:
            kept[:, :length] = condition_mask.bool()
        bias = alibi(self.config["num_heads"], total).to(x).masked_fill(~kept[:, None, None], -torch.inf)
        joint = self.joint_stack(self.input_dropout(x), bias, kept, length)
        return joint, self.audio_stack(self.input_dropout(joint), bias, kept, length)

    def embed(self, tokens: Tensor) -> Tensor:
        """(B, K, T) -> (B, T, dim): the sum of the codebooks' vectors, projected."""
        table = torch.cat([self.codebooks, self.mask_vectors[:, None].to(self.codebooks)], dim=1)
        vectors = sum(functional.embedding(tokens[:, k], table[k]) for k in range(tokens.shape[1]))
        return self.token_projection(vectors)

    def guided(self, tokens: Tensor, condition: Tensor, condition_mask: Tensor | None, scale: float) -> Tensor:
        """Logits with classifier-free guidance; both halves in one batch."""
        if scale == 1:
            return self(tokens, condition, condition_mask)
        dropped = torch.arange(2 * len(tokens), device=tokens.device) < len(tokens)
        mask = None if condition_mask is None else condition_mask.repeat(2, 1)
        both = self(tokens.repeat(2, 1, 1), condition.repeat(2, 1, 1), mask, dropped)
        without, told = both.chunk(2)
        return classifier_free_guidance(told, without, scale)


class Stack(nn.Module):
    """Layers of attention and feed-forward, each added to its input, normalised before."""

    def __init__(self, depth: int, dim: int, num_heads: int, head_dim: int, dropout: float, *, experts: bool,
                 shared_norm: bool) -> None:
        super().__init__()

        def of_modality(make: Callable[[], nn.Module]) -> nn.Module:
            return Experts(make) if experts else make()

        def feed_forward() -> nn.Module:
            return nn.Sequential(nn.Linear(dim, 4 * dim, bias=False), nn.GELU(), nn.Dropout(dropout),
                                 nn.Linear(4 * dim, dim, bias=False))

        self.attention = nn.ModuleList(Attention(dim, num_heads, head_dim, dropout) for _ in range(depth))
        self.feed_forward = nn.ModuleList(of_modality(feed_forward) for _ in range(depth))
        self.norms = nn.ModuleList(of_modality(lambda: nn.LayerNorm(dim))
                                   for _ in range(1 if shared_norm else 2 * depth + 1))
        self.shared_norm, self.experts = shared_norm, experts
        for index in range(depth):
            _initialise(self.attention[index], 2 * index)
            _initialise(self.feed_forward[index], 2 * index + 1)

    def forward(self, x: Tensor, bias: Tensor, kept: Tensor, length: int) -> Tensor:
        """x (B, N, dim), the first `length` positions of the condition; bias (B, heads, N, N); kept (B, N)."""
        for index, (attention, feed_forward) in enumerate(zip(self.attention, self.feed_forward, strict=True)):
            x = x + attention(self.normed(x, 2 * index, length), bias) * kept[..., None]
            x = x + self._of(feed_forward, self.normed(x, 2 * index + 1, length), length)
        return self.normed(x, 2 * len(self.attention), length)

    def normed(self, x: Tensor, place: int, length: int) -> Tensor:
        """x by the norm of a place, counted over sublayers."""
        return self._of(self.norms[0 if self.shared_norm else place], x, length)

    def _of(self, module: nn.Module, x: Tensor, length: int) -> Tensor:
        return module(x, length) if self.experts else module(x)


class Experts(nn.Module):
    """One module for the positions of the condition, one for those of the sound."""

    def __init__(self, make: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.condition, self.audio = make(), make()

    def forward(self, x: Tensor, length: int) -> Tensor:
        """x (B, N, dim), of which the first `length` positions are the condition's."""
        return torch.cat([self.condition(x[:, :length]), self.audio(x[:, length:])], dim=1)


class Attention(nn.Module):
    """Attention of all to all, with a bias for each head."""

    def __init__(self, dim: int, num_heads: int, head_dim: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.to_q, self.to_k, self.to_v = (nn.Linear(dim, num_heads * head_dim, bias=False) for _ in range(3))
        self.to_out = nn.Linear(num_heads * head_dim, dim, bias=False)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x (B, N, dim), bias (B, heads, N, N)."""
        q, k, v = (layer(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
                   for layer in (self.to_q, self.to_k, self.to_v))
        mixed = functional.scaled_dot_product_attention(q, k, v, bias, self.dropout if self.training else 0.0)
        return self.to_out(mixed.transpose(1, 2).flatten(2))


def in_token_order(logits: Tensor, order: SlotOrder) -> Tensor:
    """Logits of the heads (B, K, T, V), in whatever slot order they are -> those of the tokens (B, K, T, V)."""
    if order == "aligned":
        return logits
    _, codebooks, times, _ = logits.shape
    return logits.flatten(1, 2).unflatten(1, (times, codebooks)).transpose(1, 2)


def sine_table(positions: int, dim: int) -> Tensor:
    """(1, positions, dim): sines of all frequencies, then their cosines."""
    frequencies = 10000.0 ** (-torch.arange(dim // 2) / (dim // 2))
    angles = torch.arange(positions)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)[None]


def alibi(num_heads: int, length: int) -> Tensor:
    """(1, heads, N, N): minus the distance of two positions, times the head's slope (Press et al. 2022), both ways."""
    places = torch.arange(length)
    return -torch.tensor(slopes(num_heads))[None, :, None, None] * (places[:, None] - places).abs()


def slopes(num_heads: int) -> list[float]:
    """ALiBi's slopes; where the number of heads is no power of two, those of the next lower one, then every second of
    the next higher one."""
    lower = 2 ** math.floor(math.log2(num_heads))
    of_power = [2 ** (-8 * (head + 1) / lower) for head in range(lower)]
    return of_power if lower == num_heads else of_power + slopes(2 * lower)[::2][:num_heads - lower]


def _initialise(module: nn.Module, place: int) -> None:
    """Truncated normal weights, smaller for later sublayers."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            std = 1 / math.sqrt(layer.in_features) / math.sqrt(2 * (place + 1))
            nn.init.trunc_normal_(layer.weight, std=std, a=-3 * std, b=3 * std)
