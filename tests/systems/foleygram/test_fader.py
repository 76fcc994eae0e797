"""The fader meets the envelope within its limit and does nothing else."""

from __future__ import annotations

import torch

from postsync.features.envelope import frame_rms
from postsync.systems.foleygram.fader import ride_fader

NOISE = torch.randn(2, 16000, generator=torch.Generator().manual_seed(0)) * 0.1


def test_loudness_meets_the_envelope():
    asked = 0.1 + 0.05 * torch.sin(torch.arange(100) / 8)
    before, after = frame_rms(NOISE, 16000), frame_rms(ride_fader(NOISE, asked, 16000, 12.0), 16000)
    assert (after - asked)[:, 3:-3].abs().max() < 0.015 < (before - asked)[:, 3:-3].abs().mean()


def test_the_gain_stays_within_its_limit_and_zero_is_off():
    assert torch.equal(ride_fader(NOISE, torch.rand(100), 16000, 0.0), NOISE)
    quiet = ride_fader(NOISE, torch.zeros(2, 40), 16000, 6.0)
    torch.testing.assert_close(quiet, NOISE * 10 ** (-6 / 20))


def test_each_sound_has_its_own_envelope():
    both = ride_fader(NOISE, torch.tensor([[0.05], [0.2]]).expand(2, 100), 16000, 12.0)
    assert frame_rms(both, 16000)[1].mean() > 3 * frame_rms(both, 16000)[0].mean()


def test_silence_is_not_blown_up():
    out = ride_fader(NOISE * 1e-5, torch.full((100,), 1e-3), 16000, 40.0)
    assert out.abs().max() < 1e-4
