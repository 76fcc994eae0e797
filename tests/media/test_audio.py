"""Reading, resampling and writing sound."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch

from postsync.errors import MediaError
from postsync.media.audio import audio_blocks, read_audio, resample, resampled_blocks, sound_length_s, write_wav
from postsync.media.mux import mux
from postsync.media.video import probe


def tone(frequency: float, rate: int, duration_s: float = 0.5) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(duration_s * rate)) / rate).astype(np.float32)


@pytest.mark.parametrize(("subtype", "error"), [("PCM_16", 4e-5), ("PCM_24", 2e-7), ("FLOAT", 0.0)])
def test_wav_round_trip_and_equal_bytes(tmp_path, subtype, error):
    waveform = np.stack([tone(440, 16000), tone(880, 16000)])
    path = write_wav(tmp_path / "a.wav", waveform, 16000, subtype)
    assert soundfile.info(str(path)).subtype == subtype
    assert np.abs(read_audio(path, 16000, mono=False) - waveform).max() <= error
    again = write_wav(tmp_path / "b.wav", torch.from_numpy(waveform), 16000, subtype)
    blocks = write_wav(tmp_path / "c.wav", (part for part in np.split(waveform, 4, axis=1)), 16000, subtype)
    assert path.read_bytes() == again.read_bytes() == blocks.read_bytes()
    assert b"PEAK" not in path.read_bytes() or path.read_bytes()[path.read_bytes().find(b"PEAK") + 12 :][:4] == bytes(4)


def test_length_of_a_sound_and_of_none(tmp_path):
    assert sound_length_s(write_wav(tmp_path / "a.wav", tone(440, 22050, 1.5)[None], 22050)) == pytest.approx(1.5)
    empty = write_wav(tmp_path / "b.wav", np.zeros((1, 0), np.float32), 22050)
    for read in (sound_length_s, lambda path: read_audio(path, 16000)):
        with pytest.raises(MediaError, match="its sound track is empty"):
            read(empty)


def test_wav_is_clipped_not_wrapped(tmp_path):
    path = write_wav(tmp_path / "a.wav", np.array([[1.5, -1.5, 0.25]], np.float32), 8000)
    assert read_audio(path, 8000)[0] == pytest.approx([1.0, -1.0, 0.25], abs=1e-6)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError])
def test_interrupted_wav_leaves_nothing(tmp_path, stop):
    def blocks():
        yield np.zeros((1, 100), np.float32)
        raise stop

    with pytest.raises(stop):
        write_wav(tmp_path / "a.wav", blocks(), 8000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("rate", "new_rate"), [(44100, 16000), (16000, 48000), (22050, 16000)])
def test_resampling_keeps_time_and_level(rate, new_rate):
    waveform = np.stack([tone(440, rate), tone(1000, rate)])
    whole = resample(waveform, rate, new_rate)
    truth = np.stack([tone(440, new_rate), tone(1000, new_rate)])
    assert whole.shape == truth.shape
    inner = slice(new_rate // 50, -new_rate // 50)
    assert np.abs(whole - truth)[:, inner].max() < 2e-3
    parts = list(resampled_blocks(iter(np.array_split(waveform, 7, axis=1)), rate, new_rate))
    streamed = np.concatenate(parts, axis=1)
    assert abs(streamed.shape[1] - whole.shape[1]) <= 1
    shared = min(streamed.shape[1], whole.shape[1])
    assert np.abs(streamed[:, :shared] - whole[:, :shared]).max() < 1e-5


def test_read_resamples_mixes_and_stops(tmp_path):
    left, right = tone(440, 44100), -tone(440, 44100)
    path = write_wav(tmp_path / "a.wav", np.stack([left, right]), 44100)
    assert read_audio(path, 16000).shape == (1, 8000)
    assert np.abs(read_audio(path, 16000)).max() < 1e-4  # opposite channels cancel in the mean
    assert read_audio(path, 16000, mono=False, max_duration_s=0.2).shape == (2, 3200)


def test_sound_inside_a_video_is_read(make_video):
    path = make_video("a.mp4", sounds=["aac", "aac"])
    rate, blocks = audio_blocks(path)
    assert rate == 48000
    assert sum(block.shape[1] for block in blocks) >= 48000
    heard = read_audio(path, 16000)[0, 1600:14400]
    spectrum = np.abs(np.fft.rfft(heard))
    assert spectrum.argmax() * 16000 / len(heard) == pytest.approx(200, abs=2)  # the first track, not the second


def test_from_picture_counts_from_the_first_frame(make_video):
    """The clip's sound starts at 0, its picture at 0.8 s: that much of the second-long sound goes."""
    path = make_video("a.mkv", ticks=range(20, 40), sounds=["aac"])
    whole, cut = read_audio(path, 48000), read_audio(path, 48000, from_picture=True)
    assert np.array_equal(cut[0], whole[0, 38400:])


