"""The fader meets the envelope within its limit and does nothing else."""

from __future__ import annotations

import pytest
import torch

from postsync.features.envelope import frame_rms
from postsync.systems.foleygram import latents as fader
from postsync.systems.foleygram.latents import ride_fader

NOISE = torch.randn(2, 1, 16000, generator=torch.Generator().manual_seed(0)) * 0.1


def test_loudness_meets_the_envelope():
    asked = 0.1 + 0.05 * torch.sin(torch.arange(100) / 8)
    before, after = frame_rms(NOISE, 16000), frame_rms(ride_fader(NOISE, asked, 16000, 12.0), 16000)
    assert (after - asked)[..., 3:-3].abs().max() < 0.015 < (before - asked)[..., 3:-3].abs().mean()


def test_the_gain_stays_within_its_limit_and_zero_is_off():
    assert torch.equal(ride_fader(NOISE, torch.rand(100), 16000, 0.0), NOISE)
    quiet = ride_fader(NOISE, torch.zeros(2, 40), 16000, 6.0)
    torch.testing.assert_close(quiet, NOISE * 10 ** (-6 / 20))


def test_each_sound_has_its_own_envelope():
    both = ride_fader(NOISE, torch.tensor([[0.05], [0.2]]).expand(2, 100), 16000, 12.0)
    assert frame_rms(both, 16000)[1].mean() > 3 * frame_rms(both, 16000)[0].mean()


def test_all_channels_have_one_gain_and_are_heard_together():
    stereo = torch.cat([NOISE[:1], 0.1 * NOISE[1:]], dim=1)
    out = ride_fader(stereo, torch.full((100,), 0.2), 16000, 24.0)
    torch.testing.assert_close(out[:, 0] / stereo[:, 0], out[:, 1] / stereo[:, 1])
    loudness = frame_rms(out, 16000).square().mean(1).sqrt()
    assert (loudness[:, 3:-3] - 0.2).abs().max() < 0.03
    doubled = ride_fader(NOISE.expand(-1, 2, -1), torch.full((100,), 0.2), 16000, 24.0)
    torch.testing.assert_close(doubled[:, :1], ride_fader(NOISE, torch.full((100,), 0.2), 16000, 24.0))


def test_silence_is_not_blown_up():
    out = ride_fader(NOISE * 1e-5, torch.full((100,), 1e-3), 16000, 40.0)
    assert out.abs().max() < 1e-4


@pytest.mark.parametrize("rate", [16000, 44100, 16010.5])
@pytest.mark.parametrize("num_samples", [70, 999, 15000, 16000])
def test_blocks_give_what_the_whole_gives(monkeypatch, rate, num_samples):
    asked = 0.2 * torch.rand(100, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(fader, "BLOCK", 10**6)
    whole = ride_fader(NOISE[..., :num_samples], asked, rate, 12.0)
    monkeypatch.setattr(fader, "BLOCK", 7)
    torch.testing.assert_close(ride_fader(NOISE[..., :num_samples], asked, rate, 12.0), whole, atol=1e-6, rtol=1e-5)
    assert num_samples < 100 or not torch.equal(whole, NOISE[..., :num_samples])
