"""Mu-law codings against official numbers, and their round trips."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from postsync.features.mu_law import (
    decode,
    label_cross_entropy,
    mu_compress,
    mu_expand,
    mu_law_edges,
    quantise,
    smooth_labels,
)


@pytest.mark.golden
def test_bins_and_classes_match(golden):
    case = load_file(golden("video2rms_quant") / "data.safetensors")
    for name in [key for key in case if key.startswith("mu_bins.")]:
        edges = mu_law_edges(int(name.split(".")[1]))
        torch.testing.assert_close(edges.float(), case[name], atol=1e-6, rtol=0)
    for name in [key.removesuffix(".values") for key in case if key.endswith(".values")]:
        edges = mu_law_edges(int(name.removeprefix("q")))
        classes = quantise(case[f"{name}.values"], edges, clamp=False)
        assert torch.equal(classes, case[f"{name}.indices"])
        torch.testing.assert_close(decode(classes, edges), case[f"{name}.decoded"], atol=1e-6, rtol=0)


@pytest.mark.golden
def test_soft_labels_match(golden):
    case = load_file(golden("video2rms_quant") / "data.safetensors")
    logits = case["gls.pred_logits"].transpose(1, 2)
    for prefix, recipe in (("gls", "video_foley"), ("gauss_norm", "gaussian")):
        labels = smooth_labels(case["gls.targets"], logits.shape[-1], recipe)
        torch.testing.assert_close(labels, case[f"{prefix}.smoothed_labels"], atol=1e-6, rtol=0)
        torch.testing.assert_close(label_cross_entropy(logits, labels), case[f"{prefix}.loss"], atol=1e-5, rtol=0)


@pytest.mark.golden
def test_librosa_codes_match(golden):
    case = load_file(golden("rms_envelope") / "data.safetensors")
    codes = mu_compress(case["librosa.rms_2048_512"])
    assert torch.equal(codes, case["mu127.codes_of_rms_2048_512"])
    torch.testing.assert_close(mu_expand(codes), case["mu127.decoded"], atol=1e-6, rtol=0)


def test_silence_full_scale_and_beyond():
    edges = mu_law_edges(64)
    values = torch.tensor([-0.1, 0.0, 0.0099, 0.0101, 0.999, 1.0, 1.7])
    assert quantise(values, edges).tolist() == [0, 0, 0, 1, 63, 63, 63]
    assert quantise(values, edges, clamp=False).tolist()[-2:] == [64, 64]
    assert decode(torch.tensor([0, 64]), edges).tolist() == [0.0, 1.0]


def test_midpoint_decoding_is_nearer():
    edges, values = mu_law_edges(64), torch.linspace(0.02, 0.99, 500)
    classes = quantise(values, edges)
    biased, fair = decode(classes, edges) - values, decode(classes, edges, midpoint=True) - values
    assert biased.mean() > 0.01
    assert fair.abs().mean() < 0.6 * biased.abs().mean()
    assert (fair.abs() <= 0.03).all()


def test_regression_values():
    torch.testing.assert_close(mu_law_edges(64)[[0, 1, 2, 61, 62]].float(),
                               torch.tensor([0.01, 0.0116, 0.0132, 0.8883, 0.9425]), atol=5e-5, rtol=0)
    torch.testing.assert_close(mu_expand(torch.tensor([0, 1, 31, 63])), torch.tensor([0, 0.00062, 0.0747, 0.9264]),
                               atol=5e-5, rtol=0)
    torch.testing.assert_close(smooth_labels(torch.tensor([1]), 5), torch.tensor([[0, 1, 0.6065, 0.3679, 0]]),
                               atol=1e-4, rtol=0)


def test_unknown_recipe_is_refused():
    with pytest.raises(ValueError, match="video_foley or gaussian"):
        smooth_labels(torch.tensor([1]), recipe="box")
