"""The byte-pair tokenisers of CLIP and of RoBERTa, built from the vocabulary files that come with the weights.

Sources: openai/CLIP clip/simple_tokenizer.py (and facebookresearch/ImageBind, which reads the same merges); RoBERTa as
LAION-CLAP reads captions. No vocabulary is part of postsync.
"""

from __future__ import annotations

import gzip
import html
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
from torch import Tensor

from ..errors import WeightsError

CONTEXT = 77
_CLIP_MERGES = 49152 - 256 - 2  # the file lists more than CLIP uses
_CLIP_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


class ClipTokenizer:
    """Captions -> CLIP tokens, zero-padded. `start` and `end` are the two greatest ids."""

    def __init__(self, vocabulary: Path) -> None:
        """vocabulary: `bpe_simple_vocab_16e6.txt.gz`, a `merges.txt`, or a folder that holds one of them.

        Raises WeightsError where there is none.
        """
        merges = _read_merges(vocabulary, ("bpe_simple_vocab_16e6.txt.gz", "merges.txt"))[:_CLIP_MERGES]
        characters = _byte_characters()
        words = [*characters, *(f"{c}</w>" for c in characters), *("".join(pair) for pair in merges)]
        known = set(words)
        if strange := next((pair for pair in merges if not known.issuperset(pair)), None):
            raise WeightsError(f"{vocabulary} joins '{strange[0]}' and '{strange[1]}', which it does not list; it "
                               "is not CLIP's list of byte pairs.")
        self.start, self.end = len(words), len(words) + 1
        self._tokenizer = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=merges,
                                               end_of_word_suffix="</w>", unk_token=None))
        self._tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(_CLIP_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Texts -> ids (B, 77) int64: start, at most 75 pieces, end, zeros.

        Entities are unescaped, white space is collapsed, and letters lower-cased. Broken Unicode is left unchanged (the
        official code repairs it).
        """
        ids = torch.zeros(len(texts), CONTEXT, dtype=torch.int64)
        for row, text in zip(ids, texts):
            cleaned = re.sub(r"\s+", " ", html.unescape(html.unescape(text))).strip().lower()
            pieces = [self.start, *self._tokenizer.encode(cleaned).ids[: CONTEXT - 2], self.end]
            row[: len(pieces)] = torch.tensor(pieces)
        return ids


class RobertaTokenizer:
    """Captions -> RoBERTa tokens and their mask, as LAION-CLAP takes them."""

    def __init__(self, folder: Path) -> None:
        """folder: holds RoBERTa's `vocab.json` and `merges.txt`. Raises WeightsError where one is missing."""
        vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
        for file in (vocabulary, merges):
            if not file.is_file():
                raise WeightsError(f"no {file.name} in {folder}; name the folder with RoBERTa's vocab.json and "
                                   "merges.txt (published with roberta-base).")
        self._tokenizer = Tokenizer(models.BPE.from_file(str(vocabulary), str(merges)))
        start, end, pad = (self._tokenizer.token_to_id(name) for name in ("<s>", "</s>", "<pad>"))
        if start is None or end is None or pad is None:
            raise WeightsError(f"{vocabulary} lacks <s>, </s> or <pad>; use RoBERTa's.")
        self._tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        self._tokenizer.post_processor = processors.RobertaProcessing(("</s>", end), ("<s>", start),
                                                                      add_prefix_space=False)
        self._tokenizer.enable_truncation(CONTEXT)
        self._tokenizer.enable_padding(length=CONTEXT, pad_id=pad, pad_token="<pad>")

    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Texts -> ids (B, 77) and attention mask (B, 77), both int64; cut or padded."""
        encoded = self._tokenizer.encode_batch(list(texts))
        return torch.tensor([e.ids for e in encoded]), torch.tensor([e.attention_mask for e in encoded])


def _read_merges(path: Path, names: Sequence[str]) -> list[tuple[str, str]]:
    candidates = [path / name for name in names] if path.is_dir() else [path]
    file = next((c for c in candidates if c.is_file()), None)
    if file is None:
        raise WeightsError(f"no CLIP vocabulary at {path}; name bpe_simple_vocab_16e6.txt.gz (it comes with ImageBind "
                           "and CLIP), a merges.txt, or the folder that holds one.")
    content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    lines = content.decode("utf-8").splitlines()
    pairs = [tuple(line.split()) for line in lines if not line.startswith(("#version", '"bpe_simple_vocab'))]
    return [(pair[0], pair[1]) for pair in pairs if len(pair) == 2]


def _byte_characters() -> list[str]:
    """The printable character of each byte, in CLIP's order: printable bytes first, then the others."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [chr(b) for b in printable] + [chr(256 + n) for n in range(256 - len(printable))]
