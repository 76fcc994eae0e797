"""Caption metrics against torchmetrics and brute force; BERTScore with a tiny random network."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from pathlib import Path

import pytest
import torch

from postsync.errors import WeightsError
from postsync.metrics.captions import (
    BertScore,
    Bleu,
    CiderD,
    RougeL,
    bert_scores,
    bleu,
    bleu_counts,
    cider_d,
    load_roberta,
    rouge_l,
    tokenise,
)
from tiny_roberta import write_tiny_roberta

CANDIDATES = ["a dog barks at a passing car", "rain falls on a tin roof while thunder rolls",
              "someone hits a drum twice", "a door closes"]


REFERENCES = [["a dog barks loudly at a car", "dog barking as a car is passing by"],
              ["rain falling on a tin roof", "thunder rolls while rain falls on a roof", "heavy rain"],
              ["a man hits a drum", "a drum is hit twice by someone"], ["a wooden door closes slowly"]]


def words() -> tuple[list[list[str]], list[list[list[str]]]]:
    return [tokenise(text) for text in CANDIDATES], [[tokenise(text) for text in texts] for texts in REFERENCES]


def test_tokens():
    assert tokenise("A dog's bark -- don't stop!") == ["a", "dog", "'s", "bark", "do", "n't", "stop"]
    assert tokenise("Well-known, 3.5 times (at 10:30)…") == ["well-known", "3.5", "times", "at", "10:30"]
    assert tokenise("We’ll see; café “noise”") == ["we", "'ll", "see", "café", "noise"]
    assert tokenise(" ... ") == []


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_bleu_is_that_of_torchmetrics(order):
    from torchmetrics.functional.text import bleu_score

    expected = bleu_score([" ".join(c) for c in words()[0]], [[" ".join(r) for r in rs] for rs in words()[1]], order)
    metric = Bleu(order)
    for candidate, references in zip(CANDIDATES, REFERENCES):
        metric.update(candidate, references)
    assert float(metric.compute()) == pytest.approx(float(expected), abs=1e-6)


def test_bleu_of_the_same_and_of_nothing_alike():
    same = bleu(bleu_counts(tokenise(CANDIDATES[1]), [tokenise(CANDIDATES[1])]))
    torch.testing.assert_close(same, torch.ones(4, dtype=torch.float64), atol=1e-6, rtol=0)
    assert bleu(bleu_counts(["cat"], [["dog"]])).max() < 1e-3
    # two words of four, all right: only the brevity costs
    assert float(bleu(bleu_counts(["a", "dog"], [["a", "dog", "barks", "loudly"]]))[0]) == pytest.approx(math.exp(-1))


def test_rouge_by_brute_force():
    def longest(first, second):
        return max(size for size in range(len(first) + 1)
                   if any(is_within(part, second) for part in itertools.combinations(first, size)))

    def is_within(part, sequence):
        rest = iter(sequence)
        return all(word in rest for word in part)

    for candidate, references in zip(*words()):
        lengths = [longest(candidate, reference) for reference in references]
        p = max(lengths) / len(candidate)
        r = max(length / len(reference) for length, reference in zip(lengths, references))
        assert rouge_l(candidate, references) == pytest.approx((1 + 1.44) * p * r / (r + 1.44 * p))
    assert rouge_l(["a"], [["b"]]) == rouge_l([], [["b"]]) == 0


def test_cider_written_out():
    """The definition of Vedantam et al. (2015) with clipping and the length penalty, one order at a time."""
    candidates, references = words()
    scores = []
    for candidate, of_clip in zip(candidates, references):
        each = []
        for reference in of_clip:
            total = 0.0
            for n in range(1, 5):
                def grams(text, n=n):
                    return Counter(" ".join(text[i : i + n]) for i in range(len(text) - n + 1))

                def idf(gram, grams=grams):
                    return math.log(4 / max(1, sum(any(gram in grams(r) for r in rs) for rs in references)))

                g, h = ({k: v * idf(k) for k, v in grams(text).items()} for text in (candidate, reference))
                norms = math.hypot(*g.values()) * math.hypot(*h.values())
                dot = sum(min(g.get(k, 0), h[k]) * h[k] for k in h)
                total += dot / norms * math.exp(-((len(candidate) - len(reference)) ** 2) / 72) if norms else 0
            each.append(10 * total / 4)
        scores.append(sum(each) / len(each))
    assert cider_d(candidates, references).tolist() == pytest.approx(scores)
    assert cider_d(candidates, [[c] for c in candidates])[1] == pytest.approx(10)


@pytest.mark.parametrize("metric_class", [Bleu, RougeL, CiderD])
def test_metrics_merge(metric_class):
    whole, first, second = metric_class(), metric_class(), metric_class()
    for i, clip in enumerate(zip(CANDIDATES, REFERENCES)):
        whole.update(*clip)
        (first if i < 2 else second).update(*clip)
    first.merge_state(second)
    torch.testing.assert_close(first.compute(), whole.compute())
    assert 0 < float(whole.compute()) < 10


def test_hashed_words_score_as_words_do():
    metric = CiderD()
    for clip in zip(CANDIDATES, REFERENCES):
        metric.update(*clip)
    torch.testing.assert_close(metric.compute(), cider_d(*words()).mean())
    assert CiderD().compute().isnan()


def test_regression_values():
    metric = Bleu(2)
    for clip in zip(CANDIDATES, REFERENCES):
        metric.update(*clip)
    assert [float(metric.compute()), float(cider_d(*words()).mean())] == pytest.approx(REGRESSION, abs=1e-4)


REGRESSION = [0.742985, 2.727972]


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="at least one reference"):
        CiderD().update("a dog", [])
    with pytest.raises(ValueError, match="1 to 4"):
        Bleu(5)


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


def test_bert_score_merges(folder):
    first, second = BertScore("recall"), BertScore("recall")
    network = load_roberta(folder)
    of_clips = [bert_scores([sentence] * len(OTHERS), OTHERS, layer=2, network=network) for sentence in SENTENCES]
    first.update(of_clips[0])
    second.update(of_clips[1])
    second.update(of_clips[2])
    first.merge_state(second)
    best = torch.stack([scores["recall"].max() for scores in of_clips])  # each clip by its nearest reference
    torch.testing.assert_close(first.compute(), best.double().mean(), atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match="choose one of precision, recall, f1"):
        BertScore("f2")


def test_missing_network_is_named(monkeypatch, tmp_path):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="hf download"):
        bert_scores(["a dog"], ["a cat"])
    with pytest.raises(ValueError, match="one reference each"):
        bert_scores(["a"], [])


def test_a_folder_with_something_else_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"holds no readable .*roberta-large"):
        load_roberta(tmp_path)


def test_a_network_that_was_loaded_once_scores_alike(folder):
    again = bert_scores(SENTENCES, OTHERS, layer=2, network=load_roberta(folder))
    torch.testing.assert_close(again["f1"], bert_scores(SENTENCES, OTHERS, folder, 2)["f1"])
