"""Envelope recipes against official numbers, and on signals whose loudness is known."""

from __future__ import annotations

import math

import pytest
import torch
from safetensors.torch import load_file

from postsync.features.envelope import (
    causal_window,
    frame_rms,
    librosa_rms,
    resample_linear,
    to_causal_window,
    trailing_rms,
    videofoley_low_pass,
    videofoley_rms,
)


def burst(num_samples: int = 44100, start: int = 8820, sample_rate: int = 44100) -> torch.Tensor:
    """Noise that starts suddenly and decays in 50 ms."""
    generator = torch.Generator().manual_seed(0)
    time = (torch.arange(num_samples) - start) / sample_rate
    return torch.where(time >= 0, torch.randn(num_samples, generator=generator) * 0.2 * torch.exp(-time / 0.05), 0.0)


@pytest.mark.golden
def test_recipes_match(golden):
    case = load_file(golden("rms_envelope") / "data.safetensors")
    close = {"atol": 1e-5, "rtol": 0}
    torch.testing.assert_close(trailing_rms(case["wave44k"]), case["stable_foley.window_rms"], **close)
    torch.testing.assert_close(causal_window(case["wave44k"]), case["stable_foley.filtered"], **close)
    fine = librosa_rms(case["librosa.mono"], 512, 128, "reflect")
    torch.testing.assert_close(fine, case["librosa.rms_512_128"], **close)
    torch.testing.assert_close(librosa_rms(case["librosa.mono"]), case["librosa.rms_2048_512"], **close)
    to_audio_rate = torch.linspace(0, fine.shape[-1] - 1, case["librosa.mono"].shape[-1], dtype=torch.float64)
    stretched = resample_linear(fine, to_audio_rate)
    torch.testing.assert_close(stretched, case["librosa.rms_512_128_linear_to_audio_rate"], **close)
    rms = videofoley_rms(case["wave16k"])
    torch.testing.assert_close(rms, case["videofoley.rms_512_128"], **close)


@pytest.mark.golden
def test_low_pass_matches(golden):
    pytest.importorskip("scipy")
    case = load_file(golden("rms_envelope") / "data.safetensors")
    smooth = videofoley_low_pass(videofoley_rms(case["wave16k"]))
    torch.testing.assert_close(smooth, case["videofoley.rms_filtered"], atol=1e-5, rtol=0)


@pytest.mark.golden
def test_causal_window_is_rebuilt_from_a_finer_envelope(golden):
    case = load_file(golden("rms_envelope") / "data.safetensors")
    mono, num_samples = case["librosa.mono"], case["librosa.mono"].shape[-1]
    rebuilt = to_causal_window(librosa_rms(mono, 512, 128, "reflect"), 44100 / 128, num_samples)
    truth = causal_window(mono)
    assert (rebuilt - truth).abs().max() < 0.005
    assert torch.corrcoef(torch.stack([rebuilt, truth]))[0, 1] > 0.9999


def test_frame_rms_of_a_constant_and_its_length():
    for num_samples, sample_rate in ((16000, 16000), (44100, 44100), (12345, 22050), (100, 16000)):
        envelope = frame_rms(torch.full((2, num_samples), -0.3), sample_rate)
        assert envelope.shape == (2, round(num_samples / sample_rate * 100))
        torch.testing.assert_close(envelope, torch.full_like(envelope, 0.3))


def test_frame_rms_is_centred():
    """A short click is loudest at its own time and equally loud on both sides of it."""
    waveform = torch.zeros(16000)
    waveform[7990:8010] = 1.0  # around 0.5 s
    envelope = frame_rms(waveform, 16000)
    torch.testing.assert_close(envelope[44:50], envelope[51:57].flip(0))
    assert envelope[50] == envelope.max() > 0
    assert envelope[:47].max() == 0


def test_recipes_keep_the_lag_they_are_known_for():
    waveform = burst()
    onset_ms = 200
    assert abs(frame_rms(waveform, 44100).argmax() * 10 - onset_ms) <= 30
    assert 150 < causal_window(waveform).argmax() / 44.1 - onset_ms < 260
    values = torch.stack([causal_window(waveform).max(), frame_rms(waveform, 44100).max(), librosa_rms(waveform).max()])
    torch.testing.assert_close(values, torch.tensor(REGRESSION), atol=1e-4, rtol=0)


REGRESSION = [0.06558, 0.13825, 0.13084]


def test_gradient_is_finite_at_silence_and_right_elsewhere():
    waveform = torch.cat([torch.zeros(1600), burst(1600, 0)]).requires_grad_()
    frame_rms(waveform, 16000).sum().backward()
    assert torch.isfinite(waveform.grad).all()
    assert waveform.grad[:1000].abs().max() == 0
    torch.testing.assert_close((waveform.grad * waveform.detach()).sum(), frame_rms(waveform.detach(), 16000).sum())


def test_a_loud_past_leaves_no_trace_in_a_quiet_part():
    waveform = torch.cat([torch.ones(16000 * 20), torch.full((16000,), 1e-4)])
    torch.testing.assert_close(frame_rms(waveform, 16000)[-50:], torch.full((50,), 1e-4), rtol=2e-3, atol=0)


def test_resample_linear_holds_the_ends():
    envelope = torch.tensor([0.0, 1.0, 3.0])
    positions = torch.tensor([-1.0, 0.5, 1.5, 2.0, 9.0])
    torch.testing.assert_close(resample_linear(envelope, positions), torch.tensor([0.0, 0.5, 2.0, 3.0, 3.0]))


def test_mirroring_needs_enough_samples():
    with pytest.raises(ValueError, match="more than 192"):
        videofoley_rms(torch.ones(100))
    assert math.isclose(librosa_rms(torch.ones(100)).max(), math.sqrt(100 / 2048), rel_tol=1e-5)
