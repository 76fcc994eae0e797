"""From curves to an envelope and onsets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from postsync.timing.motion_features import FEATURE_RATE
from postsync.timing.shaping import ShapingConfig, likely_hits, ringing, shape, silence, standard

HITS = (0.5, 1.213, 2.0)


def answer(length: int = 188, sounding: float = 4.0) -> torch.Tensor:
    """A network that is sure of HITS."""
    time = torch.arange(length) / FEATURE_RATE
    bumps = sum(torch.exp(-0.5 * ((time - hit) / 0.03) ** 2) for hit in HITS)
    return torch.stack([2 * bumps, bumps, bumps, 10 * bumps - 5, torch.full((length,), sounding)])


def cues(length: int = 188) -> torch.Tensor:
    return torch.rand(3, length, generator=torch.Generator().manual_seed(0))


def test_envelope_peaks_at_the_hits_within_its_bounds():
    config = ShapingConfig()
    result = shape(answer(), cues(), 3.0, config)
    assert result.envelope.values.shape == (300,)
    assert result.envelope.values.max() == pytest.approx(config.peak, rel=0.01)
    for hit in HITS:
        near = result.envelope.values[round(hit * 100) - 2 : round(hit * 100) + 4].max()
        assert near > 3 * result.envelope.values.median()


def test_onsets_are_read_between_the_values():
    result = shape(answer(), cues(), 3.0, ShapingConfig())
    np.testing.assert_allclose(result.onsets_s.numpy(), HITS, atol=0.004)
    assert result.onsets_s.dtype == torch.float64
    times, probabilities = likely_hits(answer()[3].sigmoid(), ShapingConfig())
    assert torch.equal(times, result.onsets_s)
    assert ((probabilities > 0.9) & (probabilities <= 1)).all()


def test_of_two_close_onsets_the_surer_stays():
    crowded = answer()
    crowded[3, 33] = 9.0
    found = shape(crowded, cues(), 3.0, ShapingConfig()).onsets_s
    assert len(found) == len(HITS)


def answer_with(times: list[float], length: int = 1000) -> torch.Tensor:
    """A network that gives each of `times` a probability of 0.55."""
    said = answer(length)
    said[3] = -5.0
    for time in times:
        said[3, round(time * FEATURE_RATE)] = 0.2
    return said


def test_likely_hits_count_where_they_come_in_rows():
    def found(*times: float) -> list[float]:
        return shape(answer_with(list(times)), cues(1000), 16.0, ShapingConfig()).onsets_s.tolist()

    assert found(1.0, 2.0, 3.0) == []
    np.testing.assert_allclose(found(1.0, 2.0, 3.0, 4.0), [1.0, 2.0, 3.0, 4.0], atol=0.01)
    assert found(1.0, 5.5, 10.0, 14.5) == []  # as many, but far from each other
    sure = answer_with([8.0])
    sure[3, 500] = 2.0
    assert len(shape(sure, cues(1000), 16.0, ShapingConfig()).onsets_s) == 1


def test_nothing_sounds():
    result = shape(answer(sounding=-4.0), cues(), 3.0, ShapingConfig())
    assert result.envelope.values.abs().max() == 0
    assert len(result.onsets_s) == len(result.strengths) == 0
    assert silence(0.25).envelope.values.shape == (25,)


def test_ringing_and_standard():
    pulse = torch.zeros(20)
    pulse[5] = 1
    rung = ringing(pulse, 0.08)
    assert rung[4] == 0
    torch.testing.assert_close(rung[10], torch.tensor(np.exp(-5 / (0.08 * FEATURE_RATE)), dtype=torch.float32))
    values = standard(torch.arange(10.0))
    assert values.mean().abs() < 1e-6
    assert values.std() == pytest.approx(1)
    assert standard(torch.ones(5)).abs().max() == 0
