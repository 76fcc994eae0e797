"""A clip as metrics get it: decoded once and ahead of time, its faults reported, not raised; resampled once."""

from __future__ import annotations

import math
import threading
from fractions import Fraction

import av
import av.filter
import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from postsync.evaluation import observation
from postsync.evaluation.networks import Networks
from postsync.evaluation.observation import Observation, decode, prefetch
from postsync.evaluation.sides import Absent, ClipFiles, Skipped, read_side
from postsync.features.resampling import kaiser_resample, sinc_resample
from postsync.media.video import iter_frames
from postsync.scenes.export import render_mp4
from postsync.scenes.render import clean_scenes, render_scene
from synthetic_clips import RATE, clicks, observed, pair_of


def test_sound_keeps_its_rate_and_channels_and_is_cut_to_the_duration(tmp_path):
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (22050, 2))
    soundfile.write(tmp_path / "a.wav", samples, 22050, subtype="FLOAT")
    decoded = decode(ClipFiles("a", tmp_path / "a.wav", None), 0.5, 0.5)
    assert decoded.sample_rate == 22050
    assert decoded.waveform.shape == (2, 11025)
    assert np.allclose(decoded.waveform.numpy().T, samples[:11025], atol=1e-6)
    assert decoded.frames is None
    assert not decoded.problems


@pytest.mark.parametrize(("count", "problem"), [(1, "1 samples"), (479, "too short"), (480, None)])
def test_a_sound_shorter_than_a_frame_is_a_problem_of_its_clip(tmp_path, count, problem):
    soundfile.write(tmp_path / "a.wav", np.full(count, 0.1), 48000)
    decoded = decode(ClipFiles("a", tmp_path / "a.wav", None), 1.0, picture_s=0.0)
    if problem is None:
        assert decoded.waveform.shape == (1, count)
    else:
        assert decoded.waveform is None
        assert problem in decoded.problems[0]


def test_start_and_end_of_a_manifest_row_are_kept(tmp_path):
    ramp = np.linspace(0, 0.9, 16000)
    soundfile.write(tmp_path / "a.wav", ramp, 16000, subtype="FLOAT")
    decoded = decode(ClipFiles("a", tmp_path / "a.wav", None, 0.25, 0.75), 10.0, 0.0)
    assert decoded.duration_s == 0.5
    assert decoded.waveform[0, 0].item() == pytest.approx(ramp[4000], abs=1e-6)


def test_pictures_keep_their_times_and_large_ones_are_made_smaller(real, tmp_path, monkeypatch):
    files = next(iter(read_side(real, "reference").clips.values()))
    decoded = decode(files, 1.0, 1.0)
    assert decoded.frames.shape == (10, 3, 16, 16)
    assert decoded.times.tolist() == pytest.approx([k / 10 for k in range(10)])
    assert decoded.picture_s == pytest.approx(1.0)
    monkeypatch.setattr(observation, "SHORT_SIDE", 12)
    monkeypatch.setattr(observation, "LARGE", 2 * 3 * 24 * 24)  # reached with the third picture
    clip = render_scene(1, clean_scenes(duration_s=0.5, size=24, fps=10.0))
    render_mp4(clip, tmp_path / "b.mp4")
    files = ClipFiles("b", tmp_path / "b.mp4", tmp_path / "b.mp4")
    smaller = decode(files, 1.0, 1.0)
    own = np.stack([frame.image for frame in iter_frames(tmp_path / "b.mp4")])
    pillow = [np.asarray(Image.fromarray(one).resize((12, 12), Image.Resampling.BILINEAR)) for one in own]
    assert np.array_equal(smaller.frames.permute(0, 2, 3, 1).numpy(), np.stack(pillow))
    assert np.array_equal(decode(files, 0.2, 0.2).frames.permute(0, 2, 3, 1).numpy(), own[:2])


def test_a_sound_that_cannot_be_had_leaves_the_picture(tmp_path):
    clip = render_scene(1, clean_scenes(duration_s=0.5, size=16, fps=10.0))
    render_mp4(clip, tmp_path / "mute.mp4", with_audio=False)
    decoded = decode(ClipFiles("mute", tmp_path / "mute.mp4", tmp_path / "mute.mp4"), 1.0, 1.0)
    assert decoded.waveform is None
    assert len(decoded.frames) == 5
    assert "has no sound" in decoded.problems[0]
    assert str(tmp_path) not in decoded.problems[0]


