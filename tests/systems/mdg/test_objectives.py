"""Objectives: official numbers, closed forms, signs, and degenerate vectors."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import normalize

from postsync.systems import mdg
from postsync.systems.mdg.objectives import OBJECTIVES, mahalanobis


def unit(seed: int, *shape: int) -> torch.Tensor:
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


TEXT, VIDEO, AUDIO = (unit(seed, 4, 16) for seed in range(3))
COSINES = (TEXT * VIDEO).sum(-1), (TEXT * AUDIO).sum(-1), (VIDEO * AUDIO).sum(-1)


def gradient(name: str, audio: torch.Tensor, others) -> torch.Tensor:
    leaf = audio.clone().requires_grad_()
    return torch.autograd.grad(OBJECTIVES[name](leaf, others).sum(), leaf)[0]


@pytest.mark.golden
@pytest.mark.parametrize("kind", ["random", "correlated"])
@pytest.mark.parametrize("name", ["volume", "determinant_volume"])
def test_volumes_are_the_official_ones(golden, kind, name):
    case = load_file(golden("gram_volume") / "case.safetensors")
    text, video, audio = (case[f"{kind}.{k}"] for k in ("text", "video", "audio"))
    torch.testing.assert_close(OBJECTIVES[name](audio, [text, video]), case[f"{kind}.volume_matched"], atol=1e-5,
                               rtol=0)
    torch.testing.assert_close(gradient(name, audio, [text, video]) / len(audio),
                               case[f"{kind}.grad_audio_of_mean_volume"], atol=2e-6, rtol=1e-3)


def test_formulae():
    tv, ta, va = COSINES
    inside = 1 + 2 * tv * ta * va - tv**2 - ta**2 - va**2
    others = [TEXT, VIDEO]
    expected = {
        "volume": inside.sqrt(), "determinant_volume": inside.sqrt(), "gram_determinant": inside,
        "log_volume": 0.5 * inside.log(), "cosine_to_audio": 2 - ta - va, "cosine_sum": 3 - tv - ta - va,
        "signed_volume": inside.sqrt() + (-ta).clamp(min=0) + (-va).clamp(min=0),
        "mahalanobis": (AUDIO - (TEXT + VIDEO) / 2).square().sum(-1),
        "triangle_area": 0.5 * ((TEXT - AUDIO).square().sum(-1) * (VIDEO - AUDIO).square().sum(-1)
                                - ((TEXT - AUDIO) * (VIDEO - AUDIO)).sum(-1) ** 2).sqrt(),
    }
    assert expected.keys() == OBJECTIVES.keys()
    for name, values in expected.items():
        torch.testing.assert_close(OBJECTIVES[name](AUDIO, others), values, atol=1e-5, rtol=1e-4)
    precision = torch.diag(torch.arange(16.0))
    away = AUDIO - (TEXT + VIDEO) / 2
    torch.testing.assert_close(mahalanobis(AUDIO, others, precision), (torch.arange(16.0) * away**2).sum(-1))


def test_one_other_modality_gives_areas_and_distances():
    _, ta, _ = COSINES
    torch.testing.assert_close(OBJECTIVES["volume"](AUDIO, [TEXT]), (1 - ta**2).sqrt())
    torch.testing.assert_close(OBJECTIVES["triangle_area"](AUDIO, [TEXT]), (TEXT - AUDIO).norm(dim=-1))
    torch.testing.assert_close(OBJECTIVES["cosine_sum"](AUDIO, [TEXT]), 1 - ta)


def test_the_volume_is_blind_to_signs_and_others_are_not():
    for name in OBJECTIVES:
        blind = torch.allclose(OBJECTIVES[name](AUDIO, [TEXT, VIDEO]), OBJECTIVES[name](-AUDIO, [TEXT, VIDEO]))
        assert blind == (name in ("volume", "determinant_volume", "gram_determinant", "log_volume")), name
    against = normalize(AUDIO - 3 * TEXT - 3 * VIDEO, dim=-1)  # on the far side of the plane
    towards = normalize(TEXT + VIDEO, dim=-1)
    assert ((gradient("volume", against, [TEXT, VIDEO]) * towards).sum(-1) > -1e-6).all()  # it leads further away
    assert ((gradient("signed_volume", against, [TEXT, VIDEO]) * towards).sum(-1) < -0.5).all()


def test_all_cosines_have_the_same_gradient_at_the_sound():
    torch.testing.assert_close(gradient("cosine_sum", AUDIO, [TEXT, VIDEO]),
                               gradient("cosine_to_audio", AUDIO, [TEXT, VIDEO]))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_degenerate_vectors_give_finite_numbers(name):
    same, zero = unit(7, 1, 16), torch.zeros(1, 16)
    for audio, others in ((same, [same, same]), (same, [same, -same]), (-same, [same, same]), (zero, [same, zero]),
                          (same, [same]), (zero, [zero])):
        assert OBJECTIVES[name](audio, others).isfinite().all()
        assert gradient(name, audio, others).isfinite().all()


def test_the_table_of_options_names_them_all():
    assert mdg.SETTINGS["objective"].choices == tuple(OBJECTIVES)
