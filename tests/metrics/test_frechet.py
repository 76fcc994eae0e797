"""Frechet distance against the textbook formula and closed forms."""

from __future__ import annotations

import pytest
import torch

from postsync.metrics.frechet import FrechetDistance, frechet_distance, frechet_from_statistics


def rows(count: int, width: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(width, width, generator=generator, dtype=torch.float64)
    return shift + scale * torch.randn(count, width, generator=generator, dtype=torch.float64) @ mixing


def direct(first: torch.Tensor, second: torch.Tensor, ddof: int = 1) -> torch.Tensor:
    """The definition, by the eigenvalues of the (not symmetric) product of both covariances."""
    a, b = torch.cov(first.T, correction=ddof), torch.cov(second.T, correction=ddof)
    root = torch.linalg.eigvals(a @ b).real.clamp_min(0).sqrt().sum()
    return (first.mean(0) - second.mean(0)).square().sum() + a.trace() + b.trace() - 2 * root


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize(("first", "second"), [(100, 130), (20, 200), (12, 15)])
def test_both_forms_follow_the_definition(first, second, ddof):
    x, y = rows(first, 24, 0), rows(second, 24, 1, 1.5, 0.3)
    torch.testing.assert_close(frechet_distance(x, y, ddof), direct(x, y, ddof), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(frechet_distance(x, y, ddof), frechet_distance(y, x, ddof), rtol=1e-9, atol=1e-9)


def test_closed_forms():
    x = rows(300, 8, 2)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, x + 2.0) == pytest.approx(8 * 4.0)
    spread = torch.cov(x.T).trace()
    torch.testing.assert_close(frechet_distance(x - x.mean(0), 3 * (x - x.mean(0))), 4 * spread)


def test_never_negative_and_small_for_two_halves():
    x = rows(2000, 16, 3)
    assert 0 <= frechet_distance(x[:10], x[:10]) < 1e-6
    halves = frechet_distance(x[::2], x[1::2])
    assert 0 < halves < 0.05 * frechet_distance(x, rows(2000, 16, 4))


def test_half_precision_features_are_summed_in_float64():
    x = rows(500, 6, 5).half()
    torch.testing.assert_close(frechet_distance(x, x + 1), frechet_distance(x.double(), (x + 1).double()))


@pytest.mark.parametrize("ddof", [0, 1])
def test_streaming_equals_all_at_once(ddof):
    x, y = rows(90, 12, 6, shift=5.0), rows(70, 12, 7)
    whole, part = FrechetDistance(12, ddof), FrechetDistance(12, ddof)
    for block in x.split(31):
        whole.update(block, real=False)
    whole.update(y[:30], real=True)
    part.update(y[30:], real=True)
    whole.merge_state(part)
    torch.testing.assert_close(whole.compute(), frechet_distance(x, y, ddof), rtol=1e-9, atol=1e-9)


def test_streaming_of_fewer_rows_than_features():
    x, y = rows(9, 20, 8), rows(8, 20, 9)
    metric = FrechetDistance(20)
    metric.update(x, real=True)
    metric.update(y, real=False)
    torch.testing.assert_close(metric.compute(), frechet_distance(x, y), rtol=1e-5, atol=0)


def test_bad_features_are_refused():
    x = rows(10, 4, 10)
    with pytest.raises(ValueError, match="at least 2 rows"):
        frechet_distance(x[:1], x)
    with pytest.raises(ValueError, match="not finite"):
        frechet_distance(x.log(), x)
    with pytest.raises(ValueError, match=r"\(n, D\)"):
        frechet_distance(x, x[:, :3])
    metric = FrechetDistance(4)
    metric.update(x, real=True)
    with pytest.raises(ValueError, match="0 generated"):
        metric.compute()


def test_regression_value():
    mean, covariance = torch.arange(3.0), torch.diag(torch.tensor([1.0, 4.0, 9.0]))
    value = frechet_from_statistics(mean, covariance, mean * 0, torch.eye(3))
    assert value == pytest.approx(5 + 0 + 1 + 4)
    assert frechet_distance(rows(50, 5, 11), rows(40, 5, 12)) == pytest.approx(REGRESSION, rel=1e-6)


REGRESSION = 15.97023758
