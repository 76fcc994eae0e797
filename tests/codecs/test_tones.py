"""The tones that mels hold: frequency, level and phases are found again, noise is none, parts equal the whole."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from postsync.codecs.tones import BLOCK, Tones
from postsync.features.spectrogram import audioldm_log_mel


@pytest.fixture
def tones() -> Tones:
    return Tones(num_mels=64, n_fft=640, hop_length=160, sampling_rate=16000, mel_n_fft=1024)


def tone(hertz: Tensor | float, seconds: float = 1.0) -> Tensor:
    """A sinusoid (1, N) at 16 kHz, of one frequency or of one a sample."""
    turns = torch.as_tensor(hertz, dtype=torch.float64).expand(round(16000 * seconds)).cumsum(0) / 16000
    return (0.3 * torch.sin(2 * math.pi * turns)).float()[None]


def synthesise(spectrum: Tensor) -> Tensor:
    """(1, T, bins) -> (1, N)."""
    return torch.istft(spectrum.transpose(1, 2), 640, 160, window=torch.hann_window(640))


@pytest.mark.parametrize("hertz", [200.0, 523.7, 991.3, 1730.0, 3411.0])
def test_a_tone_is_made_again_at_its_frequency_and_level(tones: Tones, hertz: float) -> None:
    sound = tone(hertz)
    spectrum, noise = tones(audioldm_log_mel(sound))
    made = synthesise(spectrum)[:, 2000:14000]
    assert float(made.std()) == pytest.approx(float(sound.std()), rel=0.06)
    found = torch.fft.rfft(made * torch.hann_window(made.shape[1])).abs()[0].argmax() * 16000 / made.shape[1]
    assert float(found) == pytest.approx(hertz, abs=1.4)
    assert float(noise[0, 50, round(hertz / 25)]) < 0.2


def test_two_tones_are_two(tones: Tones) -> None:
    made = synthesise(tones(audioldm_log_mel(tone(440.0) + tone(660.0)))[0])[0, 2000:14000]
    level = torch.fft.rfft(made * torch.hann_window(len(made))).abs()
    peaks = level[[330, 495]] / (0.3 * len(made) / 4)  # bins of 4/3 Hz
    torch.testing.assert_close(peaks, torch.ones(2), atol=0.2, rtol=0)


def test_a_glide_is_followed(tones: Tones) -> None:
    hertz = torch.linspace(400, 800, 16000)
    made = synthesise(tones(audioldm_log_mel(tone(hertz)))[0])[0]
    for start in (3000, 8000, 12000):
        part = made[start:start + 1600] * torch.hann_window(1600)
        found = torch.fft.rfft(part, 16000).abs().argmax()
        assert float(found) == pytest.approx(float(hertz[start + 800]), abs=12)


def test_noise_and_clicks_are_no_tones(tones: Tones) -> None:
    generator = torch.Generator().manual_seed(1)
    clicks = torch.zeros(1, 32000)
    clicks[:, ::4000] = 1.0
    for sound in (0.1 * torch.randn(1, 32000, generator=generator), clicks):
        assert float(tones(audioldm_log_mel(sound))[1].mean()) > 0.98


@pytest.mark.parametrize("first", [1, BLOCK - 1, BLOCK, 300])
def test_a_part_has_the_tones_of_the_whole(tones: Tones, first: int) -> None:
    log_mel = 3 * torch.randn(2, first + 4 * BLOCK + 40, 64, generator=torch.Generator().manual_seed(1)) - 5
    whole, part = tones(log_mel), tones(log_mel[:, first:], first)
    for all_of_it, some in zip(whole, part, strict=True):
        torch.testing.assert_close(some[:, 2 * BLOCK + 8:], all_of_it[:, first + 2 * BLOCK + 8:], atol=0, rtol=0)
    shorter = tones(log_mel[:, : 3 * BLOCK + 8])
    torch.testing.assert_close(shorter[0][:, : 2 * BLOCK], whole[0][:, : 2 * BLOCK], atol=0, rtol=0)


def test_gradients_are_finite_from_silence_to_a_lone_tone(tones: Tones) -> None:
    silence, lone = torch.full((1, 60, 64), -11.5), torch.full((1, 60, 64), -400.0)
    lone[:, :, 20] = 2.5
    for log_mel in (audioldm_log_mel(tone(700.0)), silence, lone):
        leaf = log_mel.clone().requires_grad_(True)
        spectrum, noise = tones(leaf)
        (spectrum.abs().square().sum() + noise.sum()).backward()
        assert leaf.grad is not None
        assert bool(leaf.grad.isfinite().all())


def test_phases_begin_anew_at_the_quietest_frame_of_each_block(tones: Tones) -> None:
    energy = torch.ones(2, 2 * BLOCK + 50, 64)
    quiet = [(40, BLOCK + 99, 2 * BLOCK + 7), (0, 2 * BLOCK - 1, 2 * BLOCK + 49)]
    for item, frames in zip(energy, quiet, strict=True):
        item[list(frames)] = 0.1
    anew = tones.seams(energy, 0)
    assert [tuple(row.nonzero().flatten().tolist()) for row in anew] == quiet
    of_a_part = tones.seams(energy[:, 200:], 200)[0].nonzero().flatten()
    assert (of_a_part[1:] + 200).tolist() == [BLOCK + 99, 2 * BLOCK + 7]


def test_silence_and_the_edges_of_the_scale_are_finite(tones: Tones) -> None:
    log_mel = torch.full((1, 10, 64), math.log(1e-5))
    log_mel[0, 3, 0], log_mel[0, 5, 63] = 2.0, 2.0
    assert all(bool(part.isfinite().all()) for part in tones(log_mel))
