"""Spoiled envelopes differ by what was asked, and only by that."""

from __future__ import annotations

import torch

from postsync.features.perturb import PerturbConfig, drop_hits, jitter_time, perturb_envelope, smooth


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def hits(batch: int = 4, length: int = 800, period: int = 50) -> torch.Tensor:
    """A hit every 0.5 s from 0.2 s on, decaying with 60 ms."""
    since = (torch.arange(length) - 20) % period
    envelope = torch.where(torch.arange(length) >= 20, 0.5 * torch.exp(-since / 6.0), 0.0)
    return envelope.repeat(batch, 1)


def test_half_of_the_envelopes_are_spoiled_and_the_rest_untouched():
    envelope = hits(400, 200)
    perturbed = perturb_envelope(envelope, generator())
    changed = (perturbed != envelope).any(1)
    assert 160 < int(changed.sum()) < 240
    assert perturbed.min() >= 0
    assert perturbed.max() <= 1
    assert torch.equal(perturb_envelope(envelope, generator(), probability=0.0), envelope)
    assert (perturb_envelope(envelope, generator(), probability=1.0) != envelope).any(1).all()


def test_same_seed_same_result_and_another_seed_another():
    envelope = hits()
    first = perturb_envelope(envelope, generator(3), 1.0)
    assert torch.equal(first, perturb_envelope(envelope, generator(3), 1.0))
    assert not torch.equal(first, perturb_envelope(envelope, generator(4), 1.0))


def test_a_tenth_of_the_hits_is_dropped():
    envelope = hits(100)
    peaks = drop_hits(envelope, generator(), 0.1)[:, 20::50]
    share = (peaks < 0.1).float().mean()
    assert 0.07 < share < 0.13
    assert ((peaks < 0.1) | (peaks == 0.5)).all()
    assert torch.equal(drop_hits(envelope, generator(), 0.0), envelope)


def test_jitter_stays_within_its_bounds():
    envelope = hits(50)
    bent = jitter_time(envelope, generator(), 0.04, 0.5)
    moved = torch.stack([bent[:, t - 10 : t + 11].argmax(1) - 10 for t in range(70, 700, 50)])
    assert moved.abs().max() in (4, 5)
    assert moved.float().std() > 1
    assert torch.equal(jitter_time(envelope, generator(), 0.0, 0.5), envelope)


def test_smoothing_has_the_width_asked_for():
    click = torch.zeros(2, 101)
    click[:, 50] = 1.0
    wide = smooth(click, torch.tensor([0.04, 0.12]))
    torch.testing.assert_close(wide.sum(1), torch.ones(2))
    half = (wide > wide.amax(1, keepdim=True) * 0.51).sum(1)
    assert half.tolist() == [3, 11]


def test_gain_spans_its_range():
    flat = torch.full((300, 100), 0.5)
    config = PerturbConfig(smoothing_s=(0.02, 0.02), drop_probability=0.0)
    levels = perturb_envelope(flat, generator(), 1.0, config)[:, 50] / 0.5
    assert 0.68 < levels.min() < 0.76
    assert 1.32 < levels.max() < 1.44


def test_silence_stays_silent_and_regression():
    assert perturb_envelope(torch.zeros(3, 100), generator(), 1.0).abs().max() == 0
    perturbed = perturb_envelope(hits(), generator(7), 1.0)
    torch.testing.assert_close(perturbed.mean(1), torch.tensor(REGRESSION), atol=1e-5, rtol=0)


REGRESSION = [0.062719, 0.061385, 0.074469, 0.041986]
