"""Mel inversion and Griffin-Lim, and the distance they are measured by."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from postsync.codecs.stft import griffin_lim, invert_mel, log_stft_distance, magnitude_stft, mel_distance
from postsync.features.spectrogram import audioldm, audioldm_log_mel, mel_filters
from postsync.metrics.signals import LogSTFTDistance


def noise(seed: int, num_samples: int = 8000) -> torch.Tensor:
    return 0.1 * torch.randn(1, num_samples, generator=torch.Generator().manual_seed(seed))


def test_nnls_is_as_good_as_scipys() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    filterbank = mel_filters(audioldm()).double()
    mel = torch.rand(1, 3, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = invert_mel(mel, filterbank, 300)
    assert float(found.min()) >= 0
    ours = torch.linalg.norm(found @ filterbank.T - mel, dim=-1)[0]
    theirs = [optimize.nnls(filterbank.numpy(), frame.numpy())[1] for frame in mel[0]]
    scale = float(torch.linalg.norm(mel[0, 0]))
    assert np.abs(ours.numpy() - np.array(theirs)).max() < 0.01 * scale


def test_griffin_lim_rebuilds_a_tone_from_its_magnitudes() -> None:
    tone = 0.5 * torch.sin(2 * math.pi * 440 * torch.arange(8000) / 16000)[None]
    magnitude = torch.stft(tone, 1024, 160, window=torch.hann_window(1024), return_complex=True).abs()
    rebuilt = griffin_lim(magnitude, 160, 8000, generator=torch.Generator().manual_seed(0))
    assert rebuilt.shape == tone.shape
    again = torch.stft(rebuilt, 1024, 160, window=torch.hann_window(1024), return_complex=True).abs()
    assert float((again - magnitude).norm() / magnitude.norm()) < 0.1
    same = griffin_lim(magnitude, 160, 8000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(rebuilt, same)


def test_more_rounds_come_closer() -> None:
    waveform = noise(0)
    magnitude = torch.stft(waveform, 1024, 160, window=torch.hann_window(1024), return_complex=True).abs()
    distances = [float(log_stft_distance(griffin_lim(magnitude, 160, 8000, num_iterations=n,
                                                     generator=torch.Generator().manual_seed(0)), waveform))
                 for n in (2, 30)]
    assert distances[1] < 0.7 * distances[0]


def test_distance_knows_gains_and_identity() -> None:
    waveform = noise(0)
    assert float(log_stft_distance(waveform, waveform)) == 0.0
    assert float(log_stft_distance(waveform / 2, waveform)) == pytest.approx(math.log(2), abs=1e-3)
    # two independent noises: mean |difference of two log-Rayleigh values| = 0.693
    assert float(log_stft_distance(noise(1, 32000), noise(2, 32000))) == pytest.approx(math.log(2), abs=0.02)
    with pytest.raises(ValueError, match="one length"):
        log_stft_distance(waveform, waveform[:, 1:])


def test_magnitudes_are_numpys() -> None:
    waveform = noise(3, 2048)
    window = np.hanning(513)[:-1]
    expected = np.abs(np.fft.rfft(waveform[0, 768:1280].numpy() * window))  # centred on sample 1024, frame 8
    np.testing.assert_allclose(magnitude_stft(waveform, 512)[0, :, 8].numpy(), expected, atol=1e-4)


def test_distance_of_silence_has_a_finite_gradient() -> None:
    estimate = torch.zeros(1, 4096, requires_grad=True)
    mel_distance(estimate, torch.zeros(1, 4096)).backward()
    assert torch.isfinite(estimate.grad).all()


def test_bands_forgive_another_noise_and_hear_another_level() -> None:
    first, second = noise(1, 16000), noise(2, 16000)
    assert float(mel_distance(first, first)) == 0
    assert float(mel_distance(first, second)) < 0.6 * float(log_stft_distance(first, second)[0])
    assert float(mel_distance(first / 10, first)) == pytest.approx(math.log(10), abs=0.05)


def test_metric_averages_clips_over_batches() -> None:
    metric = LogSTFTDistance()
    target = noise(0)
    metric.update(torch.cat([target, target]), torch.cat([target, target]))
    metric.update(target / 2, target)
    assert float(metric.compute()) == pytest.approx(math.log(2) / 3, abs=1e-3)


def test_regression_of_the_baseline() -> None:
    waveform = noise(5)
    mel = audioldm_log_mel(waveform).exp()
    magnitude = invert_mel(mel, mel_filters(audioldm()).float()).transpose(1, 2)
    rebuilt = griffin_lim(magnitude, 160, 8000, generator=torch.Generator().manual_seed(0))
    assert float(log_stft_distance(rebuilt, waveform)) == pytest.approx(0.617, abs=0.02)
