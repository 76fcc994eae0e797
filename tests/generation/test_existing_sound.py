import av
import numpy as np
import pytest

from postsync import generation
from postsync.errors import ConditionError, MediaError
from postsync.generation.existing_sound import mixed_blocks
from postsync.media.audio import read_audio
from postsync.media.meter import true_peak_dbtp
from postsync.media.mux import mux


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


def test_more_channels_than_two_are_not_mixed(clip, tmp_path):
    six = with_pcm(clip, tone(0.2, 300, 0.3, channels=6), tmp_path / "six.mkv")
    with pytest.raises(ConditionError, match="6 channels"):
        mixed_blocks(six, tone(0.8, 300, 0.3), 0.0)


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
