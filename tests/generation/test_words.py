import json

import pytest
import torch

from postsync import generation
from postsync.encoders.captioner import Captioner
from postsync.encoders.stand_ins import StandIns
from postsync.errors import ConditionError, WeightsError
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


@pytest.fixture
def shown(monkeypatch) -> list[torch.Tensor]:
    """The pictures that a captioner was shown; it calls dark ones so."""
    seen: list[torch.Tensor] = []

    def captions(self, pictures):
        seen.append(pictures)
        return ["a hammer hitting metal"] * len(pictures)

    monkeypatch.setattr(Captioner, "__init__", lambda self, folder: None)
    monkeypatch.setattr(Captioner, "captions", captions)
    return seen


def test_the_middle_of_the_part_is_captioned_where_there_are_no_words(pipe, clip, shown, tmp_path) -> None:
    session = generation.open_clip(clip, pipe)
    result = next(session.takes(captioner="blip", seed=1, start_s=0.2, duration_s=0.4))
    assert [tuple(pictures.shape) for pictures in shown] == [(1, 3, 384, 384)]
    assert shown[0].dtype == torch.uint8
    assert any("the captioner sees 'a hammer hitting metal'" in text for text in result.notes)
    same = next(session.takes("a hammer hitting metal", seed=1, start_s=0.2, duration_s=0.4))
    assert (result.waveform == same.waveform).all()
    written = result.save(tmp_path / "out.wav")
    sidecar = json.loads(next(written.parent.glob("*.json")).read_text())
    assert '"a hammer hitting metal"' in json.dumps(sidecar)
    assert '"blip"' not in json.dumps(sidecar)


def test_words_win_and_what_cannot_be_captioned_is_refused(pipe, clip, shown, tmp_path, monkeypatch) -> None:
    next(generation.open_clip(clip, pipe).takes("rain", captioner="blip", seed=1))
    assert shown == []
    with pytest.raises(ConditionError, match="no picture to caption"):
        next(generation.open_clip(None, pipe, duration_s=0.5).takes(captioner="blip"))
    monkeypatch.setattr(type(pipe), "accepts", pipe.accepts - {"prompt"})
    with pytest.raises(ConditionError, match="does not take prompt"):
        generation.open_clip(clip, pipe).takes(captioner="blip")


def test_a_folder_of_something_else_is_named(pipe, clip, tmp_path) -> None:
    with pytest.raises(WeightsError, match="holds no image-to-text model"):
        next(generation.open_clip(clip, pipe).takes(captioner=tmp_path, seed=1))
