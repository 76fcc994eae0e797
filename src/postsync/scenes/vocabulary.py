"""The mini's own WordPiece vocabulary: about 2,300 entries, made from the captions and everyday prompt words.

Written to `weights/gram/vocab.txt` in the order of BERT's file (one entry a line, the line number is the id), which
`BertTokenizerFast` reads. Words of the captions and the everyday list stay whole; the remaining entries are the most
common beginnings and endings of the same words, and every letter is an entry, so that no word of latin letters becomes
[UNK].
"""

from __future__ import annotations

import string
from collections import Counter
from pathlib import Path

from .captions import vocabulary_words
from .everyday_words import EVERYDAY_TEXT

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SIZE = 2304


def build_vocabulary(size: int = SIZE) -> list[str]:
    """The entries, at most `size`: special tokens, characters, whole words, and pieces for unforeseen words."""
    letters = string.ascii_lowercase + string.digits
    entries = [*SPECIAL_TOKENS, *letters, *(f"##{c}" for c in letters), *string.punctuation]
    words = sorted({w.replace("'", "") for w in vocabulary_words()} | set(EVERYDAY_TEXT.split()))
    entries = list(dict.fromkeys([*entries, *words]))
    if len(entries) > size:
        raise ValueError(f"{len(entries)} whole words do not fit a vocabulary of {size}; ask for a larger one.")
    known = set(entries)
    pieces = [p for p in _pieces(words) if p not in known]
    return entries + pieces[: size - len(entries)]


def write_vocabulary(path: Path) -> int:
    """Write the vocabulary to `path` (vocab.txt) and return its number of entries."""
    entries = build_vocabulary()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(entries) + "\n", encoding="utf-8")
    return len(entries)


def _pieces(words: list[str]) -> list[str]:
    """Beginnings ("un") and endings ("##ing") of `words` of 2 to 5 letters, by letters saved over all words."""
    saved: Counter[str] = Counter()
    for word in words:
        for n in range(2, min(5, len(word) - 1) + 1):
            saved[word[:n]] += n - 1
            saved["##" + word[-n:]] += n - 1
    return sorted(saved, key=lambda piece: (-saved[piece], piece))
