"""Volume, its loss and their gradients against the official function, and what geometry says about them."""

import math

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import normalize

from postsync.encoders.volume import (
    cosine_contrastive_loss,
    determinant,
    hard_negative_weights,
    matching_cross_entropy,
    pairwise_volume,
    volume,
    volume_contrastive_loss,
)

FORMS = ("residual", "determinant")


@pytest.fixture(scope="module")
def case(golden):
    return load_file(golden("gram_volume") / "case.safetensors")


def unit(seed, *shape):
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


@pytest.mark.golden
@pytest.mark.parametrize("kind", ["random", "correlated"])
def test_volumes_and_gradient_match_the_official_function(case, kind):
    text, video, audio = (case[f"{kind}.{k}"] for k in ("text", "video", "audio"))
    torch.testing.assert_close(pairwise_volume(text, video, audio), case[f"{kind}.volume3"], atol=1e-5, rtol=0)
    for form in FORMS:
        sound = audio.clone().requires_grad_()
        matched = volume(text, video, sound, form=form)
        torch.testing.assert_close(matched.detach(), case[f"{kind}.volume_matched"], atol=1e-5, rtol=0)
        matched.mean().backward()
        torch.testing.assert_close(sound.grad, case[f"{kind}.grad_audio_of_mean_volume"], atol=2e-6, rtol=1e-3)


@pytest.mark.golden
def test_two_four_and_unnormalised_modalities(case):
    text, video, audio = (case[f"random.{k}"] for k in ("text", "video", "audio"))
    torch.testing.assert_close(pairwise_volume(text, video, audio, case["four.subtitle"]), case["four.volume4"],
                               atol=1e-5, rtol=0)
    torch.testing.assert_close(pairwise_volume(text, video), case["two.area"], atol=1e-5, rtol=0)
    torch.testing.assert_close(pairwise_volume(text, video, case["unnorm.audio"]), case["unnorm.volume3"],
                               atol=1e-5, rtol=1e-5)


@pytest.mark.golden
@pytest.mark.parametrize("form", FORMS)
def test_degenerate_triplets_have_finite_gradients(case, form):
    triplets = case["degenerate.triplets_text_video_audio"].clone().requires_grad_()
    volumes = volume(*triplets.unbind(1), form=form)
    volumes.sum().backward()
    flat = torch.tensor([0, 1, 2, 4, 5])
    assert (volumes[flat] < 1e-3).all()
    assert volumes[3].item() == pytest.approx(1.0, abs=1e-6)
    assert triplets.grad.isfinite().all()


@pytest.mark.golden
@pytest.mark.parametrize("name", ["loss3", "loss4"])
@pytest.mark.parametrize("detached", [True, False])
def test_contrastive_loss_and_its_gradients(case, name, detached):
    parts = [case[f"correlated.{k}"].clone().requires_grad_() for k in ("text", "video", "audio")]
    others = [case["four.subtitle"]] if name == "loss4" else []
    temperature = case["loss.temperature"].clone().requires_grad_()
    loss = volume_contrastive_loss(*parts, *others, temperature=temperature, detached_gather=detached)
    torch.testing.assert_close(loss.detach(), case[f"{name}.loss"], atol=1e-5, rtol=0)
    loss.backward()
    prefix = f"{name}.official_detached_gather_grad_" if detached else f"{name}.grad_"
    for key, part in zip(("text", "video", "audio"), parts):
        torch.testing.assert_close(part.grad, case[prefix + key], atol=2e-6, rtol=1e-3)
    torch.testing.assert_close(temperature.grad, case[f"{name}.grad_temp"], atol=2e-6, rtol=1e-3)


@pytest.mark.golden
def test_hard_negative_weights(case):
    volumes, temperature = case["correlated.volume3"], case["loss.temperature"]
    for matrix, key in ((volumes, "text_to_cond"), (volumes.T, "cond_to_text")):
        weights = hard_negative_weights(matrix, temperature)
        torch.testing.assert_close(weights, case[f"loss3.hard_negative_weights_{key}"], atol=1e-5, rtol=1e-4)


def test_determinant_is_torchs_for_any_small_size():
    for size in range(1, 6):
        matrix = torch.randn(size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(size))
        rows = [list(row) for row in matrix]
        assert determinant(rows).item() == pytest.approx(torch.linalg.det(matrix).item(), rel=1e-10)


def test_volume_of_two_vectors_is_the_sine_of_their_angle_and_sign_blind():
    a, b = torch.tensor([1.0, 0, 0]), torch.tensor([math.cos(0.3), math.sin(0.3), 0])
    for form in FORMS:
        assert volume(a, b, form=form).item() == pytest.approx(math.sin(0.3), abs=1e-6)
        assert volume(a, -b, form=form).item() == pytest.approx(math.sin(0.3), abs=1e-6)
        assert volume(5 * a, 2 * b, normalize=True, form=form).item() == pytest.approx(math.sin(0.3), abs=1e-6)


def test_half_precision_is_computed_in_single_and_double_is_kept():
    a, b, c = unit(0, 3, 8, 16)
    assert volume(a.half(), b.half(), c.half()).dtype == torch.float32
    assert pairwise_volume(a.double(), b.double(), c.double()).dtype == torch.float64


def test_residual_keeps_digits_that_the_determinant_loses():
    """Three vectors of a plane but for 1e-4: the volume is 1e-4 times the area of the first two."""
    a, b = torch.tensor([1.0, 0, 0]), torch.tensor([0.6, 0.8, 0])
    c = torch.tensor([0.8, 0.6, 1e-4])
    assert volume(a, b, c).item() == pytest.approx(0.8e-4, rel=1e-3)


def test_excluded_pairs_do_not_matter():
    logits = torch.randn(4, 4, generator=torch.Generator().manual_seed(1))
    excluded = torch.zeros(4, 4, dtype=torch.bool)
    excluded[0, 2] = excluded[2, 0] = True
    changed = logits.clone()
    changed[0, 2], changed[2, 0] = 50.0, -50.0
    assert torch.equal(matching_cross_entropy(logits, 0.1, excluded), matching_cross_entropy(changed, 0.1, excluded))
    assert not torch.equal(matching_cross_entropy(logits, 0.1), matching_cross_entropy(changed, 0.1))
    reference = torch.nn.functional.cross_entropy(logits, torch.arange(4), label_smoothing=0.1)
    torch.testing.assert_close(matching_cross_entropy(logits, 0.1), reference)
    weights = hard_negative_weights(logits.abs(), 0.1, excluded)
    assert weights[0, 2] == 0
    assert (weights[~excluded & ~torch.eye(4, dtype=torch.bool)] > 0).all()


def test_cosine_loss_tells_signs_apart_where_the_volume_does_not():
    text, other = unit(3, 6, 16), unit(4, 6, 16)
    assert cosine_contrastive_loss(text, text, 0.1) < cosine_contrastive_loss(text, -text, 0.1) - 1
    same, flipped = (volume_contrastive_loss(text, v, other, temperature=0.1) for v in (text + 0.3 * other,
                                                                                        -text - 0.3 * other))
    torch.testing.assert_close(same, flipped)


def test_recorded_value():
    """Self-recorded, so that a change is seen where the golden folder is absent."""
    loss = volume_contrastive_loss(unit(5, 5, 12), unit(6, 5, 12), unit(7, 5, 12), temperature=0.07)
    assert loss.item() == pytest.approx(RECORDED_LOSS, abs=1e-5)


RECORDED_LOSS = 1.298370
