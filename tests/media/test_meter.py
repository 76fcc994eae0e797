"""The K filter against pyloudnorm's coefficients, its recursive form, and the standard's table at 48 kHz."""

from __future__ import annotations

import numpy as np
import pytest
from pyloudnorm.iirfilter import IIRfilter
from scipy.signal import lfilter

from postsync.media.meter import HIGH_PASS, SHELF, KWeighting, high_pass, high_shelf


@pytest.mark.parametrize("rate", [16000, 44100, 48000, 96000])
def test_coefficients_are_pyloudnorms(rate):
    for (b, a), twin in ((high_shelf(rate, *SHELF), IIRfilter(4.0, 1 / np.sqrt(2), 1500.0, rate, "high_shelf")),
                         (high_pass(rate, *HIGH_PASS), IIRfilter(0.0, 0.5, 38.0, rate, "high_pass"))):
        assert np.allclose(b, twin.b, atol=1e-12)
        assert np.allclose(a, twin.a, atol=1e-12)


def test_blocks_give_what_the_recursive_filter_gives():
    noise = np.random.default_rng(0).normal(size=(2, 16000))
    truth = noise
    for b, a in (high_shelf(16000, *SHELF), high_pass(16000, *HIGH_PASS)):
        truth = lfilter(b, a, truth, axis=1)
    k_filter = KWeighting(16000, 2)
    ours = np.concatenate([k_filter(part) for part in np.split(noise, [1, 700, 701, 9000], axis=1)], axis=1)
    assert np.abs(ours - truth).max() < 1e-6


def test_low_hum_is_removed_and_hiss_is_lifted():
    at = np.arange(48000) / 48000
    levels = [np.std(KWeighting(48000, 1)(np.sin(2 * np.pi * f * at)[None])[0, 24000:]) * np.sqrt(2)
              for f in (10, 997, 8000)]
    assert 20 * np.log10(levels) == pytest.approx([-25.0, 0.69, 4.0], abs=1.5)
    assert SHELF[2] == 4.0
