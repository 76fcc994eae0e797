"""Hits that sound at once: where they begin, how fast they rise, and what stays as it was."""

from __future__ import annotations

import pytest
import torch

from postsync.features.attacks import sharpen_attacks

RATE = 16000


def swelling(hits_s: list[float], rise_s: float, duration_s: float = 2.0, early_s: float = 0.02) -> torch.Tensor:
    """Noise bursts (1, 1, N) that begin `early_s` before each hit, rise slowly and ring."""
    time = torch.arange(round(duration_s * RATE)) / RATE
    level = torch.zeros_like(time)
    for hit in hits_s:
        since = time - hit + early_s
        level = level + (since / rise_s).clamp(0, 1) * torch.exp(-(since - rise_s).clamp_min(0) / 0.08) * (since > 0)
    noise = torch.randn(len(time), generator=torch.Generator().manual_seed(0))
    return (0.2 * level * noise)[None, None]


def levels(sound: torch.Tensor) -> torch.Tensor:
    """RMS of 2 ms."""
    return sound.flatten().unfold(0, 32, 32).square().mean(1).sqrt()


@pytest.mark.parametrize("rise_s", [0.02, 0.035])
def test_a_slow_rise_is_over_at_once_and_nothing_comes_before_it(rise_s: float) -> None:
    hits = [0.5, 1.2]
    slow = swelling(hits, rise_s)
    sharp = levels(sharpen_attacks(slow, torch.tensor(hits, dtype=torch.float64), RATE))
    before = levels(slow)
    for hit in hits:
        place = round(hit * 500)
        peak = sharp[place:place + 30].max()
        risen = int((sharp[place - 30:] >= 0.7 * peak).int().argmax()) - 30
        assert 0 <= risen <= 4  # within 8 ms
        assert float(sharp[place - 40:place - 1].max()) < 0.1 * float(peak)
        assert float(before[place - 9:place - 1].max()) > 0.3 * float(before[place:place + 30].max())  # it had swelled


def test_only_the_surroundings_of_hits_change() -> None:
    slow = swelling([0.5], 0.03)
    sharp = sharpen_attacks(slow, torch.tensor([0.5], dtype=torch.float64), RATE)
    assert sharp.shape == slow.shape
    assert torch.equal(sharp[..., :round(0.43 * RATE)], slow[..., :round(0.43 * RATE)])
    assert torch.equal(sharp[..., round(0.78 * RATE):], slow[..., round(0.78 * RATE):])


def test_hits_beyond_the_end_too_close_or_absent_change_nothing_else() -> None:
    slow = swelling([0.5], 0.03)
    assert torch.equal(sharpen_attacks(slow, torch.zeros(0, dtype=torch.float64), RATE), slow)
    beyond = sharpen_attacks(slow, torch.tensor([5.0], dtype=torch.float64), RATE)
    assert torch.equal(beyond, slow)
    close = sharpen_attacks(slow, torch.tensor([0.5, 0.505, 0.51], dtype=torch.float64), RATE)
    assert close.isfinite().all()


def test_each_of_a_batch_has_its_own_rise_and_channels_stay_together() -> None:
    batch = torch.cat([swelling([0.5], 0.02), swelling([0.5], 0.035)]).repeat(1, 2, 1)
    batch[:, 1] *= 0.5
    hits = torch.tensor([0.5], dtype=torch.float64)
    sharp = sharpen_attacks(batch, hits, RATE)
    torch.testing.assert_close(sharp[:, 1], 0.5 * sharp[:, 0])
    torch.testing.assert_close(sharp[1:], sharpen_attacks(batch[1:], hits, RATE))
