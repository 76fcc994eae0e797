import numpy as np
import pytest
import torch

from postsync.errors import MediaError
from postsync.generation.soundtrack import (
    DELIVERY_RATE,
    at_delivery_rate,
    fingerprint,
    level,
    loudness_target,
    on_24_bits,
    placed,
    read_lossless,
    spliced,
    write_lossless,
)
from postsync.media.meter import integrated_lufs


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
