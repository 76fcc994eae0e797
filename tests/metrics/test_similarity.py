"""Cosines written out, recall and AUC on small matrices that can be checked by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from postsync.encoders.volume import volume
from postsync.metrics.similarity import (
    CosineSimilarity,
    EmbeddingVolume,
    RetrievalRecall,
    TripletAUC,
    average_precision,
    cosine_similarity,
    recall_at_k,
    retrieval_hits,
    triplet_auc,
)


def rows(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.golden
def test_official_cosines(golden):
    case = load_file(golden("eval_metrics") / "logits.safetensors")
    expected = json.loads((golden("eval_metrics") / "expected_features.json").read_text())
    values = cosine_similarity(case["clap_text"], case["clap_audio"])
    mean, std = expected["clap/gudgud96_mean_std"]["value"]
    assert float(values.mean()) == pytest.approx(mean, abs=1e-6)
    assert float(values.std(correction=0)) == pytest.approx(std, abs=1e-6)
    for name in ("clap/svg_torch_cosine_mean", "clap/av_benchmark_mean"):
        assert float(values.mean()) == pytest.approx(expected[name]["value"], abs=1e-6)


def test_cosines_and_volumes_average_and_merge():
    pairs = rows(7, 5), rows(7, 5, seed=1)
    for metric_class, values in ((CosineSimilarity, cosine_similarity(*pairs)), (EmbeddingVolume, volume(*pairs))):
        first, second = metric_class(), metric_class()
        first.update(*(embeddings[:3] for embeddings in pairs))
        second.update(*(embeddings[3:] for embeddings in pairs))
        first.merge_state(second)
        assert (float(first.compute()), first.count) == (pytest.approx(float(values.double().mean())), 7)


def test_a_cosine_in_float32_is_that_of_float64_rounded():
    pairs = rows(50, 8), rows(50, 8, seed=1)
    single = cosine_similarity(*pairs, dtype=torch.float32)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), cosine_similarity(*pairs), atol=1e-6, rtol=0)
    assert not torch.equal(single.double(), cosine_similarity(*pairs))


def test_cosine_written_out():
    first, second = rows(4, 6), rows(4, 6, seed=1)
    expected = [np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(first.numpy(), second.numpy())]
    np.testing.assert_allclose(cosine_similarity(first, second), expected, atol=1e-6)
    np.testing.assert_allclose(cosine_similarity(first, first * 7), np.ones(4), atol=1e-9)
    sequences = cosine_similarity(torch.stack([first, second], 1), torch.stack([second, second], 1))
    np.testing.assert_allclose(sequences, (np.array(expected) + 1) / 2, atol=1e-6)
    assert cosine_similarity(torch.zeros(1, 3), torch.ones(1, 3)) == 0


def test_broken_embeddings_are_refused():
    with pytest.raises(ValueError, match="not finite"):
        cosine_similarity(rows(2, 3) / 0, rows(2, 3))
    with pytest.raises(ValueError, match="twice"):
        cosine_similarity(rows(2, 3), rows(3, 3))


SCORES = torch.tensor([[0.9, 0.1, 0.3, 0.2],
                       [0.8, 0.7, 0.1, 0.0],
                       [0.5, 0.6, 0.4, 0.7],
                       [0.1, 0.2, 0.3, 0.4]])


def test_recall_of_a_plain_matrix():
    assert retrieval_hits(SCORES).tolist() == [True, False, False, True]
    assert [float(recall_at_k(SCORES, k)) for k in (1, 2, 3, 4)] == [0.5, 0.75, 0.75, 1.0]


def test_labels_forgive_items_of_the_same_family():
    labels = torch.tensor([0, 0, 1, 1])
    assert retrieval_hits(SCORES, 1, labels, labels).tolist() == [True, True, True, True]
    other = torch.tensor([1, 0, 1, 0])
    assert retrieval_hits(SCORES, 1, other, torch.tensor([0, 1, 1, 0])).tolist() == [False, True, False, True]


def test_several_candidates_of_a_label_stand_in_the_way_of_others_only():
    scores = torch.tensor([[0.9, 0.8, 0.7]])
    query, candidates = torch.tensor([5]), torch.tensor([1, 1, 5])
    assert float(recall_at_k(scores, 2, query, candidates)) == 0
    assert float(recall_at_k(scores, 3, query, candidates)) == 1


def test_ties_count_against():
    assert float(recall_at_k(torch.ones(4, 4))) == 0
    assert float(recall_at_k(torch.ones(4, 4), 4)) == 1


def test_queries_without_answer_are_refused():
    with pytest.raises(ValueError, match="matches query 1"):
        recall_at_k(SCORES[:2], 1, torch.tensor([0, 9]), torch.arange(4))
    with pytest.raises(ValueError, match="labels of both"):
        recall_at_k(SCORES, 1, torch.arange(4))


def test_auc_counts_pairs():
    assert triplet_auc(torch.tensor([0.9, 0.4]), torch.tensor([0.5, 0.1])) == pytest.approx(0.75)
    assert triplet_auc(torch.tensor([1.0, 1.0]), torch.tensor([1.0])) == pytest.approx(0.5)
    generator = torch.Generator().manual_seed(0)
    matched, mismatched = torch.randn(60, generator=generator) + 1, torch.randn(80, generator=generator)
    pairs = (matched[:, None] > mismatched).double().mean()
    assert triplet_auc(matched, mismatched) == pytest.approx(float(pairs))
    with pytest.raises(ValueError, match="at least one"):
        triplet_auc(matched, torch.zeros(0))


@pytest.mark.golden
def test_volumes_rank_correlated_triplets_first(golden):
    """Correlated triplets of the official volume: each text finds its own sound and picture."""
    volume = load_file(golden("gram_volume") / "case.safetensors")["correlated.volume3"]
    assert recall_at_k(-volume) == 1
    matched = torch.eye(len(volume)).bool()
    assert triplet_auc(-volume[matched], -volume[~matched]) == 1


def test_metrics_merge():
    first, second, whole = RetrievalRecall(2), RetrievalRecall(2), RetrievalRecall(2)
    first.update(SCORES)
    second.update(SCORES.flip(0))
    whole.update(SCORES)
    whole.update(SCORES.flip(0))
    first.merge_state(second)
    assert first.compute() == whole.compute() == pytest.approx(0.5)
    auc, other = TripletAUC(), TripletAUC()
    auc.update(torch.tensor([0.9]), torch.tensor([0.5]))
    other.update(torch.tensor([0.4]), torch.tensor([0.1]))
    auc.merge_state(other)
    assert auc.compute() == pytest.approx(0.75)
    empty = TripletAUC()
    empty.update(torch.zeros(0), torch.zeros(1))
    with pytest.raises(ValueError, match="at least one"):
        empty.compute()


def test_average_precision_is_that_of_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics")
    generator = torch.Generator().manual_seed(0)
    for count in (1, 2, 7, 60):
        labels = torch.randint(2, (count,), generator=generator)
        labels[0] = 1
        scores = torch.randint(6, (count,), generator=generator) / 6  # many are equal
        expected = sklearn.average_precision_score(labels.numpy(), scores.numpy())
        assert float(average_precision(labels, scores)) == pytest.approx(expected)
    assert average_precision(torch.tensor([1, 0, 1]), torch.tensor([0.9, 0.8, 0.7])) == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert average_precision(torch.tensor([0, 0]), torch.tensor([0.9, 0.8])) == 0
    with pytest.raises(ValueError, match="twice"):
        average_precision(torch.tensor([1]), torch.tensor([0.9, 0.8]))
