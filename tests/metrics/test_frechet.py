"""Frechet distance against official numbers, the textbook formula and closed forms."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from postsync.metrics.frechet import (
    FAVD,
    FVD,
    FrechetDistance,
    favd_rows,
    first_frame,
    frechet_distance,
    frechet_from_statistics,
    frechet_infinity,
)


def rows(count: int, width: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(width, width, generator=generator, dtype=torch.float64)
    return shift + scale * torch.randn(count, width, generator=generator, dtype=torch.float64) @ mixing


def direct(first: torch.Tensor, second: torch.Tensor, ddof: int = 1) -> torch.Tensor:
    """The definition, by the eigenvalues of the (not symmetric) product of both covariances."""
    a, b = torch.cov(first.T, correction=ddof), torch.cov(second.T, correction=ddof)
    root = torch.linalg.eigvals(a @ b).real.clamp_min(0).sqrt().sum()
    return (first.mean(0) - second.mean(0)).square().sum() + a.trace() + b.trace() - 2 * root


@pytest.mark.golden
@pytest.mark.parametrize("name", ["main", "wide", "def_"])
def test_official_values(golden, name):
    case = load_file(golden("eval_metrics") / "frechet.safetensors")
    expected = json.loads((golden("eval_metrics") / "expected_features.json").read_text())
    x, y = case[f"{name}_x"], case[f"{name}_y"]
    informative = {"fadtk_float16_cache"}
    keys = [key for key in expected if key.startswith(f"frechet/{name}/") and key.split("/")[2] not in informative]
    assert keys
    for key in keys:
        ddof = 0 if "ddof0" in key else 1
        assert float(frechet_distance(x, y, ddof)) == pytest.approx(expected[key]["value"], rel=1e-6), key
        metric = FrechetDistance(x.shape[1], ddof)
        for block in x.split(37):
            metric.update(block, real=False)
        metric.update(y, real=True)
        assert float(metric.compute()) == pytest.approx(expected[key]["value"], rel=1e-6), key


@pytest.mark.golden
def test_official_favd(golden):
    case = load_file(golden("eval_metrics") / "favd.safetensors")
    expected = json.loads((golden("eval_metrics") / "expected_features.json").read_text())["favd/clips"]["value"]
    clips = sorted({key.rsplit("_", 1)[1] for key in case})
    width = case[f"ref_i3d_{clips[0]}"].shape[1] + case[f"ref_vggish_{clips[0]}"].shape[1]
    halves = FAVD(width), FAVD(width)
    for i, clip in enumerate(clips):
        for side in ("ref", "eval"):
            i3d, vggish = case[f"{side}_i3d_{clip}"], case[f"{side}_vggish_{clip}"]
            assert halves[i % 2].add_clip(i3d, vggish, real=side == "ref") == min(len(i3d), len(vggish))
    halves[0].merge_state(halves[1])
    assert float(halves[0].compute()) == pytest.approx(expected, rel=1e-6)


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


@pytest.mark.parametrize(("first", "second"), [(9, 8), (9, 40), (20, 20), (45, 3), (21, 19)])
def test_streaming_around_as_many_rows_as_features(first, second):
    """Rows wait below D and are merged from D on, also where two halves of fewer rows come together."""
    x, y = rows(first, 20, 8), rows(second, 20, 9)
    metric, other = FrechetDistance(20), FrechetDistance(20)
    metric.update(x[: first // 2], real=True)
    other.update(x[first // 2 :], real=True)
    other.update(y[:1], real=False)
    metric.update(y[1:], real=False)
    metric.merge_state(other)
    torch.testing.assert_close(metric.compute(), frechet_distance(y, x), rtol=1e-7, atol=0)
    assert (metric.count(real=True), metric.count(real=False)) == (first, second)


@pytest.mark.parametrize(("first", "second", "width"), [(9, 8, 20), (45, 3, 20), (45, 50, 20), (5000, 4500, 3)])
def test_value_of_pooled_rows_is_the_figure_of_the_class_bit_by_bit(first, second, width):
    made, real = rows(first, width, 30).float(), rows(second, width, 31).float()
    for num_features in (None, width):
        metric = FrechetDistance(num_features)
        metric.update(made, real=False)
        metric.update(real, real=True)
        assert metric.compute() == metric.value(made, real) == frechet_distance(made, real)


@pytest.mark.parametrize("num_features", [None, 4])
def test_fewer_than_two_rows_give_no_number(num_features):
    metric, x = FrechetDistance(num_features), rows(10, 4, 10)
    assert metric.compute().isnan()
    metric.update(x, real=True)
    metric.update(x[:1], real=False)
    assert metric.compute().isnan()
    assert metric.value(x[:1], x).isnan()
    metric.update(x[1:2], real=False)
    assert metric.compute().isfinite()


def test_means_far_from_zero_lose_nothing():
    """Sums of squares about 0 would lose every digit of a spread of 1 at 1e9."""
    x, y = rows(200, 6, 13), rows(150, 6, 14, 1.3)
    metric = FrechetDistance(6)
    for block in (x + 1e9).split(17):
        metric.update(block, real=True)
    metric.update(y + 1e9, real=False)
    torch.testing.assert_close(metric.compute(), frechet_distance(x, y), rtol=1e-5, atol=0)
    torch.testing.assert_close(frechet_distance(x + 1e9, y + 1e9), frechet_distance(x, y), rtol=1e-5, atol=0)


def test_streamed_state_does_not_grow_with_rows():
    metric = FrechetDistance(16)
    for seed in range(20):
        metric.update(rows(40, 16, seed), real=True)
    kept = [metric.real_moments, *metric.real]
    assert sum(tensor.numel() for tensor in kept) <= 2 * 17 * 17


def test_features_that_never_vary():
    """Neither Cholesky's factor nor full rank exists; the distance is that of the other features."""
    x, y = rows(60, 8, 15), rows(70, 8, 16)
    x[:, 5:], y[:, 5:] = 2.0, 2.0
    torch.testing.assert_close(frechet_distance(x, y), frechet_distance(x[:, :5], y[:, :5]), rtol=1e-6, atol=0)


