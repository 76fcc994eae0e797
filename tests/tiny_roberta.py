"""A network such as BERTScore reads with, too small to know anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch


def write_tiny_roberta(path: Path, texts: Sequence[str]) -> Path:
    """Write a two-layer network of roberta's kind, with random weights, and its tokeniser; returns the folder."""
    from tokenizers import ByteLevelBPETokenizer
    from tokenizers.processors import RobertaProcessing
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(texts, vocab_size=300,
                                  special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    tokenizer._tokenizer.post_processor = RobertaProcessing(("</s>", 2), ("<s>", 0))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer._tokenizer, bos_token="<s>", cls_token="<s>", eos_token="</s>",
                            sep_token="</s>", pad_token="<pad>", unk_token="<unk>", mask_token="<mask>",
                            model_max_length=64).save_pretrained(path)
    torch.manual_seed(0)
    RobertaModel(RobertaConfig(vocab_size=300, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                               intermediate_size=32, max_position_embeddings=80)).save_pretrained(path)
    return path
