"""Captions against references by common words: BLEU-1 to 4, ROUGE-L and CIDEr-D, as coco-caption defines them.

Published figures tokenise with a Java program (PTB); here `tokenise` follows its rules in Python, which shifts values
slightly: name `TOKENISATION` beside each figure (metrics.md section 15).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from .mean import ClipMean

TOKENISATION = "ptb-like words, Python"
MAX_ORDER = 4
_TINY, _SMALL = 1e-15, 1e-9  # of coco-caption's BLEU, which so has a value where nothing matches
_ROUGE_BETA = 1.2
_CIDER_SIGMA = 6.0
_WORD = re.compile(r"[a-z]+(?=n't\b)|n't\b|'(?:s|re|ve|ll|d|m)\b|\d+(?:[.,:/]\d+)*|[^\W_]+(?:[-.&][^\W_]+)*")

Words = Sequence[str]


def tokenise(text: str) -> list[str]:
    """Lower-case words without punctuation; "dog's" and "don't" are two words, "well-known" is one."""
    return _WORD.findall(text.lower().replace("’", "'"))


def bleu_counts(candidate: Words, references: Sequence[Words]) -> Tensor:
    """Statistics of one clip that add up over clips, (2 * 4 + 2,) float64.

    Matched n-grams of order 1 to 4, n-grams of the candidate, its length, and the length of the nearest reference.
    """
    _require(references)
    matched, total = [], []
    for order in range(1, MAX_ORDER + 1):
        own = _ngrams(candidate, order)
        most: Counter = Counter()
        for reference in references:
            most |= _ngrams(reference, order)
        matched.append((own & most).total())
        total.append(max(0, len(candidate) - order + 1))
    nearest = min((abs(len(reference) - len(candidate)), len(reference)) for reference in references)[1]
    return torch.tensor([*matched, *total, len(candidate), nearest], dtype=torch.float64)


def bleu(counts: Tensor) -> Tensor:
    """BLEU-1 to 4, (4,) in 0..1, of the added `bleu_counts` (10,) of all clips."""
    matched, total = counts[:MAX_ORDER], counts[MAX_ORDER : 2 * MAX_ORDER]
    precision = ((matched + _TINY) / (total + _SMALL)).log().cumsum(0) / torch.arange(1, MAX_ORDER + 1).to(counts)
    ratio = (counts[-2] + _TINY) / (counts[-1] + _SMALL)
    return (precision + torch.clamp(1 - 1 / ratio, max=0)).exp()


def rouge_l(candidate: Words, references: Sequence[Words]) -> float:
    """ROUGE-L of one clip, 0..1: F with beta 1.2 of the best recall and the best precision among the references."""
    _require(references)
    common = [_longest_common(candidate, reference) for reference in references]
    precision = max(common) / max(len(candidate), 1)
    recall = max(length / max(len(reference), 1) for length, reference in zip(common, references))
    if not precision or not recall:
        return 0.0
    return (1 + _ROUGE_BETA**2) * precision * recall / (recall + _ROUGE_BETA**2 * precision)


def cider_d(candidates: Sequence[Sequence], references: Sequence[Sequence[Sequence]]) -> Tensor:
    """CIDEr-D of each clip, (N,) float64 in 0..10, from tokens of N captions and of the references of each.

    Rare n-grams weigh more; how rare they are is counted over the references of all N clips, so a single clip has 0.
    """
    documents: Counter = Counter()
    for of_clip in references:
        _require(of_clip)
        documents.update({gram for words in of_clip for order in range(1, MAX_ORDER + 1)
                          for gram in _ngrams(words, order)})
    size = math.log(max(len(references), 1))
    scores = []
    for candidate, of_clip in zip(candidates, references, strict=True):
        own = _weights(candidate, documents, size)
        each = [_likeness(own, _weights(words, documents, size), len(candidate), len(words)) for words in of_clip]
        scores.append(10 * sum(each) / len(each))
    return torch.tensor(scores, dtype=torch.float64)


def _require(references: Sequence) -> None:
    if not references:
        raise ValueError("a caption needs at least one reference")


def _ngrams(words: Sequence, order: int) -> Counter:
    return Counter(tuple(words[i : i + order]) for i in range(len(words) - order + 1))


def _longest_common(first: Words, second: Words) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for j, other in enumerate(second, start=1):
            diagonal, row[j] = row[j], diagonal + 1 if word == other else max(row[j], row[j - 1])
    return row[-1]


def _weights(words: Sequence, documents: Counter, size: float) -> list[dict]:
    """tf-idf of the n-grams of each order."""
    return [{gram: count * (size - math.log(max(documents[gram], 1))) for gram, count in _ngrams(words, order).items()}
            for order in range(1, MAX_ORDER + 1)]


def _likeness(own: list[dict], other: list[dict], own_length: int, other_length: int) -> float:
    """Clipped cosine averaged over orders, less for lengths that differ."""
    total = 0.0
    for first, second in zip(own, other):
        norm = math.sqrt(sum(v * v for v in first.values())) * math.sqrt(sum(v * v for v in second.values()))
        product = sum(min(value, second[gram]) * second[gram] for gram, value in first.items() if gram in second)
        total += product / norm if norm else 0.0
    # coco-caption counts lengths in pairs of words
    gap = max(own_length - 1, 0) - max(other_length - 1, 0)
    return total / len(own) * math.exp(-(gap**2) / (2 * _CIDER_SIGMA**2))


class Bleu(Metric):
    """BLEU over all clips, of the given order 1 to 4."""

    higher_is_better = True
    is_differentiable = False
    full_state_update = False
    counts: Tensor

    def __init__(self, order: int = MAX_ORDER) -> None:
        super().__init__()
        if not 1 <= order <= MAX_ORDER:
            raise ValueError(f"order {order}; choose 1 to {MAX_ORDER}")
        self.order = order
        self.add_state("counts", default=torch.zeros(2 * MAX_ORDER + 2, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, candidate: str, references: Sequence[str]) -> None:
        """Add the caption of one clip and its references."""
        self.counts += bleu_counts(tokenise(candidate), [tokenise(text) for text in references]).to(self.counts)

    def compute(self) -> Tensor:
        """Scalar 0..1."""
        return bleu(self.counts)[self.order - 1]


class RougeL(ClipMean):
    """ROUGE-L averaged over clips."""

    higher_is_better = True

    def update(self, candidate: str, references: Sequence[str]) -> None:
        """Add the caption of one clip and its references."""
        self.add_values(rouge_l(tokenise(candidate), [tokenise(text) for text in references]))


class CiderD(Metric):
    """CIDEr-D averaged over clips; keeps all captions, as 63-bit hashes of their words, since rarity is known last."""

    higher_is_better = True
    is_differentiable = False
    full_state_update = False
    captions: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("captions", default=[], dist_reduce_fx="cat")

    def update(self, candidate: str, references: Sequence[str]) -> None:
        """Add the caption of one clip and its references."""
        _require(references)
        texts = [[_word_hash(word) for word in tokenise(text)] for text in (candidate, *references)]
        # number of texts, their lengths, their words: states that are joined can still be told apart
        flat = [len(texts), *map(len, texts), *(word for text in texts for word in text)]
        self.captions.append(torch.tensor(flat, dtype=torch.int64))

    def compute(self) -> Tensor:
        """Mean over clips, a float64 scalar in 0..10; NaN before the first update."""
        flat = [] if not len(self.captions) else torch.cat(list(self.captions)).tolist()
        candidates, references, start = [], [], 0
        while start < len(flat):
            lengths = flat[start + 1 : start + 1 + flat[start]]
            start += 1 + flat[start]
            texts = []
            for length in lengths:
                texts.append(flat[start : start + length])
                start += length
            candidates.append(texts[0])
            references.append(texts[1:])
        return cider_d(candidates, references).mean()


def _word_hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big") >> 1
