"""The job from end to end on a tiny pipeline with random weights: lengths, files, seeds, conditions, silence."""

from __future__ import annotations

import logging

import av
import numpy as np
import pytest
import soundfile
import torch

from postsync import generation
from postsync.errors import ConditionError, MediaError, WeightsError
from postsync.features.spectrogram import audioldm_log_mel
from postsync.generation.conditions import read_conditions
from postsync.generation.options import Options
from postsync.generation.words import announce
from postsync.media.mux import mux
from postsync.media.picture import ClipPicture
from postsync.media.video import probe
from postsync.plot import TICKS_HZ, mel_position
from postsync.timing.files import read_envelope


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


def test_the_axis_of_a_plot_counts_in_hertz():
    rate, hz = 16000, 1000.0
    tone = torch.sin(2 * torch.pi * hz * torch.arange(rate) / rate)
    loudest = int(audioldm_log_mel(tone[None])[0].mean(0).argmax())
    assert mel_position([hz])[0] == pytest.approx(loudest + 0.5, abs=0.6)
    assert np.all(np.diff(mel_position(TICKS_HZ)) > 0)


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
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "out.csv", "out.mp4", "out.mp4.flac", "out.mp4.json", "out.png", "out.wav", "out.wav.flac", "out.wav.json"]
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


def test_where_nothing_moves_nothing_sounds_and_that_is_said(pipe, still):
    result = generation.generate(still, "hammer", pipeline=pipe, seed=1)
    assert not result.waveform.any()
    assert len(result.onsets_s) == 0
    assert any("soundtrack is silent" in note and "--onsets-in" in note for note in result.notes)


@pytest.mark.parametrize("prompt", ["rain", "a car engine", "wind in the trees"])
def test_what_goes_on_steadily_sounds_over_a_still_picture(pipe, still, prompt):
    result = generation.generate(still, prompt, pipeline=pipe, seed=1)
    assert result.waveform.any()
    assert float(result.envelope.min()) == float(result.envelope.max()) > 0
    assert not any("silent" in note for note in result.notes)


def test_steady_cues_sound_in_their_own_time(pipe, still):
    result = generation.generate(still, pipeline=pipe, seed=1, cues=[(0.0, 0.2, "hammer"), (0.2, 0.4, "rain")])
    assert not result.envelope[:20].any()
    assert bool((result.envelope[20:] > 0).all())


def test_at_control_scale_zero_the_sound_is_free_of_the_timing(pipe, still, clip):
    free = generation.generate(still, "hammer", pipeline=pipe, seed=1, control_scale=0.0)
    assert free.waveform.any()
    one, other = (generation.generate(clip, "hammer", pipeline=pipe, seed=1, control_scale=0.0, envelope=curve)
                  for curve in (torch.zeros(80), torch.full((80,), 0.5)))
    assert np.array_equal(one.waveform, other.waveform)


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
    monkeypatch.setattr(type(pipe), "knows_film", property(lambda _: sees_film))
    with caplog.at_level(logging.WARNING, "postsync"):
        generation.generate(clip, "hammer", pipeline=pipe, seed=1)
        assert caplog.text == ""
        generation.generate(clip, pipeline=pipe, seed=1, look=False)
    assert ("drawn pictures" in caplog.text) is not sees_film


def test_an_option_that_nobody_has_is_refused_by_name(pipe, clip):
    with pytest.raises(ConditionError, match=r"no option tempo; the options are .*fader_db"):
        generation.generate(clip, "hammer", pipeline=pipe, tempo=120)
    with pytest.raises(ConditionError, match="no option tempo"):
        generation.generate(clip, "hammer", tempo=120)


def test_take_k_is_the_one_its_seed_gives_alone(pipe, clip):
    three = list(generation.open_clip(clip, pipe).takes("hammer", num_samples=3, seed=7))
    assert [result.seed for result in three] == [7, 8, 9]
    alone = generation.generate(clip, "hammer", pipeline=pipe, seed=9)
    assert np.array_equal(three[2].waveform, alone.waveform)
    assert not np.array_equal(three[0].waveform, three[1].waveform)


def test_a_part_sounds_alone_and_the_soundtrack_stays_as_long(pipe, clip):
    result = generation.generate(clip, "hammer", pipeline=pipe, seed=1, envelope=torch.full((80,), 0.3), start_s=0.2,
                                 duration_s=0.3)
    assert result.waveform.shape == (1, 38400)
    heard = np.flatnonzero(result.waveform[0])
    assert 9600 <= heard[0] < 9700
    assert 23900 < heard[-1] < 24000
    assert torch.equal(result.envelope[20:50], torch.full((30,), 0.3))
    assert result.envelope.sum() == pytest.approx(9.0, abs=1e-4)
    with pytest.raises(ConditionError, match=r"ends at 0\.800 s"):
        generation.generate(clip, "hammer", pipeline=pipe, start_s=0.9)