@pytest.mark.parametrize(("samples", "problem"), [
    ([0.1, np.nan, np.inf, 0.2], "2 of 4 samples are NaN or infinite"), ([], "its sound track is empty")])
def test_samples_that_are_no_sound_are_told(tmp_path, samples, problem):
    soundfile.write(tmp_path / "a.wav", np.array(samples, np.float32), 16000, subtype="FLOAT")
    decoded = decode(ClipFiles("a", tmp_path / "a.wav", None), 1.0, 0.0)
    assert decoded.problems == (problem,)
    assert decoded.waveform is None


def test_silence_is_told_from_faint_sound(tmp_path):
    for level, silent in ((0.0, True), (5e-5, True), (5e-4, False)):
        soundfile.write(tmp_path / "a.wav", np.full(1600, level), 16000, subtype="FLOAT")
        assert decode(ClipFiles("a", tmp_path / "a.wav", None), 1.0, 0.0).silent is silent


def test_items_are_loaded_in_order_in_another_thread_and_no_further_ahead_than_asked():
    loaded: list[int] = []
    threads: set[int] = set()

    def load(item: int) -> int:
        loaded.append(item)
        threads.add(threading.get_ident())
        return 10 * item

    results = prefetch(load, range(20), count=2)
    assert [next(results), next(results)] == [0, 10]
    assert max(loaded) <= 4
    assert [*results] == [10 * k for k in range(2, 20)]
    assert threads.isdisjoint({threading.get_ident()})


def test_what_loading_raises_is_raised_at_its_item():
    def load(item: int) -> float:
        return 1 / item

    results = prefetch(load, [1, 0, 2])
    assert next(results) == 1.0
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_sound_is_the_mean_of_the_channels_at_the_rate_asked_for_and_resampled_once():
    tone = torch.sin(2 * math.pi * 440 * torch.arange(44100) / 44100)
    clip = observed(torch.stack([tone, -0.5 * tone]), rate=44100)
    sound = clip.sound(16000)
    assert sound.shape == (16000,)
    expected = 0.25 * torch.sin(2 * math.pi * 440 * torch.arange(16000) / 16000)
    assert torch.allclose(sound[500:-500], expected[500:-500], atol=1e-3)
    assert clip.sound(16000) is sound


def test_published_networks_hear_what_torchaudio_would_have_given_them():
    noise = torch.randn(1, 4410, generator=torch.Generator().manual_seed(0))
    clip = observed(noise, rate=44100)
    assert torch.equal(clip.sound(16000, "sinc"), sinc_resample(noise[0], 44100, 16000))
    assert torch.equal(clip.sound(16000, "kaiser"), kaiser_resample(noise[0], 44100, 16000))
    assert not torch.allclose(clip.sound(16000, "sinc"), clip.sound(16000), atol=1e-3)
    with pytest.raises(Skipped, match="44101 Hz"):
        observed(noise, rate=44101).sound(16000, "sinc")


