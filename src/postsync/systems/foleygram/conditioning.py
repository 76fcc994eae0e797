"""FoleyGRAM's conditions: one cross-attention token for each GRAM embedding, and Stable Audio's two number tokens.

Source: arXiv 2510.05829 (linear maps from GRAM's space to the conditioning width); stable-audio-tools
`models/conditioners.py` (NumberConditioner).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import pi

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from ...errors import ConditionError

MODALITIES = ("video", "audio", "text")
NUMBER_FEATURES = 256


class NumberFeatures(nn.Module):
    """Number (B, 1) -> (B, 257): the number itself, then sines, then cosines of learned frequencies."""

    def __init__(self, features: int = NUMBER_FEATURES) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.randn(features // 2))

    def forward(self, x: Tensor) -> Tensor:
        angle = 2 * pi * x * self.weights
        return torch.cat([x, angle.sin(), angle.cos()], dim=-1)


class NumberConditioner(nn.Module):
    """Seconds (B,), clamped to 0..`max_seconds`, -> (B, dim). Nested as in the official key names."""

    def __init__(self, dim: int, max_seconds: float) -> None:
        super().__init__()
        self.max_seconds = max_seconds
        layers = nn.Sequential(NumberFeatures(), nn.Linear(NUMBER_FEATURES + 1, dim))
        self.embedder = nn.ModuleDict({"embedding": layers})

    def forward(self, seconds: Tensor) -> Tensor:
        return self.embedder["embedding"](seconds.clamp(0, self.max_seconds)[:, None] / self.max_seconds)


class FoleyConditioner(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """GRAM embeddings -> tokens (B, S, cond_token_dim); start and total seconds -> global condition (B, 2 number_dim).

    For a missing modality, an embedding of zeros gives a token of zeros, and the number of tokens stays
    `len(modalities)`. `modalities` drops tokens altogether (the paper's ablation rows). `embedding_gain` multiplies the
    unit vectors; sqrt(gram_dim) brings their components to about 1.
    """

    @register_to_config
    def __init__(self, gram_dim: int = 512, cond_token_dim: int = 768, number_dim: int = 768,
                 modalities: Sequence[str] = MODALITIES, embedding_gain: float = 1.0,
                 max_seconds: float = 512.0) -> None:
        super().__init__()
        unknown = set(modalities) - set(MODALITIES)
        if unknown or not modalities:
            raise ConditionError(f"modalities {tuple(modalities)} are not a choice from {', '.join(MODALITIES)}.")
        self.modalities = tuple(m for m in MODALITIES if m in modalities)
        for name in self.modalities:
            self.add_module(f"proj_{name}", nn.Linear(gram_dim, cond_token_dim))
        self.seconds_start = NumberConditioner(number_dim, max_seconds)
        self.seconds_total = NumberConditioner(number_dim, max_seconds)

    def projections(self) -> list[nn.Module]:
        """The trained linear maps, in the order of the tokens."""
        return [self.get_submodule(f"proj_{name}") for name in self.modalities]

    def tokens(self, embeddings: Mapping[str, Tensor | None], batch: int) -> Tensor:
        """Embeddings (B or 1, gram_dim) by modality, None or zeros if missing -> tokens (B, S, cond_token_dim)."""
        reference = next(self.parameters())
        rows = []
        for name, projection in zip(self.modalities, self.projections(), strict=True):
            embedding = embeddings.get(name)
            if embedding is None:
                rows.append(reference.new_zeros(batch, self.config["cond_token_dim"]))
                continue
            embedding = embedding.to(reference).expand(batch, -1)
            present = embedding.ne(0).any(-1, keepdim=True)
            rows.append(projection(embedding * self.config["embedding_gain"]) * present)
        return torch.stack(rows, dim=1)

    def global_cond(self, start_s: float, total_s: float, batch: int) -> Tensor:
        """(B, 2 number_dim): where the sound starts and how long the whole is, in seconds."""
        reference = next(self.parameters())
        start, total = (reference.new_full((batch,), seconds) for seconds in (start_s, total_s))
        return torch.cat([self.seconds_start(start), self.seconds_total(total)], dim=-1)
