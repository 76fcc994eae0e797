"""Which prompts name a sound that goes on by itself."""

from __future__ import annotations

import pytest
import torch

from postsync.generation.options import Options
from postsync.generation.steady import is_steady, with_steady_sounds
from postsync.timing.timing import STEADY_DB, Timing


@pytest.mark.parametrize("prompt", ["rain", "rain on a roof", "a car engine idling", "waterfall", "ocean waves",
                                    "a crowd cheering", "fire crackling", "helicopter", "heavy traffic"])
def test_sounds_that_go_on(prompt: str) -> None:
    assert is_steady(prompt)


@pytest.mark.parametrize("prompt", ["hammer on an anvil", "footsteps in the rain", "a dog barking in the wind",
                                    "starting a car engine", "typing on a keyboard", "", "zzz"])
def test_separate_sounds(prompt: str) -> None:
    assert not is_steady(prompt)


def test_a_steady_sound_keeps_near_its_peak_and_has_no_hits() -> None:
    curve = torch.zeros(200)
    curve[50:60] = 0.4
    timing = with_steady_sounds(Timing.of_envelope(curve), Options(prompt="rain"), 2.0)
    assert float(timing.envelope.values.min()) == pytest.approx(0.4 * 10 ** (-STEADY_DB / 20))
    assert float(timing.envelope.values.max()) == pytest.approx(0.4)
    assert len(timing.onsets_s) == 0
    untouched = Timing.of_envelope(curve)
    assert with_steady_sounds(untouched, Options(prompt="hammer"), 2.0) is untouched
