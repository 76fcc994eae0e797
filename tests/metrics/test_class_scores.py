"""Kullback-Leibler divergence and inception score, against official numbers, scipy and closed forms."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from postsync.metrics.class_scores import InceptionScore, KLDivergence, inception_score, kl_divergence


def logits(count: int = 9, classes: int = 5, seed: int = 0) -> torch.Tensor:
    return 2 * torch.randn(count, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.golden
def test_official_values(golden):
    case = load_file(golden("eval_metrics") / "logits.safetensors")
    expected = json.loads((golden("eval_metrics") / "expected_features.json").read_text())
    generated, reference = case["pred_logits"], case["gt_logits"]
    several = case["pred_logits_3_per_clip"].unflatten(0, (-1, 3))
    found = {
        "av_benchmark_softmax": kl_divergence(generated, reference, eps=0),
        "av_benchmark_sigmoid": kl_divergence(generated, reference, "sigmoid", eps=0),
        "audioldm_eval_softmax": kl_divergence(generated, reference),
        "audioldm_eval_sigmoid": kl_divergence(generated, reference, "sigmoid"),
        "specvqgan_melception": kl_divergence(generated, reference),
        "audiocraft_kld_pq": kl_divergence(generated, reference),
        "audiocraft_kld_qp": kl_divergence(reference, generated),
        "specvqgan_3_samples_per_clip": kl_divergence(several, reference[: len(several)]),
    }
    assert {name for name in expected if name.startswith("kl/")} == {f"kl/{name}" for name in found}
    for name, values in found.items():
        assert float(values.mean()) == pytest.approx(expected[f"kl/{name}"]["value"], rel=1e-5), name


def test_softmax_without_eps_is_relative_entropy():
    stats = pytest.importorskip("scipy.stats")
    generated, reference = logits(), logits(seed=1)
    p, q = generated.softmax(1).numpy(), reference.softmax(1).numpy()
    np.testing.assert_allclose(kl_divergence(generated, reference, eps=0), stats.entropy(q, p, axis=1), rtol=1e-9)
    both = stats.entropy(q, p, axis=1) + stats.entropy(p, q, axis=1)
    np.testing.assert_allclose(kl_divergence(generated, reference, "symmetric", eps=0), both, rtol=1e-9)


def test_eps_and_sigmoid_written_out():
    generated, reference = logits(3), logits(3, seed=1)
    p, q = torch.sigmoid(generated), torch.sigmoid(reference)
    torch.testing.assert_close(kl_divergence(generated, reference, "sigmoid", 1e-3),
                               (q * (q / (p + 1e-3)).log()).sum(1))
    assert (kl_divergence(generated, generated) < 0).all()  # eps favours the generated side a little
    assert kl_divergence(generated, generated, eps=0).abs().max() < 1e-12


def test_certain_answers_stay_finite():
    certain = torch.tensor([[1000.0, 0.0]])
    assert float(kl_divergence(certain.flip(1), certain, eps=0)) == pytest.approx(1000)
    assert float(kl_divergence(certain.flip(1), certain)) == pytest.approx(-np.log(1e-6))


def test_metric_merges():
    generated, reference = logits(), logits(seed=1)
    first, second = KLDivergence("symmetric"), KLDivergence("symmetric")
    first.update(generated[:4], reference[:4])
    second.update(generated[4:], reference[4:])
    first.merge_state(second)
    torch.testing.assert_close(first.compute(), kl_divergence(generated, reference, "symmetric").mean())


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="unknown form"):
        kl_divergence(logits(), logits(), "cosine")
    with pytest.raises(ValueError, match="of the reference"):
        kl_divergence(logits(8), logits(9))
    with pytest.raises(ValueError, match="not finite"):
        kl_divergence(logits() * torch.nan, logits())


def many_logits(count: int = 40, classes: int = 7, seed: int = 0) -> torch.Tensor:
    return 3 * torch.randn(count, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.golden
def test_official_inception_scores(golden):
    case = load_file(golden("eval_metrics") / "logits.safetensors")
    expected = json.loads((golden("eval_metrics") / "expected_features.json").read_text())
    names = [name for name in expected if name.startswith("isc/")]
    assert names
    for name in names:
        splits, shuffled = map(int, re.search(r"splits(\d+)_shuffle(\d)", name).groups())
        found = inception_score(case["pred_logits"], splits, 2020 if shuffled else None)
        assert [float(v) for v in found] == pytest.approx(expected[name]["value"], rel=1e-7, abs=1e-9)


def test_the_definition_written_out():
    rows = many_logits()
    p = np.exp(rows.numpy()) / np.exp(rows.numpy()).sum(1, keepdims=True)
    scores = [np.exp(np.mean([np.sum(q * np.log(q / part.mean(0))) for q in part])) for part in np.split(p, 4)]
    mean, std = inception_score(rows, 4, seed=None)
    assert float(mean) == pytest.approx(np.mean(scores))
    assert float(std) == pytest.approx(np.std(scores))


def test_closed_forms():
    assert float(inception_score(100 * torch.eye(6), 1)[0]) == pytest.approx(6)
    assert float(inception_score(torch.ones(6, 5), 2)[0]) == pytest.approx(1)


def test_inception_score_merges():
    rows = many_logits()
    first, second = InceptionScore(5), InceptionScore(5)
    first.update(rows[:12])
    second.update(rows[12:])
    second.merge_state(first)  # what is merged in stands first
    torch.testing.assert_close(second.compute(), inception_score(rows, 5)[0])


def test_the_class_gives_no_number_of_fewer_clips_than_splits():
    metric = InceptionScore()
    assert metric.compute().isnan()
    metric.update(many_logits(9))
    assert metric.compute().isnan()
    metric.update(many_logits(31, seed=1))
    assert metric.compute() == metric.value(torch.cat([many_logits(9), many_logits(31, seed=1)])) > 1


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="10 splits"):
        inception_score(many_logits(9))
    with pytest.raises(ValueError, match="not finite"):
        inception_score(many_logits() / 0)
