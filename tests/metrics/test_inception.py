"""Inception score against official numbers and closed forms."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from postsync.metrics.inception import InceptionScore, inception_score


def logits(count: int = 40, classes: int = 7, seed: int = 0) -> torch.Tensor:
    return 3 * torch.randn(count, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.golden
def test_official_values(golden):
    case = load_file(golden("eval_metrics") / "logits.safetensors")
    expected = json.loads((golden("eval_metrics") / "expected_features.json").read_text())
    names = [name for name in expected if name.startswith("isc/")]
    assert names
    for name in names:
        splits, shuffled = map(int, re.search(r"splits(\d+)_shuffle(\d)", name).groups())
        found = inception_score(case["pred_logits"], splits, 2020 if shuffled else None)
        assert [float(v) for v in found] == pytest.approx(expected[name]["value"], rel=1e-7, abs=1e-9)


def test_the_definition_written_out():
    rows = logits()
    p = np.exp(rows.numpy()) / np.exp(rows.numpy()).sum(1, keepdims=True)
    scores = [np.exp(np.mean([np.sum(q * np.log(q / part.mean(0))) for q in part])) for part in np.split(p, 4)]
    mean, std = inception_score(rows, 4, seed=None)
    assert float(mean) == pytest.approx(np.mean(scores))
    assert float(std) == pytest.approx(np.std(scores))


def test_closed_forms():
    assert float(inception_score(100 * torch.eye(6), 1)[0]) == pytest.approx(6)
    assert float(inception_score(torch.ones(6, 5), 2)[0]) == pytest.approx(1)


def test_metric_merges():
    rows = logits()
    first, second = InceptionScore(5), InceptionScore(5)
    first.update(rows[:12])
    second.update(rows[12:])
    second.merge_state(first)  # what is merged in stands first
    torch.testing.assert_close(second.compute(), inception_score(rows, 5)[0])


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="10 splits"):
        inception_score(logits(9))
    with pytest.raises(ValueError, match="needs logits"):
        InceptionScore().compute()
    with pytest.raises(ValueError, match="not finite"):
        inception_score(logits() / 0)
