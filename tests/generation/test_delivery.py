import av
import numpy as np
import pytest
import torch

from postsync import generation
from postsync.errors import MediaError
from postsync.generation.delivery import (
    DELIVERY_RATE,
    at_delivery_rate,
    fingerprint,
    level,
    loudness_target,
    mixed_blocks,
    on_24_bits,
    placed,
    read_lossless,
    spliced,
    write_lossless,
)
from postsync.media.audio import read_audio
from postsync.media.meter import integrated_lufs, true_peak_dbtp
from postsync.media.mux import mux


def noise(count: int, seed: int = 0, loudness: float = 0.3) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-loudness, loudness, (1, count)).astype(np.float32)


def test_the_lossless_copy_gives_every_sample_back(tmp_path):
    waveform = on_24_bits(np.concatenate([noise(300_000, loudness=1.2), np.float32([[1, -1, 0, -1e-9]])], axis=1))
    assert waveform.max() < 1
    write_lossless(tmp_path / "a.flac", waveform, tmp_path / "a.flac")
    write_lossless(tmp_path / "b.flac", waveform, tmp_path / "b.flac")
    back = read_lossless(tmp_path / "a.flac")
    assert np.array_equal(back, waveform)
    assert fingerprint(back) == fingerprint(waveform)
    assert (tmp_path / "a.flac").read_bytes() == (tmp_path / "b.flac").read_bytes()
    assert fingerprint(back[:, 1:]) != fingerprint(back)
    (tmp_path / "a.flac").write_bytes(b"fLaC")
    with pytest.raises(MediaError, match="rebuilt"):
        read_lossless(tmp_path / "a.flac")


@pytest.mark.parametrize(("start_s", "end_s"), [(0.3, 0.6), (0.0, 0.5), (0.5, 1.0), (0.0, 1.0)])
def test_a_splice_changes_the_span_alone_and_fades_inside_it(start_s, end_s):
    old, new = on_24_bits(noise(48000)), np.ones((1, 43200), np.float32) * 0.5
    result = spliced(old, np.pad(new, ((0, 0), (0, 4800))), 0.0, start_s, end_s)
    first, last = round(start_s * DELIVERY_RATE), round(end_s * DELIVERY_RATE)
    assert np.array_equal(result[:, :first], old[:, :first])
    assert np.array_equal(result[:, last:], old[:, last:])
    assert np.allclose(result[0, first + 2400:min(last - 2400, 43200)], 0.5)
    if first > 0:
        assert abs(result[0, first] - old[0, first]) < 1e-4
    else:
        assert result[0, 0] == 0.5


def test_a_splice_takes_the_new_sound_from_its_own_place():
    old, new = np.zeros((1, 48000), np.float32), np.linspace(0, 0.9, 24000, dtype=np.float32)[None]
    result = spliced(old, new, 0.25, 0.4, 0.6)
    assert np.allclose(result[0, 21600:26400], new[0, 9600:14400], atol=1e-6)


def test_a_part_lies_at_its_place():
    whole = placed(np.ones((1, 4800), np.float32), 0.5, 48000)
    assert np.flatnonzero(whole).tolist() == list(range(24000, 28800))
    assert placed(np.ones((1, 4800), np.float32), 0.95, 48000).sum() == 2400


def test_a_kept_gain_is_used_in_place_of_a_loudness():
    sound = torch.from_numpy(noise(16000, loudness=0.02))
    waveform, again, louder = (at_delivery_rate(x, 16000, 1.0) for x in (sound, sound, 2 * sound))
    gain_db = level(waveform, loudness_target(-20.0, None))
    assert integrated_lufs(waveform, DELIVERY_RATE) == pytest.approx(-20, abs=0.2)
    assert level(again, loudness_target(-20.0, gain_db)) == pytest.approx(gain_db)
    assert np.allclose(again, waveform, atol=1e-4)
    level(louder, loudness_target(-20.0, gain_db))
    assert integrated_lufs(louder, DELIVERY_RATE) == pytest.approx(-14, abs=0.3)


def test_the_delivered_sound_has_the_length_asked_for():
    for duration_s in (0.9, 1.0, 1.1):
        waveform = at_delivery_rate(torch.ones(2, 16000), 16000, duration_s)
        assert waveform.shape == (2, round(duration_s * 48000))
        assert np.allclose(waveform[:, 1000:42000], 1, atol=1e-3)
        assert not waveform[:, 48000:].any()


def test_silence_has_no_gain():
    waveform = np.zeros((1, 48000), np.float32)
    assert level(waveform, loudness_target(-20.0, None)) is None
    assert not waveform.any()


def tone(seconds: float, hertz: float, peak: float, channels: int = 1) -> np.ndarray:
    wave = peak * np.sin(2 * np.pi * hertz * np.arange(round(seconds * 48000)) / 48000)
    return np.repeat(wave[None], channels, axis=0).astype(np.float32)


