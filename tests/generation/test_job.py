"""The job from end to end on a tiny pipeline with random weights: lengths, files, seeds, conditions, silence."""

from __future__ import annotations

import logging

import av
import numpy as np
import pytest
import soundfile
import torch

from postsync import generation
from postsync.errors import ConditionError, MediaError
from postsync.media.mux import mux
from postsync.media.video import probe
from postsync.scenes.export import render_mp4
from postsync.scenes.render import clean_scenes, render_scene
from postsync.timing.envelope_file import read_envelope


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A scene of 0.8 s in which a hammer strikes metal, without sound."""
    path = tmp_path_factory.mktemp("clip") / "hammer.mp4"
    render_mp4(render_scene(3, clean_scenes(duration_s=0.8, families=("metal_strike",))), path, with_audio=False)
    return path


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    """A clip of 0.4 s in which nothing moves."""
    path = tmp_path_factory.mktemp("clip") / "still.mp4"
    with av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=25)
        stream.width = stream.height = 64
        for _ in range(10):
            target.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, np.uint8), format="rgb24")))
        target.mux(stream.encode())
    return path


def test_the_soundtrack_is_as_long_as_the_picture_to_the_sample(pipe, clip):
    result = generation.generate(clip, "hammer", pipeline=pipe, seed=1)
    assert result.waveform.shape == (1, round(probe(clip).duration_s * 48000))
    assert result.sample_rate == 48000
    assert 0 < np.abs(result.waveform).max() <= 1
    assert result.envelope.shape == (80,)


def test_files_come_out_whole_and_the_clip_is_left_alone(pipe, clip, tmp_path):
    before = clip.read_bytes()
    result = generation.generate(clip, "hammer", pipeline=pipe, seed=1)
    written = result.save(tmp_path / "out.mp4")
    wav = result.save(tmp_path / "out.wav")
    result.plot(tmp_path / "out.png")
    result.save_envelope(tmp_path / "out.csv")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.csv", "out.mp4", "out.png", "out.wav"]
    assert soundfile.info(wav).frames == result.waveform.shape[1]
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    assert torch.allclose(read_envelope(tmp_path / "out.csv", 0.8), result.envelope, atol=1e-6)
    assert probe(written).duration_s == probe(clip).duration_s
    assert clip.read_bytes() == before


def test_the_default_name_lies_beside_the_clip(pipe, clip):
    written = generation.generate(clip, "hammer", pipeline=pipe, seed=1).save()
    assert written == clip.with_name("hammer.postsync.mp4")
    assert written.is_file()
    written.unlink()


def test_a_clip_is_never_its_own_output(pipe, clip):
    result = generation.generate(clip, "hammer", pipeline=pipe, seed=1)
    with pytest.raises(MediaError, match="input itself"):
        result.save(clip)


def test_one_seed_one_sound_and_a_drawn_seed_is_named(pipe, clip):
    one, again = (generation.generate(clip, "hammer", pipeline=pipe, seed=5).waveform for _ in range(2))
    assert np.array_equal(one, again)
    drawn = generation.generate(clip, "hammer", pipeline=pipe, seed=-1)
    assert drawn.seed >= 0
    assert np.array_equal(drawn.waveform, generation.generate(clip, "hammer", pipeline=pipe, seed=drawn.seed).waveform)
    assert not np.array_equal(one, drawn.waveform)


def test_the_clips_own_sound_is_never_listened_to(pipe, clip, tmp_path):
    loud = tmp_path / "loud.mp4"
    mux(clip, np.random.default_rng(0).uniform(-1, 1, (1, 48000)).astype(np.float32), 48000, loud)
    assert probe(loud).has_audio
    heard = generation.generate(loud, "hammer", pipeline=pipe, seed=5)
    assert np.array_equal(heard.waveform, generation.generate(clip, "hammer", pipeline=pipe, seed=5).waveform)


def test_where_nothing_moves_nothing_sounds(pipe, still):
    result = generation.generate(still, "hammer", pipeline=pipe, seed=1)
    assert not result.waveform.any()
    assert len(result.onsets_s) == 0


def test_an_envelope_of_ones_own_replaces_the_motion(pipe, still, tmp_path):
    curve = torch.zeros(40)
    curve[10:20] = 0.5
    drawn = generation.generate(still, "hammer", pipeline=pipe, seed=1, envelope=curve)
    (tmp_path / "e.csv").write_text("seconds,value\n" + "".join(f"{m / 100},{v}\n" for m, v in enumerate(curve)))
    read = generation.generate(still, "hammer", pipeline=pipe, seed=1, envelope=tmp_path / "e.csv")
    assert np.array_equal(drawn.waveform, read.waveform)
    assert drawn.waveform.any()


def test_a_reference_and_words_change_the_sound_and_a_missing_one_is_named(pipe, clip, tmp_path):
    soundfile.write(tmp_path / "knock.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 16000), 16000)
    plain = generation.generate(clip, "hammer", pipeline=pipe, seed=1).waveform
    for changes in ({"reference": tmp_path / "knock.wav"}, {"negative_prompt": "rain"}, {"guidance_scale": 4.0},
                    {"num_inference_steps": 4}):
        assert not np.array_equal(generation.generate(clip, "hammer", pipeline=pipe, seed=1, **changes).waveform, plain)
    with pytest.raises(MediaError, match=r"nothing\.wav"):
        generation.generate(clip, "hammer", pipeline=pipe, reference=tmp_path / "nothing.wav")


@pytest.mark.parametrize("sees_film", [False, True])
def test_the_picture_speaks_where_words_are_missing_and_says_what_it_knows(pipe, clip, caplog, monkeypatch, sees_film):
    monkeypatch.setattr(type(pipe), "sees_film", property(lambda _: sees_film))
    with caplog.at_level(logging.WARNING, "postsync"):
        generation.generate(clip, "hammer", pipeline=pipe, seed=1)
        assert caplog.text == ""
        generation.generate(clip, pipeline=pipe, seed=1)
    assert ("drawn pictures" in caplog.text) is not sees_film


def test_what_a_system_does_not_take_is_refused_by_name(pipe):
    with pytest.raises(ConditionError, match="does not take tempo"):
        generation.check_accepted(pipe, {"tempo": 120})
