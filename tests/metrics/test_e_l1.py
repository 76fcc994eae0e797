"""E-L1 in its three recipes against official numbers and librosa with scipy."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from postsync.metrics.e_l1 import RECIPES, EnvelopeL1, e_l1, recipe_envelope


def noises(batch: int = 2, num_samples: int = 12000, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    swell = torch.linspace(0.02, 0.4, num_samples) * (1 + torch.sin(torch.arange(num_samples) / 600))
    return swell * torch.randn(batch, num_samples, generator=generator)


@pytest.mark.golden
def test_official_values_at_16k(golden):
    case = load_file(golden("rms_envelope") / "data.safetensors")
    pair = case["wave16k"], case["wave16k_other"]
    assert float(e_l1(*pair, RECIPES["16k"])) == pytest.approx(float(case["metric.el1_videofoley_16k"]), abs=1e-6)
    # the rate does not enter the computation of an envelope
    centred = float(e_l1(*pair, RECIPES["44k"]))
    assert centred == pytest.approx(float(case["metric.el1_librosa_centered_16k"]), abs=1e-6)


@pytest.mark.golden
def test_official_low_passed_values(golden):
    pytest.importorskip("scipy")
    case = load_file(golden("eval_metrics") / "av.safetensors")
    expected = json.loads((golden("eval_metrics") / "expected_av.json").read_text())
    generated, target = case["onset_gen_wav"], case["onset_target_wav"]
    recipe = RECIPES["22k-lowpass"]
    for waveform, name in ((generated, "el1_env_gen"), (target, "el1_env_target")):
        torch.testing.assert_close(recipe_envelope(waveform, recipe), case[name], atol=1e-5, rtol=0)
    assert float(e_l1(generated, target, recipe)) == pytest.approx(expected["el1_tfoley"], abs=1e-5)


def test_recipes_are_librosa_and_scipy():
    librosa, signal = pytest.importorskip("librosa"), pytest.importorskip("scipy.signal")
    waveform = noises()[0]
    samples = waveform.numpy()
    centred = librosa.feature.rms(y=samples, frame_length=512, hop_length=128, pad_mode="reflect")[0]
    np.testing.assert_allclose(recipe_envelope(waveform, RECIPES["44k"]), centred, atol=1e-6)
    framed = librosa.feature.rms(y=np.pad(samples, 192, "reflect"), frame_length=512, hop_length=128, center=False)[0]
    np.testing.assert_allclose(recipe_envelope(waveform, RECIPES["16k"]), framed, atol=1e-6)
    rms = librosa.feature.rms(y=samples / np.abs(samples).max(), frame_length=512, hop_length=128)[0]
    smooth = signal.filtfilt(*signal.ellip(4, 0.01, 120, 0.125), rms, method="gust")
    np.testing.assert_allclose(recipe_envelope(waveform, RECIPES["22k-lowpass"]), smooth, atol=1e-5)


def test_level_counts_only_where_the_peak_is_kept():
    waveform = noises()[0]
    half = 0.5 * recipe_envelope(waveform, RECIPES["16k"]).double().mean()
    torch.testing.assert_close(e_l1(waveform, 0.5 * waveform, RECIPES["16k"]), half, rtol=1e-5, atol=0)
    pytest.importorskip("scipy")
    assert e_l1(waveform, 0.5 * waveform, RECIPES["22k-lowpass"]) < 1e-6
    assert recipe_envelope(torch.zeros(4000), RECIPES["22k-lowpass"]).abs().max() == 0


@pytest.mark.parametrize("name", ["16k", "44k"])
def test_metric_merges(name):
    generated, target = noises(3), noises(3, seed=1)
    first, second = EnvelopeL1(name), EnvelopeL1(name)
    first.update(generated[0], target[0])
    second.update(generated[1:], target[1:])
    first.merge_state(second)
    torch.testing.assert_close(first.compute(), e_l1(generated, target, RECIPES[name]).mean())


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="22k-lowpass"):
        EnvelopeL1("8k")
    with pytest.raises(ValueError, match="one length"):
        e_l1(torch.zeros(4000), torch.zeros(4001), RECIPES["16k"])
    with pytest.raises(ValueError, match="not finite"):
        e_l1(torch.full((4000,), torch.nan), torch.zeros(4000), RECIPES["16k"])
