import pytest
import torch

from postsync.encoders.stand_ins import StandIns
from postsync.generation.options import Options
from postsync.generation.words import advice, known_families, new_words, stem_of
from postsync.scenes.captions import vocabulary_words
from postsync.scenes.families import FAMILIES


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


def test_words_are_those_of_the_families_that_the_weights_were_taught(pipe, tmp_path, monkeypatch):
    assert "meows" in new_words(["a cat meows"])
    assert "meows" not in new_words(["a cat meows"], ["cat"])
    (tmp_path / "training.json").write_text('{"families": ["cat", "rain"]}')
    monkeypatch.setattr(type(pipe), "weights", property(lambda _: {"x": tmp_path}))
    assert known_families(pipe) == (("cat", "rain"), ())
    (tmp_path / "training.json").write_text("{}")
    assert known_families(pipe) == (tuple(FAMILIES), ())


def test_sounds_known_from_recordings_alone_are_told_apart_from_unknown_words(pipe, tmp_path, monkeypatch):
    (tmp_path / "own").mkdir()
    (tmp_path / "gram").mkdir()
    StandIns({"cat": torch.ones(4)}).save(tmp_path / "gram")
    folders = {"own": tmp_path / "own", "gram": tmp_path / "gram"}
    monkeypatch.setattr(type(pipe), "weights", property(lambda _: folders))
    monkeypatch.setattr(type(pipe), "knows_film", property(lambda _: False))
    assert known_families(pipe)[1] == ("cat",)
    unknown, rough = advice([Options(prompt="a cat meows near a kazoo")], pipe)
    assert "'kazoo'" in unknown
    assert "meows" not in unknown
    assert rough.endswith("may miss: 'cat', 'meows'")
    assert advice([Options(prompt="a hammer hitting metal")], pipe) == []
