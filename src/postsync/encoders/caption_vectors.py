"""GRAM's vectors of the captions that a training clip may be told by, and one of them drawn at each step."""

from __future__ import annotations

import torch
from torch import Tensor

from ..protocols.clip import Clip
from ..scenes.captions import paraphrases
from ..scenes.families import KNOWN
from .gram import GramEncoder


class CaptionVectors:
    """Vectors (K, D) of a clip's own captions, then of its family's training paraphrases, repeated to `count`; zeros
    where it has neither. Every caption is embedded once."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._vectors: dict[str, Tensor] = {}

    def __call__(self, clip: Clip, gram: GramEncoder) -> Tensor:
        known = paraphrases(clip.label)[0] if clip.label is not None and clip.label in KNOWN else ()
        start = sum(clip.clip_id.encode()) % max(len(known), 1)
        captions = list(dict.fromkeys((*clip.captions, *known[start:], *known[:start])))[:self.count]
        if not captions:
            return torch.zeros(self.count, gram.embedding_dim)
        new = [caption for caption in captions if caption not in self._vectors]
        if new:
            self._vectors.update(zip(new, gram.encode_text(new), strict=True))
        return torch.stack([self._vectors[captions[k % len(captions)]] for k in range(self.count)])


def draw_caption(vectors: Tensor, generator: torch.Generator, condition_drop: float = 0.0) -> Tensor:
    """One caption's vector (B, D) of each sample, of its K (B, K, D); zeros for a share `condition_drop` of them."""
    drawn = (torch.rand(len(vectors), generator=generator) * vectors.shape[1]).long().to(vectors.device)
    chosen = vectors[torch.arange(len(vectors), device=vectors.device), drawn]
    if not condition_drop:
        return chosen
    return chosen * (torch.rand(len(vectors), 1, generator=generator) >= condition_drop).to(chosen)
