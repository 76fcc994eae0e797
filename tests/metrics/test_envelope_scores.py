"""Envelope correlation and lag on signals whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from postsync.metrics.envelope import (
    ClassAccuracy,
    EnvelopeCorrelation,
    EnvelopeLag,
    class_accuracy,
    envelope_correlation,
    envelope_lag_ms,
)


def envelopes(batch: int = 3, length: int = 400, seed: int = 0) -> torch.Tensor:
    noise = torch.randn(batch, 1, length, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.avg_pool1d(noise, 9, stride=1, padding=4)[:, 0].abs()


def test_correlation_is_pearson():
    first, second = envelopes(), envelopes(seed=1)
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(first.numpy(), second.numpy())]
    np.testing.assert_allclose(envelope_correlation(first, second), expected, atol=1e-6)


def test_level_and_offset_do_not_matter_but_sign_does():
    first = envelopes()
    torch.testing.assert_close(envelope_correlation(first, 0.2 * first + 3), torch.ones(3).double())
    torch.testing.assert_close(envelope_correlation(first, -first), -torch.ones(3).double())


def test_a_constant_envelope_agrees_with_nothing():
    assert envelope_correlation(torch.full((400,), 0.1), envelopes()[0]) == 0
    assert envelope_correlation(torch.zeros(400), torch.zeros(400)) == 0


@pytest.mark.parametrize("late", [-13, -1, 0, 1, 7, 40])
def test_lag_is_found_with_its_sign(late):
    target = envelopes(2, 500)
    estimate = torch.roll(target, late, dims=1) * 0.5
    assert envelope_lag_ms(estimate[:, 60:-60], target[:, 60:-60]).tolist() == [10.0 * late] * 2
    assert envelope_lag_ms(estimate[0, 60:-60], target[0, 60:-60], rate=50, max_lag_s=1.0) == 20.0 * late


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="one length"):
        envelope_correlation(torch.zeros(10), torch.zeros(11))


def test_metrics_average_over_clips_and_merge():
    first, second = envelopes(4), envelopes(4, seed=1)
    for metric, other, function in ((EnvelopeCorrelation(), EnvelopeCorrelation(), envelope_correlation),
                                    (EnvelopeLag(), EnvelopeLag(), envelope_lag_ms)):
        metric.update(first[:3], second[:3])
        other.update(first[3], second[3])
        metric.merge_state(other)
        torch.testing.assert_close(metric.compute(), function(first, second).mean())


@pytest.mark.golden
def test_official_class_accuracy(golden):
    case = load_file(golden("video2rms_quant") / "data.safetensors")
    logits, classes = case["gls.pred_logits"].transpose(1, 2), case["gls.targets"]
    names = [name for name in case if name.startswith("acc_tol.")]
    assert names
    for name in names:
        found = class_accuracy(logits, classes, int(name.removeprefix("acc_tol.")))
        assert float(found.mean()) == pytest.approx(float(case[name]), abs=1e-6)


def test_class_accuracy_counts_and_merges():
    logits = torch.eye(5)[torch.tensor([[0, 2, 4], [3, 3, 3]])]
    classes = torch.tensor([[0, 3, 9], [1, 2, 3]])  # 9 is beyond the range and counts as 4
    for tolerance, expected in ((0, [2 / 3, 1 / 3]), (1, [1.0, 2 / 3]), (2, [1.0, 1.0])):
        assert class_accuracy(logits, classes, tolerance).tolist() == pytest.approx(expected)
    first, second = ClassAccuracy(1), ClassAccuracy(1)
    first.update(logits[:1], classes[:1])
    second.update(logits[1:], classes[1:])
    first.merge_state(second)
    assert first.compute() == pytest.approx(5 / 6)
    with pytest.raises(ValueError, match="B, M, C"):
        class_accuracy(logits, classes[:1])


def test_regression_value():
    torch.testing.assert_close(envelope_correlation(envelopes(), envelopes(seed=1)).sum(),
                               torch.tensor(REGRESSION, dtype=torch.float64), atol=1e-5, rtol=0)


REGRESSION = 0.036977
