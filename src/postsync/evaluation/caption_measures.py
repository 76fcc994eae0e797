"""Captions of the generated side against those of the reference (VATT writes captions as well; metrics.md section 15).

Both come from the manifests of the two sides; several references of a clip all count.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..metrics.bert_score import bert_scores
from ..metrics.captions import bleu, bleu_counts, caption_words, cider_d_of_words, rouge_l, tokenise
from ..metrics.similarity import cosine_similarity
from .networks import READER
from .observation import Pair
from .sides import LeftOut

Sums = tuple[float, ...]


def captions(pair: Pair) -> tuple[str, tuple[str, ...]]:
    """The generated caption, and its references; Absent without the clip, LeftOut where its manifest has no caption."""
    made, real = pair.generated.decoded.files.captions, pair.reference.decoded.files.captions
    if not made or not real:
        raise LeftOut(f"has no caption in the manifest of the {'reference' if made else 'generated'} side")
    return made[0], real


def bleu_sums(pair: Pair) -> Sums:
    """What the clip adds to BLEU, ten counts."""
    made, real = captions(pair)
    return tuple(bleu_counts(tokenise(made), [tokenise(text) for text in real]).tolist())


def bleu_of(sums: np.ndarray, order: int) -> np.ndarray:
    """BLEU of an order from sums (..., 10): (...), in 0..1."""
    return bleu(torch.as_tensor(sums))[..., order - 1].numpy()


def rouge(pair: Pair) -> Sums:
    """(ROUGE-L, 1)."""
    made, real = captions(pair)
    return rouge_l(tokenise(made), [tokenise(text) for text in real]), 1.0


def cider_rows(pair: Pair, side: str) -> Tensor:
    """The clip's captions as rows (L, 1) of hashed words, for CIDEr-D looks at all clips at once."""
    return caption_words(*captions(pair))[:, None]


def cider(generated: Tensor, reference: Tensor | None) -> float:
    """CIDEr-D averaged over clips, 0..10."""
    return float(cider_d_of_words(generated[:, 0]).mean())


def bert(pair: Pair, what: str, layer: int) -> Sums:
    """(BERTScore's "precision", "recall" or "f1", 1), the best over the references."""
    made, real = captions(pair)
    network = pair.networks[READER]

    def read() -> dict[str, Tensor]:
        return network.run(partial(bert_scores, [made] * len(real), real, layer=layer,
                                   network=(network.model, network.tokenizer)))

    return float(pair.generated.once((READER, layer), read)[what].max()), 1.0


def caption_and_sound(pair: Pair, network: str) -> Sums:
    """(cosine of the generated caption and the real sound, 1)."""
    made, _ = captions(pair)
    reader = pair.networks[network]
    return float(cosine_similarity(reader.read(made), pair.reference.heard(network)["embedding"])), 1.0