def test_distance_for_infinitely_many_rows():
    """Few rows bias the distance upwards; the extrapolation undoes most of it."""
    x, y, exact = rows(3000, 12, 17), rows(60000, 12, 17, shift=0.5)[3000:], 12 * 0.25
    found, fit = frechet_infinity(x, y, np.random.default_rng(0), num_points=12, least_rows=100)
    biased = frechet_distance(x[:100], y)
    assert abs(found - exact) < 0.5 * abs(biased - exact)
    assert fit > 0.5
    again, _ = frechet_infinity(x, y, np.random.default_rng(0), num_points=12, least_rows=100)
    assert again == found
    with pytest.raises(ValueError, match="more than 3000"):
        frechet_infinity(x, y, np.random.default_rng(0), least_rows=3000)


def test_favd_rows_are_cut_to_the_shorter():
    i3d, vggish = rows(4, 1024, 18), rows(3, 128, 19)
    assert torch.equal(favd_rows(i3d, vggish), torch.cat([i3d[:3], vggish], 1))
    assert favd_rows(i3d[:0], vggish).shape == (0, 1152)
    with pytest.raises(ValueError, match="VGGish"):
        favd_rows(vggish[0], i3d)
    with pytest.raises(ValueError, match="1152"):
        FAVD().add_clip(i3d, vggish[:, :100], real=True)


def test_fvd_takes_the_population_covariance_and_pieces_by_rule():
    x, y = rows(12, 400, 20), rows(11, 400, 21)
    metric = FVD()
    metric.update(x, real=True)
    metric.update(y, real=False)
    torch.testing.assert_close(metric.compute(), frechet_distance(y, x, ddof=0))
    assert first_frame(40) == 0
    assert first_frame(15) is None
    assert {first_frame(18, "a clip", seed) for seed in range(40)} == {0, 1, 2}
    assert {first_frame(18, f"clip {number}") for number in range(40)} == {0, 1, 2}
    assert first_frame(16, "a clip") == 0


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
    with pytest.raises(ValueError, match=r"\(n, 4\)"):
        metric.update(x[:, :3], real=True)
    with pytest.raises(ValueError, match="not finite"):
        metric.update(x / 0, real=True)


def test_regression_value():
    mean, covariance = torch.arange(3.0), torch.diag(torch.tensor([1.0, 4.0, 9.0]))
    value = frechet_from_statistics(mean, covariance, mean * 0, torch.eye(3))
    assert value == pytest.approx(5 + 0 + 1 + 4)
    assert frechet_distance(rows(50, 5, 11), rows(40, 5, 12)) == pytest.approx(REGRESSION, rel=1e-6)


REGRESSION = 15.97023758
