"""Files are decoded once, ahead of time, and what is wrong with them is told instead of raised."""

import threading

import numpy as np
import pytest
import soundfile

from postsync.evaluation import decoding
from postsync.evaluation.decoding import ahead, decode
from postsync.evaluation.sides import ClipFiles, read_side
from postsync.scenes.export import render_mp4
from postsync.scenes.render import clean_scenes, render_scene


def test_sound_keeps_its_rate_and_channels_and_is_cut_to_the_duration(tmp_path):
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (22050, 2))
    soundfile.write(tmp_path / "a.wav", samples, 22050, subtype="FLOAT")
    decoded = decode(ClipFiles("a", tmp_path / "a.wav", None), 0.5, picture=True)
    assert decoded.sample_rate == 22050
    assert decoded.waveform.shape == (2, 11025)
    assert np.allclose(decoded.waveform.numpy().T, samples[:11025], atol=1e-6)
    assert decoded.frames is None
    assert not decoded.problems


def test_start_and_end_of_a_manifest_row_are_kept(tmp_path):
    ramp = np.linspace(0, 0.9, 16000)
    soundfile.write(tmp_path / "a.wav", ramp, 16000, subtype="FLOAT")
    decoded = decode(ClipFiles("a", tmp_path / "a.wav", None, 0.25, 0.75), 10.0, picture=False)
    assert decoded.duration_s == 0.5
    assert decoded.waveform[0, 0].item() == pytest.approx(ramp[4000], abs=1e-6)


def test_pictures_keep_their_times_and_large_ones_are_made_smaller(real, tmp_path, monkeypatch):
    files = next(iter(read_side(real, "reference").clips.values()))
    decoded = decode(files, 1.0, picture=True)
    assert decoded.frames.shape == (10, 3, 16, 16)
    assert decoded.times.tolist() == pytest.approx([k / 10 for k in range(10)])
    assert decoded.picture_s == pytest.approx(1.0)
    monkeypatch.setattr(decoding, "SHORT_SIDE", 12)
    clip = render_scene(1, clean_scenes(duration_s=0.5, size=24, fps=10.0))
    render_mp4(clip, tmp_path / "b.mp4")
    smaller = decode(ClipFiles("b", tmp_path / "b.mp4", tmp_path / "b.mp4"), 1.0, picture=True)
    assert smaller.frames.shape[2:] == (12, 12)


def test_a_sound_that_cannot_be_had_leaves_the_picture(tmp_path):
    clip = render_scene(1, clean_scenes(duration_s=0.5, size=16, fps=10.0))
    render_mp4(clip, tmp_path / "mute.mp4", with_audio=False)
    decoded = decode(ClipFiles("mute", tmp_path / "mute.mp4", tmp_path / "mute.mp4"), 1.0, picture=True)
    assert decoded.waveform is None
    assert len(decoded.frames) == 5
    assert "has no sound" in decoded.problems[0]
    assert str(tmp_path) not in decoded.problems[0]


@pytest.mark.parametrize(("samples", "problem"), [
    ([0.1, np.nan, np.inf, 0.2], "2 of 4 samples are NaN or infinite"), ([], "its sound track is empty")])
def test_samples_that_are_no_sound_are_told(tmp_path, samples, problem):
    soundfile.write(tmp_path / "a.wav", np.array(samples, np.float32), 16000, subtype="FLOAT")
    decoded = decode(ClipFiles("a", tmp_path / "a.wav", None), 1.0, picture=False)
    assert decoded.problems == (problem,)
    assert decoded.waveform is None


def test_silence_is_told_from_faint_sound(tmp_path):
    for level, silent in ((0.0, True), (5e-5, True), (5e-4, False)):
        soundfile.write(tmp_path / "a.wav", np.full(1600, level), 16000, subtype="FLOAT")
        assert decode(ClipFiles("a", tmp_path / "a.wav", None), 1.0, picture=False).silent is silent


def test_items_are_loaded_in_order_in_another_thread_and_no_further_ahead_than_asked():
    loaded: list[int] = []
    threads: set[int] = set()

    def load(item: int) -> int:
        loaded.append(item)
        threads.add(threading.get_ident())
        return 10 * item

    results = ahead(load, range(20), count=2)
    assert [next(results), next(results)] == [0, 10]
    assert max(loaded) <= 4
    assert [*results] == [10 * k for k in range(2, 20)]
    assert threads.isdisjoint({threading.get_ident()})


def test_what_loading_raises_is_raised_at_its_item():
    def load(item: int) -> float:
        return 1 / item

    results = ahead(load, [1, 0, 2])
    assert next(results) == 1.0
    with pytest.raises(ZeroDivisionError):
        next(results)