@pytest.fixture
def talking(clip, tmp_path):
    """The clip with a stereo tone of 300 Hz of its own."""
    return mux(clip, tone(0.8, 300, 0.3, channels=2), 48000, tmp_path / "talking.mp4")


def packets(path, number):
    with av.open(str(path)) as container:
        stream = container.streams.audio[number]
        return [(p.pts, p.duration, bytes(p)) for p in container.demux(stream) if p.size]


def test_mixing_adds_the_sound_at_its_gain_and_keeps_the_channels(talking):
    own = read_audio(talking, 48000, mono=False, from_picture=True)[:, :38400]
    mixed = np.concatenate(list(mixed_blocks(talking, tone(0.8, 1000, 0.4), -6.0)), axis=1)
    assert mixed.shape == (2, 38400)
    assert np.allclose(mixed, own + 10 ** (-6 / 20) * tone(0.8, 1000, 0.4), atol=2e-3)


def test_a_stereo_soundtrack_is_mixed_with_mono_and_the_other_way_round(clip, talking, tmp_path):
    mono = with_pcm(clip, tone(0.8, 300, 0.3), tmp_path / "mono.mkv")
    new = np.concatenate([tone(0.8, 1000, 0.4), tone(0.8, 500, 0.2)])
    for video in (mono, talking):
        mixed = np.concatenate(list(mixed_blocks(video, new, 0.0)), axis=1)
        own = read_audio(video, 48000, mono=False, from_picture=True)[:, :38400]
        assert mixed.shape == (2, 38400)
        assert np.allclose(mixed, own + new, atol=2e-3)


def with_pcm(clip, wave, path):
    """The clip's picture with `wave` (C, N) as uncompressed sound, which may be shorter and of many channels."""
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        picture, layout = source.streams.video[0], {1: "mono", 6: "5.1"}[len(wave)]
        twin, sound = target.add_stream_from_template(picture), target.add_stream("pcm_s16le", 48000, layout=layout)
        interleaved = (wave.T * 32767).astype(np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(interleaved, format="s16", layout=layout)
        frame.sample_rate = 48000
        target.mux(sound.encode(frame))
        for packet in source.demux(picture):
            if packet.size:
                packet.stream = twin
                target.mux(packet)
    return path


def test_where_the_own_sound_ends_early_the_new_one_goes_on(clip, tmp_path):
    short = with_pcm(clip, tone(0.2, 300, 0.3), tmp_path / "short.mkv")
    mixed = np.concatenate(list(mixed_blocks(short, tone(0.8, 1000, 0.4), 0.0)), axis=1)
    assert mixed.shape == (1, 38400)
    assert np.allclose(mixed[:, 12000:], tone(0.8, 1000, 0.4)[:, 12000:], atol=1e-3)


def test_peaks_of_the_sum_are_limited(talking):
    mixed = np.concatenate(list(mixed_blocks(talking, tone(0.8, 300, 0.9), 0.0)), axis=1)
    assert true_peak_dbtp(mixed, 48000) <= -0.9


def test_more_channels_than_two_are_mixed_down(clip, tmp_path, caplog):
    own, new = tone(0.8, 300, 0.1, channels=6), tone(0.8, 1000, 0.4)
    mixed = np.concatenate(list(mixed_blocks(with_pcm(clip, own, tmp_path / "six.mkv"), new, 0.0)), axis=1)
    assert mixed.shape == (2, 38400)
    assert np.allclose(mixed, (1 + 2 * 0.5**0.5) * own[:2] + new, atol=2e-3)  # centre and rear at -3 dB
    assert "6 channels" in caplog.text


def test_kept_sound_is_the_first_track_copied_packet_by_packet(pipe, talking, tmp_path):
    result = generation.generate(talking, "hammer", pipeline=pipe, seed=1, sound="keep")
    kept = result.save(tmp_path / "kept.mp4")
    assert packets(kept, 0) == packets(talking, 0)
    with av.open(str(kept)) as container:
        assert len(container.streams.audio) == 2
    made = generation.generate(talking, "hammer", pipeline=pipe, seed=1).save(tmp_path / "alone.mp4")
    assert [p[2] for p in packets(kept, 1)] == [p[2] for p in packets(made, 0)]
    with av.open(str(made)) as container:
        assert len(container.streams.audio) == 1


def test_a_sound_that_the_container_cannot_hold_is_named(pipe, talking, tmp_path):
    result = generation.generate(talking, "hammer", pipeline=pipe, seed=1, sound="keep")
    with pytest.raises(MediaError, match="webm"):
        result.save(tmp_path / "kept.webm")
    assert not (tmp_path / "kept.webm").exists()


def test_a_clip_without_sound_just_gets_the_new_one(pipe, clip, tmp_path):
    plain = generation.generate(clip, "hammer", pipeline=pipe, seed=1).save(tmp_path / "plain.mp4")
    for sound in ("mix", "keep"):
        result = generation.generate(clip, "hammer", pipeline=pipe, seed=1, sound=sound)
        assert result.save(tmp_path / f"{sound}.mp4").read_bytes() == plain.read_bytes()
