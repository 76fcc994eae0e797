"""The front ends of the networks that metrics listen with, against the numbers of their official code."""

from __future__ import annotations

import math

import pytest
import torch
from safetensors.torch import load_file

from postsync.features import spectrogram
from postsync.features.spectrogram import (
    cavp,
    cavp_mel,
    log_mel_spectrogram,
    mel_filters,
    panns,
    panns_log_mel,
    passt_mel,
    synchformer_mel,
    vggish_examples,
)


@pytest.fixture(scope="module")
def frontends(golden):
    return load_file(golden("eval_frontends") / "frontends.safetensors")


@pytest.mark.golden
def test_vggish_examples(golden):
    case = load_file(golden("eval_extractors") / "vggish.safetensors")
    torch.testing.assert_close(vggish_examples(case["waveform_16k"][None])[0], case["log_mel_examples"],
                               atol=1e-4, rtol=0)


@pytest.mark.golden
def test_panns_log_mel(golden):
    case = load_file(golden("eval_extractors") / "panns_cnn14_16k.safetensors")
    torch.testing.assert_close(mel_filters(panns()).float().T, case["mel_matrix"], atol=1e-7, rtol=0)
    torch.testing.assert_close(panns_log_mel(case["waveform_16k"][None]), case["logmel"][0], atol=1e-3, rtol=0)


@pytest.mark.golden
def test_passt_mel(frontends):
    f_min, f_max = frontends["passt_fmin_fmax"].tolist()
    assert (spectrogram.passt().f_min, spectrogram.passt().f_max) == (f_min, f_max)
    torch.testing.assert_close(passt_mel(frontends["passt_wave_32k"][None]), frontends["passt_mel"], atol=1e-4, rtol=0)


@pytest.mark.golden
def test_synchformer_mel(frontends):
    segments = frontends["sync_wave_16k"].unfold(0, 10240, 5120)
    torch.testing.assert_close(synchformer_mel(segments), frontends["sync_mel"][0], atol=1e-4, rtol=0)


@pytest.mark.golden
def test_diff_foley_mels_reflect_at_the_edges(golden, frontends):
    found = cavp_mel(frontends["difffoley_wave_16k"][None], 256)[0].T
    torch.testing.assert_close(found, frontends["difffoley_mel_reflect"], atol=1e-4, rtol=0)
    case = load_file(golden("mel") / "io.safetensors")
    torch.testing.assert_close(mel_filters(cavp()).float(), case["filter.cavp_mel_basis"], atol=1e-7, rtol=0)
    for hop in (250, 256):
        found = cavp_mel(case["in.wav"][None], hop)[0].T
        torch.testing.assert_close(found, case[f"out.cavp_mel_hop{hop}_reflect"], atol=1e-4, rtol=0)


@pytest.mark.parametrize(("seconds", "rows"), [(0.5, 0), (0.96, 0), (0.975, 1), (8.0, 8), (10.0, 10)])
def test_vggish_drops_what_does_not_fill_an_example(seconds, rows):
    assert vggish_examples(torch.zeros(2, round(16000 * seconds))).shape == (2, rows, 96, 64)


def test_silence_is_each_front_ends_floor():
    silence = torch.zeros(1, 10240)
    expected = {vggish_examples: math.log(0.01), panns_log_mel: -100.0, passt_mel: (math.log(1e-5) + 4.5) / 5}
    for front_end, value in expected.items():
        found = front_end(torch.zeros(1, 16000))
        torch.testing.assert_close(found, torch.full_like(found, value))
    mel = synchformer_mel(silence)
    assert mel.shape == (1, 128, 66)
    torch.testing.assert_close(mel[0, :, 64], torch.full((128,), (math.log(1e-6) + 4.2677393) / 9.1379948))
    torch.testing.assert_close(mel[0, :, 65], torch.full((128,), 4.2677393 / 9.1379948))


def test_htk_bands_are_triangles_in_hz_of_equal_height():
    config = spectrogram.synchformer()
    bank = mel_filters(config)
    tone = torch.sin(2 * math.pi * 2000 * torch.arange(16000) / 16000)[None]
    band = log_mel_spectrogram(tone, config)[0, 50].argmax()
    frequency = (bank[band] * torch.arange(513) * 16000 / 1024).sum() / bank[band].sum()
    assert abs(frequency - 2000) < 60
    assert bank[40:].amax(1).min() > 0.6  # not scaled to unit area
    with pytest.raises(ValueError, match="slaney, htk or kaldi"):
        mel_filters(spectrogram.SpectrogramConfig(mel_scale="bark"))