def test_an_offset_moves_timing_and_hits(pipe, clip):
    curve = torch.zeros(80)
    curve[30:40] = 0.4
    still, late = (generation.generate(clip, "hammer", pipeline=pipe, seed=1, envelope=curve, offset_ms=ms)
                   for ms in (0.0, 200.0))
    assert torch.equal(late.envelope[20:], still.envelope[:60])
    assert torch.allclose(late.onsets_s, still.onsets_s + 0.2)
    early = generation.generate(clip, "hammer", pipeline=pipe, seed=1, envelope=curve, offset_ms=-350.0)
    assert torch.equal(early.envelope[:5], curve[35:40])
    assert len(early.onsets_s) == 0


def test_an_envelope_of_another_length_is_cut_or_followed_by_silence(pipe, clip):
    for count in (50, 120):
        result = generation.generate(clip, "hammer", pipeline=pipe, seed=1, envelope=torch.full((count,), 0.3))
        assert result.envelope.tolist() == pytest.approx([0.3] * min(count, 80) + [0.0] * max(0, 80 - count))
    for bad in (torch.full((80,), float("nan")), torch.full((1, 80), 0.3), torch.full((80,), 1.5)):
        with pytest.raises(ConditionError, match="linear RMS"):
            generation.generate(clip, "hammer", pipeline=pipe, seed=1, envelope=bad)


def test_cues_say_what_is_heard_when(pipe, clip):
    asked = {"pipeline": pipe, "seed": 1, "envelope": torch.full((80,), 0.3)}
    plain = generation.generate(clip, "hammer", **asked).waveform
    cued = generation.generate(clip, "hammer", cues=((0.5, 0.8, "rain"),), **asked).waveform
    rain = generation.generate(clip, "rain", **asked).waveform
    assert not np.array_equal(plain, cued)
    assert not np.array_equal(rain, cued)
    whole = generation.generate(clip, "bell", cues=((0.0, 0.8, "rain"),), **asked).waveform
    assert np.allclose(rain, whole, atol=1e-4)


def test_a_predictor_that_is_not_installed_is_named_only_when_asked_for(pipe, clip, monkeypatch):
    monkeypatch.setattr("postsync.weights.available", lambda: ["gram"])
    assert generation.generate(clip, "hammer", pipeline=pipe, seed=1).options.timing == "motion"
    with pytest.raises(WeightsError, match="--timing motion"):
        generation.generate(clip, "hammer", pipeline=pipe, timing="predicted")


def test_new_words_are_named_once_for_all_clips(pipe, caplog, monkeypatch):
    monkeypatch.setattr(type(pipe), "knows_film", property(lambda _: False))
    with caplog.at_level(logging.WARNING, "postsync"):
        announce([generation.Options(prompt="theremin"), generation.Options(cues=((0.0, 1.0, "a theremin"),))], pipe)
    assert len(caplog.records) == 1
    assert caplog.text.count("theremin") == 1


def test_the_predictor_is_followed_to_the_letter_and_motion_is_not(pipe, still):
    session = generation.open_clip(still, pipe)
    assert not session.timing("predicted").estimated
    assert session.timing("motion").estimated


@pytest.fixture(scope="module")
def counting(tmp_path_factory):
    """A clip of 12.4 s at 25 fps whose brightness is its time."""
    path = tmp_path_factory.mktemp("clip") / "counting.mp4"
    with av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.width = stream.height = 32
        for k in range(310):
            target.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((32, 32, 3), k // 2 + 50, np.uint8),
                                                                format="rgb24")))
        target.mux(stream.encode())
    return path


@pytest.mark.parametrize("part", [{}, {"start_s": 3.1}, {"start_s": 0.4, "duration_s": 8.16}])
def test_a_system_with_a_frame_rate_sees_the_part_at_its_own_times(mgaudio, counting, part):
    conditions = read_conditions(ClipPicture(counting), Options(system="mgaudio", **part), mgaudio)
    shown_s = 0.08 * (conditions.frames.float().mean((1, 2, 3)) - 50)
    asked_s = part.get("start_s", 0.0) + torch.arange(len(shown_s)) / 4
    assert len(shown_s) == int(4 * part.get("duration_s", 12.4 - part.get("start_s", 0.0)) + 1e-6)
    assert (asked_s - shown_s).min() > -0.01
    assert (asked_s - shown_s).max() < 0.17  # a picture is held, and two or three have one brightness


def test_a_system_without_envelope_follows_the_picture_alone(mgaudio, clip, still, caplog):
    result = generation.generate(clip, pipeline=mgaudio, system="mgaudio", seed=1)
    assert result.waveform.shape == (1, round(probe(clip).duration_s * 48000))
    assert np.abs(result.waveform).max() > 0
    assert "only the drawn pictures of its scenes" in caplog.text
    assert "prompt" not in caplog.text
    other = generation.generate(still, pipeline=mgaudio, seed=1)  # nothing moves, yet it may sound
    assert np.abs(other.waveform).max() > 0
    for refused in ({"prompt": "hammer"}, {"envelope": torch.ones(80)}, {"control_scale": 1.0}):
        with pytest.raises(ConditionError, match="mgaudio does not take"):
            generation.generate(clip, pipeline=mgaudio, seed=1, **refused)
