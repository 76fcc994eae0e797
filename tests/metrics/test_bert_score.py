"""BERTScore with a tiny random network: what must hold whatever its weights are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from postsync.errors import WeightsError
from postsync.metrics.bert_score import BertScore, bert_scores

SENTENCES = ["a dog barks at a car", "rain falls on a tin roof", "someone hits a drum twice"]
OTHERS = ["a dog barks", "heavy rain on a roof", "thunder"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A two-layer network of roberta's kind and a byte-level tokeniser."""
    from tokenizers import ByteLevelBPETokenizer
    from tokenizers.processors import RobertaProcessing
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

    path = tmp_path_factory.mktemp("network")
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(SENTENCES + OTHERS, vocab_size=300,
                                  special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    tokenizer._tokenizer.post_processor = RobertaProcessing(("</s>", 2), ("<s>", 0))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer._tokenizer, bos_token="<s>", cls_token="<s>", eos_token="</s>",
                            sep_token="</s>", pad_token="<pad>", unk_token="<unk>", mask_token="<mask>",
                            model_max_length=64).save_pretrained(path)
    torch.manual_seed(0)
    RobertaModel(RobertaConfig(vocab_size=300, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                               intermediate_size=32, max_position_embeddings=80)).save_pretrained(path)
    return path


def test_precision_and_recall_change_places(folder):
    forth, back = bert_scores(SENTENCES, OTHERS, folder, 2), bert_scores(OTHERS, SENTENCES, folder, 2)
    torch.testing.assert_close(forth["precision"], back["recall"])
    torch.testing.assert_close(forth["f1"], back["f1"])
    harmonic = 2 * forth["precision"] * forth["recall"] / (forth["precision"] + forth["recall"])
    torch.testing.assert_close(forth["f1"], harmonic)
    assert (forth["f1"] < 0.999).all()
    torch.testing.assert_close(bert_scores(SENTENCES, SENTENCES, folder, 2)["f1"], torch.ones(3))


def test_metric_merges(folder):
    first, second = BertScore(folder, 2), BertScore(folder, 2)
    first.update(SENTENCES[:1], OTHERS[:1])
    second.update(SENTENCES[1:], OTHERS[1:])
    first.merge_state(second)
    expected = bert_scores(SENTENCES, OTHERS, folder, 2)["f1"].double().mean()
    torch.testing.assert_close(first.compute(), expected, atol=1e-5, rtol=0)


def test_missing_network_is_named(monkeypatch, tmp_path):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="hf download"):
        bert_scores(["a dog"], ["a cat"])
    with pytest.raises(ValueError, match="one reference each"):
        bert_scores(["a"], [])
