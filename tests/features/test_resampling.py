"""torchaudio's resampling: its numbers, its length, and tones that keep their pitch and place."""

from __future__ import annotations

import math
import re

import pytest
import torch
from safetensors.torch import load_file

from postsync.features.resampling import kaiser_resample, sinc_resample


@pytest.mark.golden
def test_torchaudio_numbers(golden):
    case = load_file(golden("eval_frontends") / "frontends.safetensors")
    pairs = [match for key in case if (match := re.fullmatch(r"resample_(kaiser_)?(\d+)_(\d+)_in", key))]
    assert {bool(match[1]) for match in pairs} == {True, False}
    for match in pairs:
        resample = kaiser_resample if match[1] else sinc_resample
        found = resample(case[match[0]], int(match[2]), int(match[3]))
        torch.testing.assert_close(found, case[match[0].replace("_in", "_out")], atol=2e-5, rtol=0)


@pytest.mark.parametrize("resample", [sinc_resample, kaiser_resample])
@pytest.mark.parametrize(("rate", "new_rate"), [(44100, 16000), (16000, 44100), (48000, 32000)])
def test_a_tone_keeps_pitch_level_and_place(resample, rate, new_rate):
    def tone(sample_rate: int) -> torch.Tensor:
        return torch.sin(2 * math.pi * 700 * torch.arange(sample_rate // 5, dtype=torch.float64) / sample_rate)

    found, inside = resample(tone(rate), rate, new_rate), slice(new_rate // 50, -new_rate // 50)
    torch.testing.assert_close(found[inside], tone(new_rate)[inside], atol=5e-3, rtol=0)


def test_what_the_new_rate_cannot_hold_is_gone():
    tone = torch.sin(2 * math.pi * 11000 * torch.arange(44100, dtype=torch.float64) / 44100)
    assert kaiser_resample(tone, 44100, 16000)[500:-500].abs().max() < 1e-4


@pytest.mark.parametrize("num_samples", [1, 440, 441, 1000])
def test_length_and_shape(num_samples):
    waveform = torch.rand(2, 3, num_samples, generator=torch.Generator().manual_seed(0))
    found = sinc_resample(waveform, 44100, 16000)
    assert found.shape == (2, 3, math.ceil(num_samples * 160 / 441))
    torch.testing.assert_close(found[1, 2], sinc_resample(waveform[1, 2], 44100, 16000))
    assert sinc_resample(waveform, 8000, 8000) is waveform


def test_it_is_differentiable_and_refuses_rates_of_nothing():
    waveform = torch.zeros(100, requires_grad=True)
    sinc_resample(waveform, 3, 2).sum().backward()
    assert waveform.grad.isfinite().all()
    assert waveform.grad.abs().max() > 0.1
    with pytest.raises(ValueError, match="positive"):
        sinc_resample(waveform, 0, 16000)
