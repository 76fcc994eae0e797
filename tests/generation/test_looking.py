"""What is seen becomes the prompt where nobody gave one; what is not certain is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import postsync
from postsync.errors import ConditionError
from postsync.generation import looking
from postsync.generation.conditions import PictureCache
from postsync.generation.looking import GUESS, SURE, Seen, confidences, cues_of, doubts, look_at, looks, soundings
from postsync.generation.options import Options
from postsync.generation.repetition import repeat
from postsync.generation.sidecar import Sidecar
from postsync.media.picture import NoPicture, open_picture
from postsync.scenes.captions import family_of
from postsync.scenes.families import KNOWN
from seen_pictures import clock, film, keyboard, wall


def test_the_table_holds_each_label_once_and_families_that_exist() -> None:
    table = soundings()
    labels = [label for thing in table.values() for label in thing.labels]
    assert len(labels) == len(set(labels))
    assert all(0 <= label < 1000 for label in labels)
    assert {thing.family for thing in table.values()} <= {*KNOWN, None}
    assert table["cat"].labels == (281, 282, 283, 284, 285)
    for background in (578, 601, 834, 905, 979, 819):  # gown, hoopskirt, suit, window shade, valley, stage
        assert background not in labels


@pytest.mark.parametrize("name", ["dog", "cat", "drums", "gun", "clock", "keyboard", "train", "waves", "fire", "car"])
def test_a_prompt_names_its_family(name: str) -> None:
    thing = soundings()[name]
    assert thing.family is not None
    found = family_of(thing.prompt)
    assert found is not None
    assert found == thing.family or "drum" in found


def test_a_hundred_breeds_are_no_dog_where_none_is_seen() -> None:
    assert max(confidences(torch.full((1000,), 1e-3)).values()) < 1e-6
    seen = torch.full((1000,), 0.3 / 999)
    seen[587] = 0.7  # a hammer
    found = confidences(seen)
    assert next(iter(found)) == "hammer"
    assert found["hammer"] == pytest.approx(0.7, abs=0.01)
    assert found["dog"] < 0.01
    mixed = torch.full((1000,), 0.2 / 882)
    mixed[151:269] = 0.8 / 118  # sure that it is a dog, not of which breed
    assert confidences(mixed)["dog"] > 0.75


def test_shots_are_looked_at_one_by_one(tmp_path: Path) -> None:
    seen = postsync.look(film(tmp_path / "film.mp4", clock(), keyboard(), wall()))
    assert [edge for one in seen for edge in (one.start_s, one.end_s)] == pytest.approx([0, 1, 1, 2, 2, 3])
    assert [one.sound for one in seen] == ["clock", "keyboard", None]
    assert seen[0].confidence > SURE
    assert seen[2].confidence < GUESS
    assert cues_of(seen) == ((0.0, 1.0, soundings()["clock"].prompt), (1.0, 2.0, soundings()["keyboard"].prompt))
    assert [Seen.from_json(json.loads(json.dumps(one.to_json()))) for one in seen] == seen
    part = look_at(open_picture(tmp_path / "film.mp4"), Options(start_s=1.25, duration_s=0.5))
    assert [(one.start_s, one.end_s, one.sound) for one in part] == [(1.25, 1.75, "keyboard")]


def test_the_film_is_decoded_once_for_eyes_and_timing(tmp_path: Path) -> None:
    picture, known = open_picture(film(tmp_path / "film.mp4", clock())), PictureCache()
    reads = []
    shown = picture.shown
    object.__setattr__(picture, "shown", lambda found: (reads.append(1), shown(found))[1])
    looking.with_seen(picture, Options(), known, "motion")
    assert len(reads) == 1
    assert ("motion", None) in known.timings
    assert known.cuts == ()


def test_what_is_seen_is_the_prompt_and_is_written_down(of_scenes, tmp_path: Path) -> None:
    clip = film(tmp_path / "clock.mp4", clock())
    result = postsync.generate(clip, pipeline=of_scenes, seed=1)
    assert result.prompt == soundings()["clock"].prompt
    assert [one.sound for one in result.seen] == ["clock"]
    assert not any("not sure" in note or "picture alone" in note for note in result.notes)
    sidecar = Sidecar.read(result.save(tmp_path / "out.mp4"))
    assert sidecar.seen == result.seen
    again = repeat(sidecar, clip, of_scenes)
    assert np.array_equal(again.waveform, result.waveform)
    assert again.seen == result.seen
    said = postsync.generate(clip, result.prompt, pipeline=of_scenes, seed=1)
    assert np.array_equal(said.waveform, result.waveform)
    assert said.seen == ()


def test_shots_that_differ_become_cues(of_scenes, tmp_path: Path) -> None:
    result = postsync.generate(film(tmp_path / "film.mp4", clock(), keyboard()), pipeline=of_scenes, seed=1)
    assert result.prompt is None
    assert [cue.text for cue in result.options.cues] == [soundings()[name].prompt for name in ("clock", "keyboard")]


def test_nothing_is_invented(of_scenes, tmp_path: Path) -> None:
    clip = film(tmp_path / "wall.mp4", wall())
    result = postsync.generate(clip, pipeline=of_scenes, seed=1)
    assert result.prompt is None
    assert any("nothing that sounds was recognised" in note and "--prompt" in note for note in result.notes)
    blind = postsync.generate(clip, pipeline=of_scenes, seed=1, look=False)
    assert blind.seen == ()
    assert np.array_equal(blind.waveform, result.waveform)


def test_words_a_recording_or_the_option_switch_the_eyes_off(pipe, mgaudio, monkeypatch) -> None:
    assert not looks(Options(), pipe)  # its own towers know film
    monkeypatch.setattr(type(pipe), "knows_film", property(lambda _: False))
    assert looks(Options(), pipe)
    for given in ({"prompt": "a bell"}, {"cues": [(0.0, 1.0, "a bell")]}, {"reference": "a.wav"}, {"look": False},
                  {"captioner": "folder"}):
        assert not looks(Options(**given), pipe)
    assert not looks(Options(system="mgaudio"), mgaudio)  # takes no words
    assert not Options.from_json({}).look  # of a sidecar from before there were eyes


def test_doubts_name_what_is_suspected_and_where() -> None:
    sure = Seen(0.0, 1.0, (("dog", 0.8), ("cat", 0.1)))
    unsure = Seen(1.0, 2.5, (("drums", 0.15), ("gong", 0.12), ("cat", 0.01)))
    nothing = Seen(2.5, 3.0, (("cat", 0.02),))
    assert doubts([sure]) == []
    guess, missing = doubts([sure, unsure, nothing])
    assert "1.00 to 2.50 s: drums 0.15, gong 0.12, so '" in guess
    assert "cat" not in guess
    assert "at 2.50 s; say what sounds (--prompt)" in missing
    assert doubts([nothing])[0].startswith("nothing that sounds was recognised in the picture;")
    with pytest.raises(ConditionError, match="no picture"):
        look_at(NoPicture(1.0))