def test_the_duration_cuts_sound_and_pictures():
    frames = torch.arange(20, dtype=torch.uint8)[:, None, None, None].expand(20, 3, 4, 4)
    clip = observed(clicks(0.1), frames, fps=10.0, duration_s=0.5)
    assert clip.sound(RATE).shape == (8000,)
    assert clip.pictures()[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert clip.fps() == 10.0


def test_pictures_at_another_rate_are_rounded_to_the_nearest():
    frames = torch.arange(10, dtype=torch.uint8)[:, None, None, None].expand(10, 3, 4, 4)
    clip = observed(clicks(0.1, duration_s=1.0), frames, fps=10.0)
    assert clip.pictures(4.0)[:, 0, 0, 0].tolist() == [1, 3, 6, 8]
    assert clip.pictures(25.0)[:7, 0, 0, 0].tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert clip.pictures(0.5)[:, 0, 0, 0].tolist() == [9]


def numbered_clip(path, times_s, time_base=Fraction(1, 90000)) -> None:
    """A clip of pictures that show their own number, in eight blocks black or white."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt, stream.time_base = 128, 16, "yuv420p", time_base
        stream.codec_context.time_base = time_base
        stream.codec_context.max_b_frames = 0
        for number, time in enumerate(times_s):
            blocks = np.repeat([number >> bit & 1 for bit in range(8)], 16).astype(np.uint8) * 255
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.tile(blocks, (16, 1))), "gray")
            frame.pts, frame.time_base = round(Fraction(time) / time_base), time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def number_of(luma: np.ndarray) -> int:
    return sum(int(luma[8, 16 * bit + 8] > 127) << bit for bit in range(8))


def ffmpeg_takes(path, fps: str) -> list[int]:
    """Numbers of the pictures that FFmpeg's own filter gives."""
    taken = []
    with av.open(path) as container:
        stream = container.streams.video[0]
        graph = av.filter.Graph()
        graph.link_nodes(graph.add_buffer(template=stream), graph.add("fps", fps), graph.add("buffersink")).configure()
        for frame in (*container.decode(stream), None):
            graph.push(frame)
            while True:
                try:
                    taken.append(number_of(graph.pull().to_ndarray(format="gray")))
                except (av.BlockingIOError, av.EOFError):
                    break
    return taken


RATES = {"25": Fraction(25), "30": Fraction(30), "ntsc": Fraction(30000, 1001), "24": Fraction(24), "10": Fraction(10),
         "8": Fraction(8), "60": Fraction(60)}


@pytest.mark.parametrize("fps", ["4", "25", "0.5", "8"])
@pytest.mark.parametrize("rate", RATES)
def test_pictures_for_networks_are_those_of_ffmpeg(tmp_path, rate, fps):
    count = int(4.2 * RATES[rate])
    numbered_clip(tmp_path / "a.mp4", [k / RATES[rate] for k in range(count)])
    expected = ffmpeg_takes(tmp_path / "a.mp4", fps)
    found = numbers(tmp_path / "a.mp4", float(fps))
    assert found == expected
    assert len(set(expected)) > 1


def test_pictures_of_a_variable_rate_are_those_of_ffmpeg(tmp_path):
    steps = np.random.default_rng(3).integers(500, 20000, 60)
    times = [Fraction(int(ticks), 90000) for ticks in np.concatenate([[0], np.cumsum(steps)])]
    numbered_clip(tmp_path / "a.mp4", times)
    for fps in ("4", "25"):
        assert numbers(tmp_path / "a.mp4", float(fps)) == ffmpeg_takes(tmp_path / "a.mp4", fps)


def numbers(path, fps: float) -> list[int]:
    """Numbers of the pictures that a network of an evaluation is given."""
    clip = Observation(decode(ClipFiles("a", path, path), 60.0, 60.0), Networks(), 60.0)
    return [number_of(picture) for picture in clip.pictures(fps)[:, 0].numpy()]


def test_four_of_twenty_five_pictures_and_more_of_the_picture_than_of_the_sound(tmp_path):
    numbered_clip(tmp_path / "a.mp4", [Fraction(k, 25) for k in range(250)])
    assert numbers(tmp_path / "a.mp4", 4.0)[:4] == [3, 9, 15, 21]
    files = ClipFiles("a", tmp_path / "a.mp4", tmp_path / "a.mp4")
    clip = Observation(decode(files, 8.16, 10.0), Networks(), 8.16)
    assert len(clip.pictures()) == 204
    assert len(clip.pictures(4.0)) == 33
    assert len(clip.pictures(4.0, 10.0)) == 40
    assert number_of(clip.pictures(4.0, 10.0)[39, 0].numpy()) == 246


def test_what_is_not_there_says_so():
    with pytest.raises(Skipped, match="has no picture"):
        observed(clicks(0.1)).pictures()
    pair = pair_of(clicks(0.1))
    with pytest.raises(Absent):
        _ = pair.reference
    with pytest.raises(Skipped, match="no caption"):
        _ = pair.caption


def test_a_network_hears_a_clip_once():
    clip, calls = observed(clicks(0.1)), []
    for _ in range(2):
        clip.cached("key", lambda: calls.append(1) or "value")
    assert calls == [1]
