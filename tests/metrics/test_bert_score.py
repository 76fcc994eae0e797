"""BERTScore with a tiny random network: what must hold whatever its weights are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from postsync.errors import WeightsError
from postsync.metrics.bert_score import BertScore, bert_scores, load_network
from tiny_roberta import write_tiny_roberta

SENTENCES = ["a dog barks at a car", "rain falls on a tin roof", "someone hits a drum twice"]
OTHERS = ["a dog barks", "heavy rain on a roof", "thunder"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_tiny_roberta(tmp_path_factory.mktemp("network"), SENTENCES + OTHERS)


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


def test_a_folder_with_something_else_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_network(tmp_path)


def test_a_network_that_was_loaded_once_scores_alike(folder):
    again = bert_scores(SENTENCES, OTHERS, layer=2, network=load_network(folder))
    torch.testing.assert_close(again["f1"], bert_scores(SENTENCES, OTHERS, folder, 2)["f1"])
