"""The picture must come back untouched, the sound at its place and of the picture's length; decoded, not believed."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

import av
import numpy as np
import pytest

from postsync.errors import MediaError
from postsync.media.audio import read_audio, write_wav
from postsync.media.mux import ENCODED_RATE, default_output, mux
from postsync.media.video import iter_frames, probe

RATE = 16000
CLIPS = {
    "b_frames.mp4": {"options": {"bf": "3"}},
    "variable.mp4": {"ticks": (0, 1, 2, 10, 11, 30, 31, 33), "rate": 30},
    "b_frames.mkv": {"options": {"bf": "3"}},  # the first packets have no dts
    "variable.mkv": {"ticks": (0, 1, 2, 10, 11, 30, 31, 33), "rate": 30},
    "plain.mov": {},
    "vp8.webm": {"codec": "libvpx"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "old.avi": {"codec": "mpeg4", "sounds": ["mp2"]},
    "old_b_frames.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "late.mp4": {"ticks": range(40, 70)},
    "late.mkv": {"ticks": range(40, 70)},
    "late.webm": {"ticks": range(40, 70), "codec": "libvpx"},
    "cut.mp4": {"shift_s": -0.4, "options": {"bf": "3", "g": "5"}},
    "moved.mp4": {"shift_s": 1.5, "options": {"bf": "3"}},
    "turned.mp4": {"rotation": (90, False, False)},
    "turned.mkv": {"rotation": (-90, False, False)},
    "mirrored.mov": {"rotation": (0, True, False)},
    "ten_bit.mp4": {"pix_fmt": "yuv420p10le"},
    "odd.mp4": {"pix_fmt": "yuv444p", "size": (63, 47)},
    "tracks.mp4": {"sounds": ["aac", "aac"], "cover": True},
}


def clicks(duration_s: float) -> tuple[np.ndarray, np.ndarray]:
    """(click times in s, waveform (1, N) at 16 kHz)."""
    times = np.arange(0.1, duration_s - 0.05, 0.2)
    waveform = np.zeros((1, round(duration_s * RATE)), np.float32)
    waveform[0, np.round(times * RATE).astype(int)] = 0.9
    return times, waveform


def packets(path: Path, rebased_s: float = 0.0) -> list[tuple]:
    """(seconds, counted from `rebased_s`, key frame, hash of the content) of the picture's packets."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [
            (float((p.pts - round(rebased_s / p.time_base)) * p.time_base), p.is_keyframe,
             hashlib.sha256(bytes(p)).hexdigest())
            for p in container.demux(stream)
            if p.size
        ]


@pytest.mark.parametrize("name", CLIPS)
def test_picture_untouched_and_clicks_in_place(make_video, name):
    path = make_video(name, **CLIPS[name])
    before, output = path.read_bytes(), default_output(path)
    info = probe(path)
    times, waveform = clicks(info.duration_s)
    assert mux(path, waveform, RATE, output) == output
    assert path.read_bytes() == before
    assert packets(output) == packets(path, info.first_pts_s)
    was, now = list(iter_frames(path)), list(iter_frames(output))
    assert [f.time_s for f in now] == [f.time_s for f in was]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(was, now, strict=True))
    assert probe(output).duration_s == info.duration_s
    assert probe(output).first_pts_s == 0

    with av.open(str(output)) as container:
        assert [stream.type for stream in container.streams if stream.type != "data"] == ["video", "audio"]
        codec = container.streams.audio[0].codec_context
        assert (codec.name, codec.sample_rate) == ("opus" if output.suffix == ".webm" else "aac", ENCODED_RATE)
    sound = read_audio(output, ENCODED_RATE, from_picture=True)[0]
    assert 0 <= len(sound) - round(info.duration_s * ENCODED_RATE) <= 1024  # one codec frame
    for time in times:
        centre = round(time * ENCODED_RATE)
        found = np.abs(sound[centre - 2400 : centre + 2400]).argmax() - 2400
        assert abs(found) <= 0.001 * ENCODED_RATE


