"""Metrics that are a mean over clips: cosine similarity, alignment accuracy, DeSync, and the mean itself."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from postsync.metrics.alignment import AlignAccuracy, DeSync, align_accuracy, desync_s, predicted_offset_s
from postsync.metrics.mean import ClipMean
from postsync.metrics.similarity import CosineSimilarity, cosine_similarity


def rows(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.golden
def test_official_values(golden):
    case = load_file(golden("eval_metrics") / "logits.safetensors")
    expected = json.loads((golden("eval_metrics") / "expected_features.json").read_text())
    values = cosine_similarity(case["clap_text"], case["clap_audio"])
    mean, std = expected["clap/gudgud96_mean_std"]["value"]
    assert float(values.mean()) == pytest.approx(mean, abs=1e-6)
    assert float(values.std(correction=0)) == pytest.approx(std, abs=1e-6)
    for name in ("clap/svg_torch_cosine_mean", "clap/av_benchmark_mean"):
        assert float(values.mean()) == pytest.approx(expected[name]["value"], abs=1e-6)
    windows = torch.stack([case["desync_logits_first"], case["desync_logits_last"]], 1)
    assert float(desync_s(windows).mean()) == pytest.approx(expected["desync/mean_abs_offset_s"]["value"], abs=1e-6)


def test_cosine_written_out():
    first, second = rows(4, 6), rows(4, 6, seed=1)
    expected = [np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(first.numpy(), second.numpy())]
    np.testing.assert_allclose(cosine_similarity(first, second), expected, atol=1e-6)
    np.testing.assert_allclose(cosine_similarity(first, first * 7), np.ones(4), atol=1e-9)
    sequences = cosine_similarity(torch.stack([first, second], 1), torch.stack([second, second], 1))
    np.testing.assert_allclose(sequences, (np.array(expected) + 1) / 2, atol=1e-6)
    assert cosine_similarity(torch.zeros(1, 3), torch.ones(1, 3)) == 0


def test_a_half_is_not_aligned():
    assert align_accuracy(torch.tensor([0.0, 0.5, 0.51, 1.0])) == 0.5
    with pytest.raises(ValueError, match="sigmoid"):
        align_accuracy(torch.tensor([1.7]))


def test_offsets_of_the_classes():
    logits = torch.eye(21)[[0, 3, 10, 20]]
    np.testing.assert_allclose(predicted_offset_s(logits), [-2.0, -1.4, 0.0, 2.0], atol=1e-12)
    np.testing.assert_allclose(desync_s(torch.stack([logits[:2], logits[2:]], 1)), [1.0, 1.7], atol=1e-12)
    with pytest.raises(ValueError, match="windows"):
        desync_s(logits)


@pytest.mark.parametrize(("metric_class", "arguments", "better"), [
    (CosineSimilarity, (rows(7, 5), rows(7, 5, seed=1)), True), (AlignAccuracy, (rows(7).sigmoid(),), True),
    (DeSync, (rows(7, 2, 21),), False)])
def test_metrics_merge(metric_class, arguments, better):
    whole, first, second = metric_class(), metric_class(), metric_class()
    whole.update(*arguments)
    first.update(*(a[:3] for a in arguments))
    second.update(*(a[3:] for a in arguments))
    first.merge_state(second)
    torch.testing.assert_close(first.compute(), whole.compute())
    assert (int(first.count), metric_class.higher_is_better) == (7, better)


def test_clips_without_a_value_are_counted_apart():
    metric = ClipMeanOfNumbers()
    assert metric.compute().isnan()
    metric.update(torch.tensor([1.0, torch.nan, 3.0]))
    metric.update(torch.tensor(5.0))
    other = ClipMeanOfNumbers()
    other.update(torch.nan)
    metric.merge_state(other)
    assert (float(metric.compute()), int(metric.count), int(metric.num_undefined)) == (3.0, 3, 2)
    metric.reset()
    assert int(metric.num_undefined) == 0


class ClipMeanOfNumbers(ClipMean):
    def update(self, values: torch.Tensor | float) -> None:
        self.add_values(values)


def test_broken_embeddings_are_refused():
    with pytest.raises(ValueError, match="not finite"):
        cosine_similarity(rows(2, 3) / 0, rows(2, 3))
    with pytest.raises(ValueError, match="twice"):
        cosine_similarity(rows(2, 3), rows(3, 3))
