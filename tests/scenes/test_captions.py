"""Captions: enough of them, each for one family only, the held-out ones apart."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

from postsync.errors import ConditionError
from postsync.scenes.captions import caption, paraphrases, vocabulary_words, words_of
from postsync.scenes.families import KNOWN


def test_every_family_has_thirty_paraphrases_a_fifth_held_out() -> None:
    for family in KNOWN:
        train, held_out = paraphrases(family)
        assert (len(train), len(held_out)) == (24, 6), family
        assert not set(train) & set(held_out), family


def test_no_sentence_belongs_to_two_families() -> None:
    sentences = [s for family in KNOWN for s in chain(*paraphrases(family))]
    assert len(sentences) == len(set(sentences))


def test_more_than_five_hundred_words() -> None:
    assert len(vocabulary_words()) > 500


def test_words_of_held_out_captions_are_known_from_training() -> None:
    known = {w for f in KNOWN for s in paraphrases(f)[0] for w in words_of(s)}
    unknown = {w for f in KNOWN for s in paraphrases(f)[1] for w in words_of(s)} - known
    assert not unknown


@pytest.mark.parametrize(("family", "words"), [
    ("metal_strike", {"hammer", "anvil", "steel", "clanging"}), ("wood_strike", {"knife", "chopping"}),
    ("footsteps", {"heels", "footsteps", "walking"}), ("step_gravel", {"gravel", "footsteps"}),
    ("bark", {"dog", "barking"}),
    ("bang", {"cannon", "bang"}), ("thunder", {"thunder", "lightning"}),
    ("gun_shot", {"gun", "rifle", "shot"}), ("fireworks", {"fireworks"}), ("cat", {"cat", "meow"}),
    ("drum_strike", {"drums", "snare"}),
    ("cymbal", {"cymbal", "gong"}), ("door_knock", {"knocking", "door"}), ("rain", {"pattering", "roof"}),
])
def test_words_that_people_type_are_there(family: str, words: set[str]) -> None:
    assert words <= {w for s in chain(*paraphrases(family)) for w in words_of(s)}


def test_caption_is_drawn_from_the_side_asked_for_and_repeats_with_the_seed() -> None:
    train, held_out = paraphrases("bell")
    drawn = {caption("bell", np.random.default_rng(i)) for i in range(300)}
    assert drawn <= set(train)
    assert len(drawn) > 20
    assert caption("bell", np.random.default_rng(1), held_out=True) in held_out
    assert caption("bell", np.random.default_rng(5)) == caption("bell", np.random.default_rng(5))


def test_unknown_family_is_named_in_the_error() -> None:
    with pytest.raises(ConditionError, match="kazoo"):
        paraphrases("kazoo")


def test_split_is_the_recorded_one() -> None:
    assert paraphrases("bark")[1][0] == "excited dog barking"