def test_same_input_same_bytes(make_video, tmp_path):
    for name in ("a.mp4", "a.mkv", "a.mov", "a.webm"):
        path = make_video(name, **({"codec": "libvpx"} if name == "a.webm" else {}))
        _, waveform = clicks(1.2)
        outputs = [mux(path, waveform, RATE, tmp_path / f"{take}{path.suffix}") for take in ("one", "two")]
        assert outputs[0].read_bytes() == outputs[1].read_bytes()


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "mov_text"), ("a.mkv", "srt")])
def test_subtitles_chapters_and_metadata_go_along(make_video, name, codec):
    path = make_video(
        name, subtitles=codec, chapters=True, metadata={"title": "the forge", "artist": "Ada"}, sounds=["aac"]
    )
    output = mux(path, np.zeros((2, 8000), np.float32), 8000, default_output(path))
    with av.open(str(path)) as was, av.open(str(output)) as now:
        tags = {key.lower(): value for key, value in now.metadata.items()}  # matroska has them in capitals
        assert (tags["title"], tags["artist"]) == ("the forge", "Ada")
        found = [(c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"]) for c in now.chapters()]
        assert found == [
            (c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"]) for c in was.chapters()
        ]
        assert [c[2]["title"] for c in found] == ["first", "second"]
        assert len(now.streams.audio) == 1
        assert now.streams.audio[0].codec_context.layout.name == "stereo"
        lines = [
            [(p.pts * p.time_base, p.duration * p.time_base, bytes(p)) for p in c.demux(subtitles=0) if p.size > 2]
            for c in (was, now)  # two bytes: the empty samples with which mp4 fills the gaps
        ]
    assert lines[0] == lines[1]
    assert [b"bang" in text for _, _, text in lines[1]] == [True]


def test_hevc_keeps_the_tag_apple_players_need(make_video):
    path = make_video("a.mp4", codec="libx265", tag="hvc1", ticks=range(5), options={"x265-params": "log-level=none"})
    output = mux(path, np.zeros((1, 3200), np.float32), RATE, default_output(path))
    with av.open(str(output)) as container:
        assert container.streams.video[0].codec_context.codec_tag == "hvc1"


@pytest.mark.parametrize("given_s", [0.3, 1.2, 2.0])
def test_blocks_are_streamed_padded_and_cut(make_video, given_s):
    """44.1 kHz blocks of odd sizes, too short, right, or too long: the sound lasts as the picture does."""
    path = make_video("a.mp4")
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(given_s * 44100)) / 44100).astype(np.float32)
    blocks = (np.stack([part, -part]) for part in np.array_split(tone, 17))
    output = mux(path, blocks, 44100, default_output(path), info=probe(path))
    sound = read_audio(output, ENCODED_RATE, mono=False)
    assert sound.shape[0] == 2
    assert 0 <= sound.shape[1] - 1.2 * ENCODED_RATE <= 1024
    heard = min(given_s, 1.2)
    truth = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(heard * ENCODED_RATE)) / ENCODED_RATE)
    inner = slice(2400, len(truth) - 2400)
    assert np.abs(sound[0, inner] - truth[inner]).max() < 0.03
    assert np.abs(sound[1, inner] + truth[inner]).max() < 0.03
    assert np.abs(sound[:, round(heard * ENCODED_RATE) + 2400 :]).max(initial=0) < 0.01


def leftovers(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_nothing_half_written_stays(make_video, tmp_path, stop):
    path = make_video()
    output = tmp_path / "out" / "clip.mp4"
    output.parent.mkdir()
    output.write_bytes(b"an earlier result")

    def blocks():
        yield np.zeros((1, 8000), np.float32)
        raise stop

    with pytest.raises(stop):
        mux(path, blocks(), RATE, output)
    assert leftovers(output.parent) == ["clip.mp4"]
    assert output.read_bytes() == b"an earlier result"


def test_input_is_never_overwritten(make_video, tmp_path):
    path = make_video()
    before = path.read_bytes()
    symbolic, hard = tmp_path / "symbolic.mp4", tmp_path / "hard.mp4"
    symbolic.symlink_to(path)
    os.link(path, hard)
    for output in (path, symbolic, hard, tmp_path / "." / "clip.mp4"):
        with pytest.raises(MediaError, match="input itself"):
            mux(path, np.zeros((1, 100), np.float32), RATE, output)
    assert path.read_bytes() == before
    assert sorted(leftovers(tmp_path)) == ["clip.mp4", "hard.mp4", "symbolic.mp4"]


def test_unusable_outputs_say_what_to_do(make_video, tmp_path):
    path = make_video("a.webm", codec="libvpx")
    silence = np.zeros((1, 100), np.float32)
    (tmp_path / "folder.mp4").mkdir()
    for output, words in {
        "clip.mp3": "end the name in",
        "missing/clip.webm": "does not exist",
        "folder.mp4": "is a folder",
        "clip.mp4": r"cannot hold this picture.*write '\.webm'",
    }.items():
        with pytest.raises(MediaError, match=words):
            mux(path, silence, RATE, tmp_path / output)
    with pytest.raises(MediaError, match="3 channels"):
        mux(path, np.zeros((3, 100), np.float32), RATE, tmp_path / "clip.webm")
    with pytest.raises(MediaError, match="NaN"):
        mux(path, np.full((1, 100), np.nan, np.float32), RATE, tmp_path / "clip.webm")
    assert sorted(leftovers(tmp_path)) == ["a.webm", "folder.mp4"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_folder_is_named(make_video, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    with pytest.raises(MediaError, match="no permission"):
        mux(make_video(), np.zeros((1, 100), np.float32), RATE, locked / "clip.mp4")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".wav"])
def test_full_disk_is_a_media_error(make_video, tmp_path, suffix):
    """A limit on file size stands in for a disk that runs full."""
    resource = pytest.importorskip("resource")
    path, output = make_video("a.mp4"), tmp_path / f"out{suffix}"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 19200)).astype(np.float32)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(MediaError, match=f"out{suffix}: could not be written"):
            write_wav(output, noise, RATE) if suffix == ".wav" else mux(path, noise, RATE, output)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert leftovers(tmp_path) == ["a.mp4"]


def test_what_is_left_out_is_logged(make_video, caplog):
    path = make_video("a.mp4", sounds=["aac"], cover=True)
    with caplog.at_level(logging.INFO, logger="postsync.media"):
        mux(path, np.zeros((1, 100), np.float32), RATE, default_output(path))
    assert [record.getMessage().split("stream ")[1][:9] for record in caplog.records] == ["1 (audio)", "2 (video)"]


@pytest.mark.parametrize(
    ("name", "output"),
    [("a.mp4", "a.postsync.mp4"), ("B.MOV", "B.postsync.MOV"), ("c.avi", "c.postsync.mp4"), ("d.ts", "d.postsync.mkv")],
)
def test_default_output(name, output):
    assert default_output(Path("x") / name) == Path("x") / output
