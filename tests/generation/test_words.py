import pytest

from postsync.generation.words import new_words, stem_of
from postsync.scenes.captions import vocabulary_words


def test_words_of_captions_and_small_words_are_known():
    assert new_words(["A hammer hitting metal with rain in 3 rooms"]).keys() <= {"rooms"}
    assert "hammer" in vocabulary_words()
    assert new_words(["the hammer, and RAIN!"]) == {}


@pytest.mark.parametrize(("word", "near"), [("hammers", "hammer"), ("hamer", "hammer"), ("hammered", "hammer"),
                                            ("barkin", "barking"), ("metalic", "metallic")])
def test_a_new_word_comes_with_its_nearest(word, near):
    assert near in new_words([f"a {word}"])[word]


def test_a_word_of_the_tokenizer_that_no_caption_taught_is_new():
    assert "accordion" in new_words(["accordion"])
    assert "xqzt" in new_words(["xqzt"])
    assert new_words(["xqzt"])["xqzt"] == ()


def test_stems():
    assert len({stem_of(w) for w in ("hammer", "hammers", "hammering", "hammered")}) == 1
    assert stem_of("hitting") == stem_of("hit")
    assert stem_of("ring") == "ring"
