"""Envelopes, E-L1 and loudness of sounds whose answer is known, against official numbers and librosa with scipy."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from postsync.metrics.signals import (
    RECIPES,
    ClassAccuracy,
    EnvelopeCorrelation,
    EnvelopeError,
    EnvelopeL1,
    EnvelopeLag,
    LoudnessError,
    class_accuracy,
    e_l1,
    envelope_correlation,
    envelope_error_db,
    envelope_lag_ms,
    recipe_envelope,
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


def test_the_error_of_the_course_of_loudness_does_not_see_the_level():
    envelope = envelopes()
    assert envelope_error_db(0.1 * envelope, envelope).tolist() == pytest.approx([0.0] * 3, abs=1e-4)
    steps = torch.tensor([1.0, 0.1, 1e-4]), torch.tensor([2.0, 2.0, 2.0])  # 0, -20 and -40 dB, which is the floor
    assert float(envelope_error_db(*steps, floor_db=-40.0)) == pytest.approx(20.0, abs=1e-4)
    metric = EnvelopeError(-40.0)
    metric.update(*steps)
    assert float(metric.compute()) == pytest.approx(20.0, abs=1e-4)


def test_loudness_is_compared_down_to_the_gate():
    metric = LoudnessError()
    metric.update(-20.0, -23.5)
    metric.update(torch.tensor([-float("inf")]), torch.tensor([-60.0]))
    assert (float(metric.compute()), metric.count) == (pytest.approx((3.5 + 10) / 2), 2)
