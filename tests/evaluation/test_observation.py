"""A clip as metrics see it: resampled and sampled once."""

import math

import pytest
import torch

from handmade_clips import RATE, clicks, observed, pair_of
from postsync.evaluation.sides import Absent, LeftOut
from postsync.features.resampling import kaiser_resample, sinc_resample


def test_sound_is_the_mean_of_the_channels_at_the_rate_asked_for_and_resampled_once():
    tone = torch.sin(2 * math.pi * 440 * torch.arange(44100) / 44100)
    clip = observed(torch.stack([tone, -0.5 * tone]), rate=44100)
    sound = clip.sound(16000)
    assert sound.shape == (16000,)
    expected = 0.25 * torch.sin(2 * math.pi * 440 * torch.arange(16000) / 16000)
    assert torch.allclose(sound[500:-500], expected[500:-500], atol=1e-3)
    assert clip.sound(16000) is sound


def test_published_networks_hear_what_torchaudio_would_have_given_them():
    noise = torch.randn(1, 4410, generator=torch.Generator().manual_seed(0))
    clip = observed(noise, rate=44100)
    assert torch.equal(clip.sound(16000, "sinc"), sinc_resample(noise[0], 44100, 16000))
    assert torch.equal(clip.sound(16000, "kaiser"), kaiser_resample(noise[0], 44100, 16000))
    assert not torch.allclose(clip.sound(16000, "sinc"), clip.sound(16000), atol=1e-3)
    with pytest.raises(LeftOut, match="44101 Hz"):
        observed(noise, rate=44101).sound(16000, "sinc")


def test_the_duration_cuts_sound_and_pictures():
    frames = torch.arange(20, dtype=torch.uint8)[:, None, None, None].expand(20, 3, 4, 4)
    clip = observed(clicks(0.1), frames, fps=10.0, duration_s=0.5)
    assert clip.sound(RATE).shape == (8000,)
    assert clip.pictures()[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert clip.fps() == 10.0


def test_pictures_at_another_rate_are_those_shown_at_that_time():
    frames = torch.arange(10, dtype=torch.uint8)[:, None, None, None].expand(10, 3, 4, 4)
    clip = observed(clicks(0.1, duration_s=1.0), frames, fps=10.0)
    assert clip.pictures(4.0)[:, 0, 0, 0].tolist() == [0, 2, 5, 7]
    assert clip.pictures(25.0)[:, 0, 0, 0].tolist() == [int(k / 2.5) for k in range(25)]
    assert clip.pictures(0.5)[:, 0, 0, 0].tolist() == [0]


def test_what_is_not_there_says_so():
    with pytest.raises(LeftOut, match="has no picture"):
        observed(clicks(0.1)).pictures()
    pair = pair_of(clicks(0.1))
    with pytest.raises(Absent):
        _ = pair.reference
    with pytest.raises(LeftOut, match="no caption"):
        _ = pair.caption


def test_a_network_hears_a_clip_once():
    clip, calls = observed(clicks(0.1)), []
    for _ in range(2):
        clip.once("key", lambda: calls.append(1) or "value")
    assert calls == [1]
