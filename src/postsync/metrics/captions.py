"""Captions against references: by common words (BLEU-1 to 4, ROUGE-L, CIDEr-D), and by contextual embeddings
(BERTScore).

The former as coco-caption defines them. Published figures tokenise with a Java program (PTB); here `tokenise` follows
its rules in Python, which shifts values slightly: name `TOKENISATION` beside each figure (metrics.md section 15).

BERTScore (Zhang et al. 2020) is layer 17 of roberta-large without rescaling, as `bert_score.score(lang="en")`, computed
by torchmetrics. The network is never downloaded: it is read from a folder or from the cache of Hugging Face.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ..errors import WeightsError
from ..weights.layout import readable
from .accumulators import ClipMean, ClipSums, PooledRows

TOKENISATION = "ptb-like words, Python"
MAX_ORDER = 4
_TINY, _SMALL = 1e-15, 1e-9  # of coco-caption's BLEU, so that it is defined without matches
_ROUGE_BETA = 1.2
_CIDER_SIGMA = 6.0
ROBERTA = "FacebookAI/roberta-large"  # of BERTScore
LAYER = 17
_WORD = re.compile(r"[a-z]+(?=n't\b)|n't\b|'(?:s|re|ve|ll|d|m)\b|\d+(?:[.,:/]\d+)*|[^\W_]+(?:[-.&][^\W_]+)*")

Words = Sequence[str]
Score = Literal["precision", "recall", "f1"]


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
    """BLEU-1 to 4, (..., 4) in 0..1, of the added `bleu_counts` (..., 10) of all clips."""
    matched, total = counts[..., :MAX_ORDER], counts[..., MAX_ORDER : 2 * MAX_ORDER]
    precision = ((matched + _TINY) / (total + _SMALL)).log().cumsum(-1) / torch.arange(1, MAX_ORDER + 1).to(counts)
    ratio = (counts[..., -2:-1] + _TINY) / (counts[..., -1:] + _SMALL)
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

    Rare n-grams weigh more; rarity is counted over the references of all N clips, so a single clip has 0.
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
        each = [_similarity(own, _weights(words, documents, size), len(candidate), len(words)) for words in of_clip]
        scores.append(10 * sum(each) / len(each))
    return torch.tensor(scores, dtype=torch.float64)


def caption_words(candidate: str, references: Sequence[str]) -> Tensor:
    """A caption and its references, (L, 1) int64: words as 63-bit hashes; those of several clips can be joined."""
    _require(references)
    texts = [[_word_hash(word) for word in tokenise(text)] for text in (candidate, *references)]
    # number of texts, their lengths, their words: joined rows can still be separated
    flat = [len(texts), *map(len, texts), *(word for text in texts for word in text)]
    return torch.tensor(flat, dtype=torch.int64)[:, None]


def cider_d_of_words(rows: Tensor) -> Tensor:
    """CIDEr-D of each clip, (N,) float64 in 0..10, from their joined `caption_words` (L, 1)."""
    flat, start = rows.flatten().tolist(), 0
    candidates, references = [], []
    while start < len(flat):
        lengths = flat[start + 1 : start + 1 + flat[start]]
        start += 1 + flat[start]
        texts = []
        for length in lengths:
            texts.append(flat[start : start + length])
            start += length
        candidates.append(texts[0])
        references.append(texts[1:])
    return cider_d(candidates, references)


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


def _similarity(own: list[dict], other: list[dict], own_length: int, other_length: int) -> float:
    """Clipped cosine averaged over orders, less for lengths that differ."""
    total = 0.0
    for first, second in zip(own, other):
        norm = math.sqrt(sum(v * v for v in first.values())) * math.sqrt(sum(v * v for v in second.values()))
        product = sum(min(value, second[gram]) * second[gram] for gram, value in first.items() if gram in second)
        total += product / norm if norm else 0.0
    # coco-caption counts lengths in pairs of words
    gap = max(own_length - 1, 0) - max(other_length - 1, 0)
    return total / len(own) * math.exp(-(gap**2) / (2 * _CIDER_SIGMA**2))


class Bleu(ClipSums):
    """BLEU over all clips, of the given order 1 to 4, 0..1."""

    higher_is_better = True
    num_terms = 2 * MAX_ORDER + 2

    def __init__(self, order: int = MAX_ORDER) -> None:
        super().__init__()
        if not 1 <= order <= MAX_ORDER:
            raise ValueError(f"order {order}; choose 1 to {MAX_ORDER}")
        self.order = order

    def terms(self, candidate: str, references: Sequence[str]) -> Tensor:
        """`bleu_counts` of the caption of one clip and its references."""
        return bleu_counts(tokenise(candidate), [tokenise(text) for text in references])

    def value(self, sums: Tensor) -> Tensor:
        """BLEU of added counts (..., 10)."""
        return bleu(sums)[..., self.order - 1]


class RougeL(ClipMean):
    """ROUGE-L averaged over clips, 0..1."""

    higher_is_better = True

    def values(self, candidate: str, references: Sequence[str]) -> float:
        """Of the caption of one clip and its references."""
        return rouge_l(tokenise(candidate), [tokenise(text) for text in references])


class CiderD(PooledRows):
    """CIDEr-D averaged over clips; keeps all captions, as 63-bit hashes of their words, since rarity is known only at
    the end."""

    higher_is_better = True
    two_sides = False

    def update(self, candidate: str, references: Sequence[str]) -> None:
        """Add the caption of one clip and its references."""
        self.generated.append(caption_words(candidate, references))

    def value(self, words: Tensor) -> Tensor:
        """Mean over clips, 0..10, of their joined `caption_words` (L, 1)."""
        return cider_d_of_words(words).mean()


def bert_scores(candidates: Sequence[str], references: Sequence[str], folder: Path | None = None,
                layer: int = LAYER, network: tuple[Any, Any] | None = None) -> dict[str, Tensor]:
    """"precision", "recall" and "f1" of each caption, (N,) float32 about 0..1, against one reference each.

    `network`: model and tokeniser of `load_roberta`, to load them once for many calls; without it `folder` is read.
    Raises WeightsError where the network is absent, ValueError for lists of different length.
    """
    if len(candidates) != len(references):
        raise ValueError(f"{len(candidates)} captions and {len(references)} references; give one reference each")
    model, tokenizer = network or load_roberta(folder)
    from torchmetrics.functional.text.bert import bert_score

    scores = bert_score(list(candidates), list(references), model=model, user_tokenizer=tokenizer, num_layers=layer,
                        device=model.device)
    return {name: torch.as_tensor(scores[name]).reshape(-1) for name in ("precision", "recall", "f1")}


def load_roberta(folder: Path | None = None) -> tuple[Any, Any]:
    """Model and tokeniser from a folder, or from the cache of Hugging Face. Raises WeightsError."""
    from transformers import AutoModel, AutoTokenizer

    folder = folder or roberta_folder()
    with readable(folder, f"readable {ROBERTA}", f"fetch it again with `hf download {ROBERTA}`."):
        return AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def roberta_folder() -> Path:
    """Where roberta-large is in the cache of Hugging Face. Raises WeightsError if absent."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(ROBERTA, local_files_only=True))
    except LocalEntryNotFoundError as error:
        raise WeightsError(f"BERTScore needs {ROBERTA} (MIT licence), which is not in the cache; fetch it with "
                           f"`hf download {ROBERTA}`, or name its folder") from error


class BertScore(ClipMean):
    """BERTScore's precision, recall or F1 averaged over clips, of the reference that each caption scores best with."""

    higher_is_better = True

    def __init__(self, what: Score = "f1") -> None:
        super().__init__()
        if what not in get_args(Score):
            raise ValueError(f"unknown score '{what}'; choose one of {', '.join(get_args(Score))}")
        self.what = what

    def values(self, scores: Mapping[str, Tensor]) -> Tensor:
        """Of one clip: `bert_scores` of its caption against each of its references."""
        return scores[self.what].max()


def _word_hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big") >> 1
