"""BERT as GRAM's text encoder: bidirectional, and with cross-attention for the matching head.

Source: arXiv 1810.04805, `ispamm/GRAM: model/text_encoders/bert` (official parameter names).
The official class is built as a decoder, yet its masks are bidirectional; transformers' decoder would make the [CLS]
feature causal, hence this own block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn

from ..errors import WeightsError

MASKED_SCORE = -10000.0  # official value, finite


@dataclass(frozen=True)
class TextConfig:
    """Sizes under transformers' names; the defaults are BERT base uncased."""

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    dropout: float = 0.1  # of embeddings and of every branch, in training
    pad_token_id: int = 0


class TextTower(nn.Module):
    """Token ids -> hidden states; [CLS] is token 0."""

    def __init__(self, config: TextConfig, cross_attention: bool = False) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(
            Layer(config, cross_attention) for _ in range(config.num_hidden_layers))})
        self.apply(_init_weights)

    def forward(self, input_ids: Tensor, condition: Tensor | None = None) -> Tensor:
        """input_ids (B, L) int64, padded -> last hidden state (B, L, hidden_size).

        condition (B, N, hidden_size): tokens attended to by cross-attention; None skips those layers.
        """
        mask = (input_ids == self.config.pad_token_id)[:, None, None, :] * MASKED_SCORE
        x = self.embeddings(input_ids)
        mask = mask.to(x.dtype)
        layers = cast(nn.ModuleList, self.encoder["layer"])
        for layer in layers:
            x = layer(x, mask, condition)
        return x


class Embeddings(nn.Module):
    """Word, position and segment embeddings, summed and normalised. Captions are one segment."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, input_ids: Tensor) -> Tensor:
        x = self.word_embeddings(input_ids) + self.position_embeddings.weight[:input_ids.shape[1]]
        return F.dropout(self.LayerNorm(x + self.token_type_embeddings.weight[0]), self.dropout, self.training)


class SelfOrCross(nn.Module):
    """Multi-head attention of `x` over `source`."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x: Tensor, source: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = (p(y).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for p, y in ((self.query, x), (self.key, source), (self.value, source)))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)


class Residual(nn.Module):
    """Linear, dropout, post-norm residual."""

    def __init__(self, config: TextConfig, width: int) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.dense = nn.Linear(width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, branch: Tensor, x: Tensor) -> Tensor:
        return self.LayerNorm(x + F.dropout(self.dense(branch), self.dropout, self.training))


class AttentionBranch(nn.ModuleDict):
    """Attention with its output residual, under the official names `self` and `output`."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__({"self": SelfOrCross(config), "output": Residual(config, config.hidden_size)})

    def forward(self, x: Tensor, source: Tensor, mask: Tensor | None = None) -> Tensor:
        return self["output"](self["self"](x, source, mask), x)


class Layer(nn.Module):
    """Post-norm transformer layer: self-attention, cross-attention where there is a condition, feed-forward."""

    def __init__(self, config: TextConfig, cross_attention: bool) -> None:
        super().__init__()
        self.attention = AttentionBranch(config)
        self.crossattention = AttentionBranch(config) if cross_attention else None
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(config.hidden_size, config.intermediate_size)})
        self.output = Residual(config, config.intermediate_size)

    def forward(self, x: Tensor, mask: Tensor, condition: Tensor | None) -> Tensor:
        x = self.attention(x, x, mask)
        if condition is not None:
            if self.crossattention is None:
                raise WeightsError("this text tower has no cross-attention; build the GRAM encoder with matching=True.")
            x = self.crossattention(x, condition)
        return self.output(F.gelu(self.intermediate["dense"](x)), x)


class WordPieceTokenizer:
    """Uncased WordPiece tokenizer of BERT from a `vocab.txt`, one token per line."""

    def __init__(self, vocabulary: Path | Sequence[str]) -> None:
        """vocabulary: the file, the folder that holds it, or its lines. Raises WeightsError where it is absent."""
        self.words = tuple(_read_vocabulary(vocabulary) if isinstance(vocabulary, Path) else vocabulary)
        index = {word: i for i, word in enumerate(self.words)}
        if missing := {"[PAD]", "[UNK]", "[CLS]", "[SEP]"} - set(index):
            raise WeightsError(f"the WordPiece vocabulary lacks {', '.join(sorted(missing))}; "
                               "use BERT's vocab.txt format.")
        tokenizer = Tokenizer(models.WordPiece(vocab=index, unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", index["[SEP]"]), ("[CLS]", index["[CLS]"]))
        tokenizer.decoder = decoders.WordPiece()
        self._tokenizer = tokenizer
        self._pad = index["[PAD]"]

    def __len__(self) -> int:
        return len(self.words)

    def __call__(self, texts: Sequence[str], max_length: int = 40) -> Tensor:
        """Texts -> ids (B, max_length) int64 with [CLS] and [SEP], truncated and padded."""
        self._tokenizer.enable_truncation(max_length)
        self._tokenizer.enable_padding(length=max_length, pad_id=self._pad, pad_token="[PAD]")
        return torch.tensor([e.ids for e in self._tokenizer.encode_batch(list(texts))], dtype=torch.int64)

    def for_language_model(self) -> Tokenizer:
        """The same words for a causal language model: texts begin with [CLS], and end as the model decides. What it
        writes has hyphens and apostrophes within words."""
        tokenizer = Tokenizer.from_str(self._tokenizer.to_str())
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A", special_tokens=[("[CLS]", self.words.index("[CLS]"))])
        tokenizer.decoder = decoders.Sequence([tokenizer.decoder, decoders.Fuse(), decoders.Replace(" - ", "-"),
                                               decoders.Replace(" ' ", "'")])
        return tokenizer

    def save(self, folder: Path) -> None:
        """Write `vocab.txt` into `folder`."""
        (folder / "vocab.txt").write_text("\n".join(self.words) + "\n", encoding="utf-8")


def _read_vocabulary(path: Path) -> list[str]:
    file = path / "vocab.txt" if path.is_dir() else path
    if not file.is_file():
        raise WeightsError(f"no WordPiece vocabulary at {file}; name BERT's vocab.txt or the folder that holds it.")
    return file.read_text(encoding="utf-8").splitlines()


def _init_weights(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)  # a fixed 0.02 leaves narrow towers almost constant
        nn.init.zeros_(module.bias)
    if isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