def click_track(path: Path, parts: Sequence[tuple[float, int, str]], codec: str = "pcm_s16le",
                fmt: str | None = None) -> Path:
    """Parts of sound (start in seconds, rate in Hz, layout), each half a second with a click at its middle.

    One track, as a broadcast or a damaged recording has it: parts may leave holes, or differ in rate and layout.
    """
    with av.open(str(path), "w", format=fmt) as target:
        track = target.add_stream(codec, rate=parts[0][1], layout=parts[0][2])
        for start_s, rate, layout in parts:
            encoder = av.CodecContext.create(codec, "w")
            encoder.sample_rate, encoder.layout, encoder.format = rate, layout, "s16"
            wave = np.zeros((rate // 2, encoder.layout.nb_channels), np.int16)
            wave[rate // 4] = 20000
            frame = av.AudioFrame.from_ndarray(wave.reshape(1, -1), format="s16", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
            resampler = av.AudioResampler(format="s16", layout=layout, rate=rate, frame_size=encoder.frame_size or 1152)
            pieces = resampler.resample(frame) + resampler.resample(None)
            for packet in [p for piece in pieces for p in encoder.encode(piece)] + encoder.encode(None):
                packet.pts = packet.dts = packet.pts + round(start_s * rate)
                packet.time_base, packet.stream = Fraction(1, rate), track
                target.mux(packet)
    return path


def clicks_of(waveform: np.ndarray, rate: int) -> list[float]:
    """The times in seconds of the clicks, the loudest sample within half a second each."""
    loud = np.flatnonzero(np.abs(waveform).max(axis=0) > 0.1) / rate
    return [float(t) for k, t in enumerate(loud) if k == 0 or t - loud[k - 1] > 0.1]


def test_a_hole_in_the_sound_is_silence(tmp_path):
    path = click_track(tmp_path / "hole.mkv", [(0.0, 48000, "mono"), (0.5, 48000, "mono"), (1.8, 48000, "mono")])
    heard = read_audio(path, 48000)
    assert clicks_of(heard, 48000) == pytest.approx([0.25, 0.75, 2.05], abs=0.001)
    assert heard.shape == (1, round(2.3 * 48000))


def test_sound_that_stops_for_hours_is_refused(tmp_path):
    path = click_track(tmp_path / "hole.mkv", [(0.0, 8000, "mono"), (16000.0, 8000, "mono")])
    with pytest.raises(MediaError, match="or stops for so long"):
        read_audio(path, 8000)


@pytest.mark.parametrize("parts", [
    [(0.0, 48000, "stereo"), (0.5, 48000, "mono")], [(0.0, 48000, "mono"), (0.5, 48000, "stereo")],
    [(0.0, 48000, "stereo"), (0.5, 32000, "stereo")], [(0.0, 44100, "stereo"), (0.5, 48000, "mono")]])
def test_sound_may_change_its_layout_and_rate(tmp_path, parts):
    path = click_track(tmp_path / "changes.ts", parts, codec="mp2", fmt="mpegts")
    rate, blocks = audio_blocks(path)
    assert rate == parts[0][1]
    assert len({len(block) for block in blocks}) == 1
    assert np.diff(clicks_of(read_audio(path, 48000, mono=False), 48000)) == pytest.approx([0.5], abs=0.03)


def test_empty_tracks_are_passed_over(make_video, tmp_path):
    """Alone it counts as no sound; beside another one it is not the first."""
    source = make_video("a.mp4", sounds=["aac"])
    for name, tracks in (("empty.mkv", 1), ("second.mkv", 2)):
        with av.open(str(source)) as read, av.open(str(tmp_path / name), "w") as write:
            picture = write.add_stream_from_template(read.streams.video[0], opaque=True)
            sounds = [write.add_stream_from_template(read.streams.audio[0], opaque=True) for _ in range(tracks)]
            for packet in read.demux():
                if packet.size and (packet.stream.type == "video" or tracks == 2):
                    packet.stream = picture if packet.stream.type == "video" else sounds[1]
                    write.mux(packet)
    with pytest.raises(MediaError, match="its sound track is empty"):
        read_audio(tmp_path / "empty.mkv", 16000)
    assert [probe(tmp_path / name).has_audio for name in ("empty.mkv", "second.mkv")] == [False, True]
    assert read_audio(tmp_path / "second.mkv", 16000).shape[1] == pytest.approx(16000, abs=700)
    for name, tracks in (("empty.mkv", 1), ("second.mkv", 2)):
        output = mux(tmp_path / name, np.zeros((1, 8000), np.float32), 16000, tmp_path / f"out_{name}", keep_sound=True)
        with av.open(str(output)) as container:
            assert len(container.streams.audio) == tracks


def test_bad_sound_files_are_named(make_video, tmp_path):
    text = tmp_path / "notes.wav"
    text.write_bytes(b"no sound at all " * 100)
    short = tmp_path / "empty.wav"
    soundfile.write(short, np.zeros(0), 8000)
    for path, words in {
        tmp_path / "missing.wav": "no such file",
        tmp_path: "is a folder",
        text: "not a readable media file",
        make_video(): "has no sound",
        short: "empty",
    }.items():
        with pytest.raises(MediaError, match=words) as caught:
            read_audio(path, 16000)
        assert str(path) in str(caught.value)
