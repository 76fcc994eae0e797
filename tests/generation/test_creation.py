"""Clips from sentences: the result's picture and sound, takes, lengths, files, repetition, spans; a given sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

import postsync
from postsync.errors import Cancelled, ConditionError, MediaError
from postsync.generation.creation import plan_clips
from postsync.generation.options import Options
from postsync.generation.outputs import Outputs
from postsync.generation.sidecar import Sidecar


@pytest.fixture(scope="module")
def pipeline(creating: Path):
    return postsync.load("sounding_video", str(creating), progress_bar=False)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    times = np.arange(2 * 48000 + 500) / 48000
    soundfile.write(tmp_path / "tones.wav", 0.2 * np.stack([np.sin(2000 * times), np.sin(3000 * times)], 1), 48000)
    return tmp_path / "tones.wav"



def test_a_sentence_becomes_a_clip_of_whole_pictures(pipeline, tmp_path: Path) -> None:
    result = postsync.create("a bell", pipeline=pipeline, duration_s=1.3, seed=3)
    assert result.duration_s == 1.25
    assert result.waveform.shape == (1, 60000)
    assert result.picture.info.num_frames == 10
    assert any("1.250 s are made" in note for note in result.notes)
    same = postsync.create("a bell", pipeline=pipeline, duration_s=1.25, seed=3)
    assert np.array_equal(same.waveform, result.waveform)
    assert not same.notes
    other = postsync.create("a bell", pipeline=pipeline, duration_s=1.25, seed=4)
    assert not np.array_equal(other.waveform, result.waveform)
    clip = postsync.open_clip(result.save(tmp_path / "bell.mp4"), pipeline)
    assert clip.info.num_frames == 10
    assert clip.info.duration_s == pytest.approx(1.25)


def test_a_saved_clip_is_repeated_to_the_byte(pipeline, tmp_path: Path) -> None:
    made = postsync.create("a bell", pipeline=pipeline, duration_s=0.5, seed=1).save(tmp_path / "bell.mp4")
    sidecar = Sidecar.read(made)
    assert sidecar.recipes[0].created
    assert not sidecar.needs_picture
    again = postsync.repeat(made, pipeline=pipeline)
    assert not again.notes
    assert again.save(tmp_path / "again.mp4").read_bytes() == made.read_bytes()


def test_a_span_gets_another_sound_for_the_picture_that_was_made(pipeline, tmp_path: Path) -> None:
    made = postsync.create("a bell", pipeline=pipeline, duration_s=2.0, seed=1)
    made.save(tmp_path / "bell.mp4")
    changed = postsync.redo(tmp_path / "bell.mp4", 0.5, 1.0, pipeline=pipeline, seed=9)
    differs = np.flatnonzero((changed.waveform != made.waveform).any(0)) / 48000
    assert 0.5 <= differs.min() < 0.52
    assert 0.98 < differs.max() < 1.0
    changed.save(tmp_path / "changed.mp4")
    repeated = postsync.repeat(tmp_path / "changed.mp4", pipeline=pipeline)
    assert np.array_equal(repeated.waveform, changed.waveform)


def test_a_given_sound_is_kept_and_gets_a_picture(pipeline, recording: Path, tmp_path: Path) -> None:
    result = postsync.create(given_sound=recording, pipeline=pipeline, seed=2)
    heard = soundfile.read(recording, dtype="float32", always_2d=True)[0].T
    assert result.duration_s == 2.0
    assert result.waveform.shape == (2, 96000)
    assert np.abs(result.waveform - heard[:, :96000]).max() < 2**-22
    assert result.picture.info.num_frames == 16
    made = result.save(tmp_path / "tones.mp4")
    assert np.array_equal(postsync.repeat(made, pipeline=pipeline).waveform, result.waveform)
    soundfile.write(recording, heard.T * 0.5, 48000)
    with pytest.raises(MediaError, match="is not the given sound"):
        postsync.repeat(made, pipeline=pipeline)


def test_what_cannot_be_made_is_named(pipeline, pipe, recording: Path, tmp_path: Path) -> None:
    for message, given in (("the sentence is empty", {}), ("the sentence is empty", {"prompt": " "}),
                           ("hold no picture", {"prompt": "a bell", "duration_s": 0.1}),
                           ("has no option hue", {"prompt": "a bell", "hue": 1})):
        with pytest.raises(ConditionError, match=message):
            postsync.create(pipeline=pipeline, **given)
    with pytest.raises(ConditionError, match=r"foleygram makes no pictures; these do: .*sounding_video"):
        postsync.create("a bell", pipeline=pipe)
    with pytest.raises(ConditionError, match="foleygram does not take a given sound"):
        next(postsync.open_clip(None, pipe, duration_s=1.0).takes("a bell", given_sound=recording))
    with pytest.raises(MediaError, match="no such file"):
        postsync.create(given_sound=tmp_path / "gone.wav", pipeline=pipeline)

    def stop(_pipe, _step, _time, _tensors):
        raise Cancelled

    with pytest.raises(Cancelled):
        postsync.create("a bell", pipeline=pipeline, duration_s=0.5, callback_on_step_end=stop)


def test_files_are_named_after_sentences_and_takes(tmp_path: Path) -> None:
    options = Options(system="sounding_video")

    def names(sentences, num_samples=1, **outputs) -> list[str]:
        planned = plan_clips(sentences, options, num_samples, Outputs(**outputs))
        return [str(target.relative_to(tmp_path)) for clip in planned for target, _ in clip.takes]

    assert names(["A stick hits a metal bowl!"], output=tmp_path) == ["a_stick_hits_a_metal_bowl.mp4"]
    assert names(["a", "b"], 2, output=tmp_path / "new") == [f"new/{n}.mp4" for n in ("a.1.1", "a.1.2", "b.2.1",
                                                                                    "b.2.2")]
    assert names(["a"], output=tmp_path / "it.webm") == ["it.webm"]
    (tmp_path / "taken.mp4").write_bytes(b"")
    for sentences, output, message in ((["a"], "it.wav", "cannot write '.wav' video"),
                                       (["a", "b"], "taken.mp4", "is a file")):
        with pytest.raises(MediaError, match=message):
            names(sentences, output=tmp_path / output)
    for sentences in ([], ["a", " "]):
        with pytest.raises(ConditionError, match="sentence is empty"):
            names(sentences, output=tmp_path)
