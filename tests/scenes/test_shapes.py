"""Shapes of single sounds, and which family a prompt names."""

from __future__ import annotations

import pytest

from postsync.scenes.captions import family_of, paraphrases
from postsync.scenes.families import KNOWN
from postsync.scenes.shapes import SHAPES


def test_every_family_of_separate_sounds_has_a_shape() -> None:
    assert SHAPES.keys() == {name for name, family in KNOWN.items() if family.kind in ("strike", "event")}
    assert all(0 <= shape.rise_s <= 0.5 and 0.01 < shape.ring_s < 1 for shape in SHAPES.values())


def test_bells_ring_longer_than_knocks_and_dogs_do_not_strike() -> None:
    assert SHAPES["bell"].ring_s > 5 * SHAPES["door_knock"].ring_s
    assert all(SHAPES[name].impulsive for name in ("metal_strike", "gun_shot", "clap", "drum_strike", "glass_break"))
    assert not any(SHAPES[name].impulsive for name in ("bark", "rooster", "thunder", "scream"))


@pytest.mark.parametrize(("prompt", "family"), [
    ("hammering a nail into wood", "wood_strike"), ("a rifle shot", "gun_shot"), ("church bell", "bell"),
    ("two dogs barking", "bark"), ("heavy rain", "rain"), ("a harp", None), ("", None)])
def test_a_prompt_names_the_family_with_which_it_shares_most(prompt: str, family: str | None) -> None:
    assert family_of(prompt) == family


def test_held_out_captions_name_their_family() -> None:
    pairs = [(family, sentence) for family in KNOWN for sentence in paraphrases(family)[1]]
    right = sum(family_of(sentence) == family for family, sentence in pairs)
    assert right / len(pairs) > 0.95
