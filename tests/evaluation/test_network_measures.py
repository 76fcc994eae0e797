"""Signal recipes of the papers inside a run: what they are given, on clips whose answer is plain."""

import dataclasses

import pytest
import torch
from postsync.metrics.e_l1 import RECIPES, e_l1

from handmade_clips import clicks, observed, pair_of
from postsync.evaluation import network_measures as measures
from postsync.evaluation import set_measures as sets
from postsync.evaluation.sides import LeftOut
from postsync.metrics.kid import kernel_distance


def jumping(*frames: int, count: int = 20, size: int = 32) -> torch.Tensor:
    """Pictures (count, 3, size, size) of a textured square that jumps sideways at the given frames."""
    texture = torch.randint(0, 255, (12, 12), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    pictures, left = torch.full((count, 3, size, size), 60, dtype=torch.uint8), 4
    for k in range(count):
        left += 3 if k in frames else 0
        pictures[k, :, 10:22, left:left + 12] = texture
    return pictures


def shown(pair, pictures: torch.Tensor, fps: float = 10.0):
    return dataclasses.replace(pair, shown=observed(clicks(0.1), pictures, fps))


def test_av_align_finds_sounds_where_the_picture_jumps():
    pictures = jumping(5, 12)
    on_time = shown(pair_of(clicks(0.5, 1.2)), pictures)
    off = shown(pair_of(clicks(0.8, 1.55)), pictures)
    assert measures.av_agreement(on_time, "SVG")[0] > 0.6
    assert measures.av_agreement(off, "SVG")[0] < measures.av_agreement(on_time, "SVG")[0]
    with pytest.raises(LeftOut, match="one picture"):
        measures.av_agreement(shown(pair_of(clicks(0.5)), pictures[:1]), "SVG")


def test_onsets_of_the_real_sound_are_hit_or_not():
    same = pair_of(clicks(0.5, 1.2), clicks(0.5, 1.2))
    assert measures.onsets_hit(same, "accuracy") == (1.0, 1.0)
    assert measures.onsets_hit(same, "same_count") == (1.0, 1.0)
    other = pair_of(clicks(0.5, 1.7), clicks(0.5, 1.2))
    assert measures.onsets_hit(other, "accuracy")[0] == pytest.approx(0.5)
    with pytest.raises(LeftOut, match="shorter than the onset window"):
        measures.onsets_hit(pair_of(clicks(0.0, duration_s=0.05), clicks(0.5)), "same_count")


@pytest.mark.parametrize("recipe", RECIPES)
def test_e_l1_is_taken_at_the_rate_of_its_recipe_over_the_common_length(recipe):
    made, real = clicks(0.3, 0.9, duration_s=1.5), clicks(0.3, 0.8)
    value, _ = measures.e_l1_of(pair_of(made, real), recipe)
    rate = RECIPES[recipe].sample_rate
    first, second = observed(made).sound(rate), observed(real).sound(rate)
    assert value == pytest.approx(float(e_l1(first, second[:len(first)], RECIPES[recipe])))
    assert value > 0
    with pytest.raises(LeftOut, match=r"shorter than 0\.1 s"):
        measures.e_l1_of(pair_of(clicks(0.0, duration_s=0.05), real), recipe)


def test_frechet_of_few_rows_is_given_with_a_warning():
    rows = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    assert sets.frechet(rows, rows) == pytest.approx(0, abs=1e-9)
    assert "of 8 features: with so few" in sets.frechet_note(rows, rows)
    many = rows.repeat(4, 1)
    assert sets.frechet_note(many, many) == "24 rows against 24"
    assert sets.frechet(rows[:1], rows) != sets.frechet(rows[:1], rows)  # one row has no covariance
    assert sets.kid(rows[:1], rows) != sets.kid(rows[:1], rows)
    assert sets.inception(rows, None) != sets.inception(rows, None)
    assert sets.inception(torch.eye(10) * 50, None, splits=1) == pytest.approx(10, rel=1e-3)


def test_the_kernel_distance_takes_subsets_where_there_are_rows_enough(monkeypatch):
    monkeypatch.setattr(sets, "KID_ROWS", 4)
    made, real = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
    assert sets.kid(made, real) == float(kernel_distance(made, real, 100, 4)[0])
    assert sets.kid_note(made, real) == "6 rows against 6"
    assert "too few" in sets.kid_note(made[:3], real)
