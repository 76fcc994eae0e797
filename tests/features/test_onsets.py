"""The onset picker finds bursts at the times they were put."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from postsync.features.onsets import OnsetConfig, audio_onsets, loudness_rise, pick_onsets

TIMES = np.array([0.21, 0.655, 0.9, 1.523, 2.0, 2.31, 2.9])


def bursts(times=TIMES, decay_s=0.05, background=0.0, sample_rate=16000, duration_s=3.5, seed=0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    time = np.arange(round(duration_s * sample_rate)) / sample_rate
    waveform = background * rng.standard_normal(len(time))
    for onset in times:
        since = time - onset
        shape = np.where(since >= 0, np.exp(-np.maximum(since, 0) / decay_s), 0)
        waveform += rng.uniform(0.1, 0.3) * shape * rng.standard_normal(len(time))
    return torch.from_numpy(waveform).float()


@pytest.mark.parametrize("decay_s", [0.005, 0.02, 0.05, 0.1])
@pytest.mark.parametrize("background", [0.0, 0.005])
@pytest.mark.parametrize("sample_rate", [16000, 44100])
def test_bursts_are_found_without_lag(decay_s, background, sample_rate):
    onsets = audio_onsets(bursts(decay_s=decay_s, background=background, sample_rate=sample_rate), sample_rate).numpy()
    assert len(onsets) == len(TIMES)
    lag = onsets - TIMES
    assert abs(lag.mean()) < 0.008
    assert np.abs(lag).max() < 0.015


def test_level_does_not_matter():
    waveform = bursts()
    torch.testing.assert_close(audio_onsets(waveform * 0.05, 16000), audio_onsets(waveform, 16000), atol=1e-3, rtol=0)


def test_channels_count_alike():
    left, silent = bursts(), torch.zeros(56000)
    assert len(audio_onsets(torch.stack([left, silent]), 16000)) == len(TIMES)


def test_silence_hum_and_slow_swells_have_no_onset():
    time = torch.arange(48000) / 16000
    assert len(audio_onsets(torch.zeros(48000), 16000)) == 0
    assert len(audio_onsets(torch.full((48000,), 1e-6), 16000)) == 0
    swell = torch.sin(2 * torch.pi * 300 * time) * (0.3 + 0.25 * torch.sin(2 * torch.pi * 0.5 * time))
    assert (audio_onsets(swell, 16000) > 0.03).sum() == 0
    assert pick_onsets(torch.zeros(0)).shape == (0,)


def test_a_loud_start_is_an_onset_and_a_quiet_one_is_not():
    loud = audio_onsets(bursts(times=np.array([0.0, 1.0])), 16000)
    assert len(loud) == 2
    assert loud[0] < 0.02
    assert audio_onsets(bursts(times=np.array([1.0]), background=0.01), 16000).min() > 0.9


def test_near_doubles_count_once():
    """Two bursts 30 ms apart are one onset, 100 ms apart two."""
    assert len(audio_onsets(bursts(times=np.array([1.0, 1.03]), decay_s=0.01), 16000)) == 1
    assert len(audio_onsets(bursts(times=np.array([1.0, 1.1]), decay_s=0.01), 16000)) == 2


def test_threshold_decides():
    envelope = torch.full((100,), 0.2)
    envelope[50:] = 0.3  # rises by 0.4 nepers
    assert len(pick_onsets(envelope[10:], config=OnsetConfig(threshold=0.3, start_level=1.0))) == 1
    assert len(pick_onsets(envelope[10:], config=OnsetConfig(threshold=0.5, start_level=1.0))) == 0


def test_rise_is_batched_and_peaks_at_the_step():
    envelope = torch.zeros(2, 80)
    envelope[0, 30:], envelope[1, 55:] = 0.5, 0.2
    rise = loudness_rise(envelope)
    assert rise.shape == envelope.shape
    assert abs(int(rise[0].argmax()) - 30) <= 2
    assert abs(int(rise[1].argmax()) - 55) <= 2


def test_regression_values():
    onsets = audio_onsets(bursts(background=0.005), 16000)
    torch.testing.assert_close(onsets, torch.tensor(REGRESSION, dtype=torch.float64), atol=5e-4, rtol=0)


REGRESSION = [0.2103, 0.6528, 0.9004, 1.5206, 2.0005, 2.3103, 2.9001]


def test_a_batch_is_refused():
    with pytest.raises(ValueError, match="one envelope"):
        pick_onsets(torch.zeros(2, 100))
