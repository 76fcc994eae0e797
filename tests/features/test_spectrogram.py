"""Log-mel front ends against official numbers, and their behaviour on signals whose answer is known."""

from __future__ import annotations

import math

import pytest
import torch
from safetensors.torch import load_file

from postsync.features.spectrogram import (
    audioldm,
    audioldm_log_mel,
    beats_normalise,
    imagebind,
    kaldi,
    kaldi_fbank,
    log_mel_spectrogram,
    mel_filters,
)


def noise(num_samples: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(1, num_samples, generator=torch.Generator().manual_seed(seed)) * 0.1


@pytest.mark.golden
def test_audioldm_front_end(golden):
    case = load_file(golden("mel") / "io.safetensors")
    torch.testing.assert_close(mel_filters(audioldm()).float(), case["filter.audioldm_mel_basis"], atol=1e-6, rtol=0)
    log_mel = audioldm_log_mel(case["in.wav"][None])[0].T
    torch.testing.assert_close(log_mel, case["out.audioldm_logmel"], atol=1e-4, rtol=0)


@pytest.mark.golden
def test_kaldi_front_ends(golden):
    case = load_file(golden("beats_tiny") / "case.safetensors")
    waveform = case["io.waveform_16k"]
    for bins in (64, 128):
        fbank = kaldi_fbank(waveform, bins)
        torch.testing.assert_close(fbank, case[f"io.fbank{bins}_raw"], atol=1e-3, rtol=0)
        assert (fbank - case[f"io.fbank{bins}_raw"]).abs().mean() < 5e-5
        torch.testing.assert_close(beats_normalise(fbank), case[f"io.fbank{bins}_norm"], atol=1e-4, rtol=0)
    fbank = log_mel_spectrogram(waveform, imagebind())
    torch.testing.assert_close(fbank, case["io.fbank128_imagebind_raw"], atol=1e-3, rtol=0)


def test_regression_values():
    log_mel, fbank = audioldm_log_mel(noise(16000)), kaldi_fbank(noise(16000), 64)
    torch.testing.assert_close(torch.stack([log_mel.mean(), log_mel.std(), fbank.mean(), fbank.std()]),
                               torch.tensor(REGRESSION), atol=1e-3, rtol=0)


REGRESSION = [-2.2278, 0.2733, 20.9129, 3.0511]


@pytest.mark.parametrize(("num_samples", "frames"), [(100, 1), (512, 4), (16000, 101), (130560, 817)])
def test_audioldm_frame_count(num_samples, frames):
    assert audioldm_log_mel(noise(num_samples)).shape == (1, frames, 64)


@pytest.mark.parametrize("frequency", [500.0, 3000.0])
def test_a_tone_peaks_in_the_band_that_holds_it(frequency):
    tone = torch.sin(2 * math.pi * frequency * torch.arange(16000) / 16000)[None]
    for config in (audioldm(), kaldi(64)):
        band = log_mel_spectrogram(tone, config)[0, 50].argmax()
        centre = mel_filters(config)[band].argmax() * config.sample_rate / config.n_fft
        assert abs(centre - frequency) < 0.08 * frequency


def test_silence_is_the_floor_and_has_a_gradient():
    waveform = torch.zeros(1, 4000, requires_grad=True)
    log_mel = audioldm_log_mel(waveform)
    torch.testing.assert_close(log_mel, torch.full_like(log_mel, math.log(1e-5)))
    log_mel.sum().backward()
    assert torch.isfinite(waveform.grad).all()


def test_gradient_matches_a_finite_difference():
    waveform = noise(1200).double().requires_grad_()
    (gradient,) = torch.autograd.grad(audioldm_log_mel(waveform).sum(), waveform)
    step = 1e-6 * torch.randn(waveform.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        change = audioldm_log_mel(waveform + step).sum() - audioldm_log_mel(waveform - step).sum()
    torch.testing.assert_close(change / 2, (gradient * step).sum(), rtol=1e-4, atol=0)


def test_level_adds_to_the_logarithm():
    loud = audioldm_log_mel(noise(8000)) - audioldm_log_mel(noise(8000) / 2)
    torch.testing.assert_close(loud, torch.full_like(loud, math.log(2)), atol=1e-3, rtol=0)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="one frame needs 400"):
        kaldi_fbank(noise(300))
    with pytest.raises(ValueError, match="mono batch"):
        audioldm_log_mel(torch.zeros(2, 2, 1000))
