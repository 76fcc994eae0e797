"""What kind of sound a prompt names, and the timing that becomes of it."""

from __future__ import annotations

import pytest
import torch

import postsync
from postsync.errors import ConditionError
from postsync.features.envelope import Envelope
from postsync.generation.kinds import SUSTAINED_DB, in_kind, is_hit, is_steady, kind_of, shape_of
from postsync.generation.options import Options
from postsync.scenes.shapes import SHAPES
from postsync.timing.timing import STEADY_DB, Timing


@pytest.mark.parametrize("prompt", ["rain", "rain on a roof", "a car engine idling", "waterfall", "ocean waves",
                                    "a crowd cheering", "fire crackling", "helicopter", "heavy traffic"])
def test_sounds_that_go_on(prompt: str) -> None:
    assert is_steady(prompt)
    assert kind_of(prompt) == "textured"


@pytest.mark.parametrize("prompt", ["hammer on an anvil", "footsteps in the rain", "a dog barking in the wind",
                                    "starting a car engine", "typing on a keyboard", "", "zzz"])
def test_separate_sounds(prompt: str) -> None:
    assert not is_steady(prompt)


@pytest.mark.parametrize(("prompt", "kind"), [
    ("hammer on an anvil", "impulsive"), ("playing the drums", "impulsive"), ("a rifle shot", "impulsive"),
    ("typing on a keyboard", "impulsive"), ("sawing a plank", "sustained"), ("raking a gravel path", "sustained"),
    ("a dog barking", None), ("a cat meows", None), ("zzz", None), (None, None)])
def test_the_kind_of_a_prompt(prompt: str | None, kind: str | None) -> None:
    assert kind_of(prompt) == kind
    assert is_hit(Options(prompt=prompt)) == (kind == "impulsive")
    assert is_hit(Options(prompt=prompt, kind="impulsive"))


def _read(curve: torch.Tensor, *hits: tuple[float, float]) -> Timing:
    """A timing as a reader gives it: a curve, and possible hits with their probabilities, those from .6 listed."""
    likely = torch.tensor(hits, dtype=torch.float64).reshape(-1, 2)
    return Timing(Envelope(curve), likely[likely[:, 1] >= 0.6, 0], likely)


def test_hits_sound_where_they_are_and_not_between() -> None:
    sure = [(0.1 * k, 0.9) for k in range(1, 7)]
    timing = _read(torch.full((200,), 0.2), *sure, (1.0, 0.3), (1.5, 0.05))
    shaped = in_kind(timing, Options(prompt="hammer on an anvil"), 2.0)
    assert shaped.onsets_s.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1.0])  # the last is likely enough
    ring_s = SHAPES["metal_strike"].ring_s
    assert shape_of("hammer on an anvil").ring_s == ring_s
    values = shaped.envelope.values
    assert float(values[:7].max()) == 0.0
    assert float(values[150:170].max()) < 0.01
    first, second = float(values[60:70].max()), float(values[100:110].max())
    assert first > second > 0.3 * first
    assert float(values[60 + round(100 * ring_s) + 4]) == pytest.approx(first / 2.718, rel=0.35)
    barking = in_kind(timing, Options(prompt="a dog barking"), 2.0)
    assert torch.equal(barking.envelope.values, timing.envelope.values)
    assert torch.equal(barking.onsets_s, Timing.of_envelope(timing.envelope.values).onsets_s)  # where the curve rises
    assert in_kind(timing, Options(prompt="zzz"), 2.0) is timing
    asked = in_kind(timing, Options(prompt="zzz", kind="impulsive"), 2.0)
    assert asked.onsets_s.tolist() == shaped.onsets_s.tolist()


def test_where_the_reader_is_not_sure_of_its_hits_the_curve_is_followed() -> None:
    curve = torch.full((200,), 0.1)
    curve[100:120] = 0.4
    timing = _read(curve, (0.5, 0.9), (1.0, 0.3), (1.5, 0.2))
    followed = in_kind(timing, Options(prompt="hammer"), 2.0)
    assert torch.equal(followed.envelope.values, curve)
    assert torch.equal(followed.onsets_s, Timing.of_envelope(curve).onsets_s)  # what is listed is what sounds
    alone = in_kind(timing, Options(prompt="hammer", kind="impulsive"), 2.0)
    assert alone.onsets_s.tolist() == [0.5, 1.0, 1.5]
    nothing = _read(curve)
    assert torch.equal(in_kind(nothing, Options(prompt="hammer", kind="impulsive"), 2.0).envelope.values, curve)


def test_a_steady_sound_keeps_near_its_peak_and_has_no_hits() -> None:
    curve = torch.zeros(200)
    curve[:60] = 0.4
    timing = in_kind(Timing.of_envelope(curve), Options(prompt="rain"), 2.0)
    assert float(timing.envelope.values.min()) == pytest.approx(0.4 * 10 ** (-STEADY_DB / 20))
    assert float(timing.envelope.values.max()) == pytest.approx(0.4)
    assert float(timing.envelope.values.diff().abs().max()) < 0.02  # slowly
    assert len(timing.onsets_s) == 0


def test_what_is_rubbed_goes_on_softly_and_is_silent_only_where_all_is_still() -> None:
    curve = torch.zeros(200)
    curve[50:100] = 0.4
    values = in_kind(Timing.of_envelope(curve), Options(prompt="sawing a plank"), 2.0).envelope.values
    assert float(values.min()) == pytest.approx(float(values.max()) * 10 ** (-SUSTAINED_DB / 20), rel=1e-3)
    assert float(values.diff().abs().max()) < 0.05
    still = Timing.of_envelope(torch.zeros(200))
    assert in_kind(still, Options(prompt="sawing a plank"), 2.0).silent(0.0, 2.0)
    assert not in_kind(still, Options(prompt="rain"), 2.0).silent(0.0, 2.0)


def test_each_cue_has_its_kind() -> None:
    timing = _read(torch.full((400,), 0.2), (0.5, 0.9), (2.5, 0.9))
    shaped = in_kind(timing, Options(cues=((0.0, 2.0, "hammer on an anvil"), (2.0, 4.0, "rain"))), 4.0)
    assert shaped.onsets_s.tolist() == [0.5]
    assert float(shaped.envelope.values[:40].max()) == 0.0
    assert float(shaped.envelope.values[210:].min()) > 0.1


def test_what_is_listed_is_what_is_asked_for(pipe, clip) -> None:
    result = postsync.generate(clip, "hammer on an anvil", pipeline=pipe, seed=1, timing="motion")
    read = postsync.open_clip(clip, pipe).timing("motion")
    assert torch.equal(result.onsets_s, read.onsets_s)
    peaks = [float(result.envelope[round(100 * t): round(100 * t) + 6].max()) for t in result.onsets_s.tolist()]
    assert min(peaks) > 0.05
    textured = postsync.generate(clip, "hammer on an anvil", pipeline=pipe, seed=1, timing="motion", kind="textured")
    assert len(textured.onsets_s) == 0


def test_a_kind_beside_a_given_timing_is_refused() -> None:
    with pytest.raises(ConditionError, match="kind shapes the timing"):
        Options(kind="impulsive", onsets="hits.csv")
    with pytest.raises(ConditionError, match="kind"):
        Options(kind="loud")  # type: ignore[arg-type]
    assert Options(kind="textured", timing="motion").kind == "textured"
