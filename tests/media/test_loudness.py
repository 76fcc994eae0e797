"""Loudness against pyloudnorm's meter; true peaks against a one-shot resampler."""

from __future__ import annotations

import math

import numpy as np
import pyloudnorm
import pytest
import soxr
import torch

from postsync.errors import MediaError
from postsync.media.loudness import LoudnessTarget, normalise_blocks, normalise_loudness
from postsync.media.meter import LoudnessMeter, integrated_lufs
from postsync.media.meter import true_peak_dbtp as measured_peak


def signals(rate: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    at = np.arange(3 * rate)
    return {
        "noise": rng.normal(0, 0.1, (1, int(2.37 * rate))),
        "stereo": rng.normal(0, 0.1, (2, 3 * rate)) * np.array([[1.0], [0.3]]),
        "hits": np.exp(-(at % (rate // 2)) / (0.03 * rate))[None] * rng.normal(0, 0.3, (1, len(at))),
        "tone": 0.3 * np.sin(2 * np.pi * 1500 * at / rate)[None],
        "half silent": np.where(at < rate, 0.2, 0.001)[None] * rng.normal(0, 1, (1, len(at))),
        "square": np.sign(rng.normal(0, 1, (1, rate))),
    }


def reference(waveform: np.ndarray, rate: int) -> float:
    return pyloudnorm.Meter(rate).integrated_loudness(np.asarray(waveform, np.float64).T)


def reference_peak(waveform: np.ndarray) -> float:
    fine = soxr.resample(np.asarray(waveform, np.float64).T, 1, 4, quality="VHQ")
    return 20 * np.log10(np.abs(fine).max())


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_meter_agrees_with_pyloudnorm(rate):
    for name, waveform in signals(rate).items():
        waveform = waveform.astype(np.float32)
        assert integrated_lufs(waveform, rate) == pytest.approx(reference(waveform, rate), abs=0.02), name
        assert measured_peak(waveform, rate) == pytest.approx(reference_peak(waveform), abs=0.1), name


def test_regression_values():
    waveform = signals(16000)["hits"].astype(np.float32)
    levelled, report = normalise_loudness(waveform, 16000)
    assert report.input_lufs == pytest.approx(-21.951, abs=0.01)
    assert float(np.abs(levelled).sum()) == pytest.approx(957.27, rel=0.002)


@pytest.mark.parametrize("rate", [16000, 48000])
@pytest.mark.parametrize("target", [-26.0, -20.0, -16.0])
def test_target_is_met_under_the_true_peak(rate, target):
    for name, waveform in signals(rate).items():
        levelled, report = normalise_loudness(waveform.astype(np.float32), rate, target_lufs=target)
        assert levelled.shape == waveform.shape
        assert reference_peak(levelled) <= -1.0, name
        if report.limiting_db < LoudnessTarget().max_limiting_db - 0.01:  # else the peaks stand too far out
            assert reference(levelled, rate) == pytest.approx(target, abs=0.1), name
        else:
            assert (name, target) == ("hits", -16.0)
        assert report.output_lufs == pytest.approx(reference(levelled, rate), abs=0.05), name
        assert (report.limiting_db > 0.1) == (reference_peak(waveform) + report.gain_db > -1.0), name


def test_limiter_dips_only_around_the_peak():
    rng = np.random.default_rng(1)
    waveform = rng.normal(0, 0.1, (1, 32000)).astype(np.float32)
    waveform[0, 16000] = 3.0
    levelled, report = normalise_loudness(waveform, 16000)
    ratio = levelled[0] / waveform[0]
    assert np.allclose(ratio[200:15600], ratio[8000], rtol=1e-4)
    assert np.allclose(ratio[16400:-200], ratio[8000], rtol=1e-4)
    assert ratio[16000] < 0.5 * ratio[8000]
    assert report.limiting_db == pytest.approx(20 * np.log10(ratio[8000] / ratio[16000]), abs=0.3)


def test_too_much_limiting_lowers_the_gain_instead():
    click = np.zeros((1, 16000), np.float32)
    click[0, 8000:8004] = 1.0
    levelled, report = normalise_loudness(click, 16000, target_lufs=-10.0)
    assert reference_peak(levelled) <= -1.0
    assert report.limiting_db == pytest.approx(LoudnessTarget().max_limiting_db, abs=0.01)
    assert report.output_lufs < -10.0


def test_blocks_give_what_the_whole_gives():
    waveform = signals(44100)["hits"].astype(np.float32)
    whole, report = normalise_loudness(waveform, 44100)
    cuts = [1000, 1001, 40000, 90001]
    blocks, same = normalise_blocks(lambda: np.split(waveform, cuts, axis=1), 44100)
    assert np.allclose(np.concatenate(list(blocks), axis=1), whole, atol=1e-6)
    assert same.gain_db == pytest.approx(report.gain_db, abs=1e-6)


def test_fades_at_both_ends():
    square = np.where(np.arange(16000) // 8 % 2, -0.1, 0.1).astype(np.float32)
    levelled, report = normalise_loudness(square[None], 16000, fade_s=0.01)
    shape = np.abs(levelled[0]) / np.abs(levelled[0, 8000])
    assert shape[0] < 1e-3 > shape[-1]
    assert np.all(np.diff(shape[:160]) > 0)
    assert np.all(np.diff(shape[-160:]) < 0)
    assert shape[160:-160] == pytest.approx(np.ones(15680))
    assert report.limiting_db == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("num_samples", [0, 1, 7, 160, 3000, 6399])
def test_short_clips_are_defined(num_samples):
    """Under 0.4 s: the plain K-weighted mean, so a burst is neither refused nor blown up."""
    waveform = np.random.default_rng(2).normal(0, 0.05, (2, num_samples)).astype(np.float32)
    levelled, report = normalise_loudness(waveform, 16000)
    assert levelled.shape == waveform.shape
    assert np.isfinite(levelled).all()
    assert np.abs(levelled).max(initial=0) < 10 ** (-1 / 20)
    if num_samples >= 3000:
        assert report.output_lufs == pytest.approx(-20, abs=0.05)
        repeated = np.tile(waveform, (1, 8))  # a steady sound reads the same long and short
        assert report.input_lufs == pytest.approx(reference(repeated, 16000), abs=0.2)


def test_silence_stays_silence():
    levelled, report = normalise_loudness(np.zeros((2, 16000), np.float32), 16000)
    assert not levelled.any()
    assert (report.gain_db, report.input_lufs) == (0.0, -math.inf)
    hiss = np.random.default_rng(3).normal(0, 1e-5, (1, 16000)).astype(np.float32)
    assert np.abs(normalise_loudness(hiss, 16000)[0]).max() < 1e-4


def test_tensors_come_back_as_tensors():
    waveform = torch.from_numpy(signals(16000)["noise"].astype(np.float32))
    levelled, _ = normalise_loudness(waveform, 16000)
    assert isinstance(levelled, torch.Tensor)
    assert torch.equal(levelled, torch.from_numpy(normalise_loudness(waveform.numpy(), 16000)[0]))


def test_broken_samples_are_refused():
    with pytest.raises(MediaError, match="NaN"):
        normalise_loudness(np.array([[0.0, np.inf]], np.float32), 16000)


def test_meter_memory_is_two_numbers_a_millisecond():
    meter = LoudnessMeter(48000, 1)
    for _ in range(20):
        meter.update(np.zeros((1, 48000), np.float32))
    profile = meter.finish()
    assert len(profile.energy) == len(profile.peaks) == 20_000
