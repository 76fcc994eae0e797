"""KID against official numbers and the definition written out."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from postsync.metrics.kid import KernelDistance, kernel_distance, polynomial_mmd


def rows(count: int, shift: float = 0.0, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


@pytest.mark.golden
def test_official_values(golden):
    case = load_file(golden("eval_metrics") / "logits.safetensors")
    expected = json.loads((golden("eval_metrics") / "expected_features.json").read_text())
    names = [name for name in expected if name.startswith("kid/")]
    assert names
    for name in names:
        subsets, size = name.removeprefix("kid/subsets").split("_size")
        found = kernel_distance(case["kid_x"], case["kid_y"], int(subsets), int(size))
        assert [float(v) for v in found] == pytest.approx(expected[name]["value"], rel=1e-4)


def test_the_definition_written_out():
    x, y = rows(5), rows(4, 0.5, 1)

    def kernel(a, b):
        return (float(a @ b) / 6 + 1) ** 3

    within_x = sum(kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j) / 20
    within_y = sum(kernel(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j) / 12
    between = sum(kernel(a, b) for a in x for b in y) / 20
    assert float(polynomial_mmd(x, y)) == pytest.approx(within_x + within_y - 2 * between)


def test_unbiased_for_one_distribution_and_large_for_two():
    same = kernel_distance(rows(300), rows(300, seed=1), 30, 100)[0]
    assert abs(same) < 0.05 < kernel_distance(rows(300), rows(300, 1.0, 1), 30, 100)[0]


def test_metric_merges():
    x, y = rows(60), rows(50, 0.3, 1)
    first, second = KernelDistance(10, 40), KernelDistance(10, 40)
    first.update(x[:20], real=False)
    first.update(y[:30], real=True)
    second.update(x[20:], real=False)
    second.update(y[30:], real=True)
    second.merge_state(first)  # what is merged in stands first
    torch.testing.assert_close(second.compute(), kernel_distance(x, y, 10, 40)[0])


def test_the_class_takes_all_rows_once_where_there_are_too_few_for_a_subset():
    metric = KernelDistance()
    assert metric.compute().isnan()
    metric.update(rows(300), real=False)
    metric.update(rows(1, 0.5, 1), real=True)
    assert metric.compute().isnan()
    metric.update(rows(299, 0.5, 2), real=True)
    real = torch.cat([rows(1, 0.5, 1), rows(299, 0.5, 2)])
    assert metric.compute() == metric.value(rows(300), real) == polynomial_mmd(rows(300), real)


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="subsets of 1000"):
        kernel_distance(rows(60), rows(2000))
    with pytest.raises(ValueError, match="not finite"):
        polynomial_mmd(rows(5).log(), rows(5))
