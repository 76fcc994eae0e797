"""Files that are damaged, lie about themselves, or ask for endless work: a documented result or one typed sentence."""

from __future__ import annotations

import logging
import os
import struct
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from postsync.errors import MediaError
from postsync.media import decoding
from postsync.media.audio import read_audio
from postsync.media.container import check_readable
from postsync.media.mux import mux
from postsync.media.output import check_writable
from postsync.media.video import iter_frames, probe

SILENCE = np.zeros((1, 1600), np.float32)


def packet_places(path: Path) -> list[tuple[int, int]]:
    """(offset, size) of what the video packets hold, found by content: a container puts its own marks before it."""
    data = path.read_bytes()
    with av.open(str(path)) as container:
        return [(data.index(bytes(p)), p.size) for p in container.demux(video=0) if p.size]


def patched(path: Path, *changes: tuple[int, bytes]) -> Path:
    data = bytearray(path.read_bytes())
    for at, value in changes:
        data[at : at + len(value)] = value
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.webm", "libvpx")])
def test_damage_in_the_middle_costs_pictures_not_length(make_video, tmp_path, caplog, name, codec):
    path = make_video(name, codec=codec, ticks=range(40), options={"g": "10"})
    whole = probe(path)
    rng = np.random.default_rng(0)
    places = packet_places(path)
    patched(path, *((at, rng.bytes(size)) for at, size in places[13:17]))
    before = path.read_bytes()
    with caplog.at_level(logging.WARNING, logger="postsync.media"):
        info = probe(path)
    assert info.duration_s == pytest.approx(whole.duration_s, abs=1e-9)
    assert whole.num_frames - 10 <= info.num_frames <= whole.num_frames
    if info.num_frames < whole.num_frames:
        assert "are damaged" in caplog.records[-1].getMessage()
    held = list(iter_frames(path, fps=25, size=(16, 16)))
    assert len(held) == 40  # what could not be decoded is bridged by the picture before it
    output = mux(path, SILENCE, 16000, tmp_path / f"out{path.suffix}", info=info)
    assert [size for _, size in packet_places(output)] == [size for _, size in places]
    assert path.read_bytes() == before


def test_a_container_that_breaks_off_is_said_aloud(make_video, caplog):
    """FFmpeg takes broken marks between the packets for the end of the file, without an error."""
    path = make_video("a.mkv", ticks=range(50))
    at, size = packet_places(path)[20]
    patched(path, (at - 16, np.random.default_rng(0).bytes(size + 16)))
    with caplog.at_level(logging.WARNING, logger="postsync.media"):
        info = probe(path)
    assert info.duration_s < 1.9
    assert "its header says 2.0" in caplog.text


def test_a_file_of_damaged_pictures_only_is_refused(make_video):
    path = make_video("a.mov", codec="mjpeg", pix_fmt="yuvj420p", ticks=range(5))
    patched(path, *((at, bytes(size)) for at, size in packet_places(path)))
    with pytest.raises(MediaError, match="not one frame could be decoded"):
        probe(path)


def test_a_header_without_pictures_is_refused(make_video, tmp_path):
    with av.open(str(make_video())) as read, av.open(str(tmp_path / "none.mp4"), "w") as target:
        target.add_stream_from_template(read.streams.video[0])
        target.start_encoding()
    with pytest.raises(MediaError, match=r"none\.mp4"):
        probe(tmp_path / "none.mp4")


def test_one_frame_lasts_as_long_as_its_file_says(make_video, tmp_path):
    path = make_video(ticks=[0], rate=25)
    info = probe(path)
    assert (info.num_frames, info.duration_s) == (1, pytest.approx(0.04))
    assert probe(mux(path, SILENCE, 16000, tmp_path / "out.mp4", info=info)).duration_s == info.duration_s


@pytest.mark.parametrize("side", [8192, 16384])
def test_a_container_that_claims_16k_is_refused_before_it_is_decoded(make_video, side):
    path = make_video("a.avi", codec="rawvideo", ticks=range(3))
    at = path.read_bytes().index(b"strf") + 8  # BITMAPINFOHEADER: size, width, height
    patched(path, (at + 4, struct.pack("<ii", side, side)))
    with pytest.raises(MediaError, match=r"larger than 37\.7 million"):
        probe(path)


def test_pictures_that_claim_16k_are_refused_by_the_decoder(make_video):
    """The container says 64 x 48; only the pictures themselves say otherwise."""
    path = make_video("a.mov", codec="mjpeg", pix_fmt="yuvj420p", ticks=range(6))
    data = path.read_bytes()
    frames = [data.index(b"\xff\xc0", at) for at, _ in packet_places(path)]
    patched(path, *((at + 5, struct.pack(">HH", 16384, 16384)) for at in frames[2:4]))
    assert {f.image.shape for f in iter_frames(path)} == {(48, 64, 3)}
    assert probe(path).num_frames == 4
    patched(path, *((at + 5, struct.pack(">HH", 16384, 16384)) for at in frames))
    with pytest.raises(MediaError, match=r"larger than 37\.7 million"):
        probe(path)


def test_a_small_file_that_unfolds_without_end_is_refused(make_video, monkeypatch):
    path = make_video(ticks=range(200))
    assert probe(path).num_frames == 200
    monkeypatch.setattr(decoding, "FREE_PIXELS", 1e5)
    monkeypatch.setattr(decoding, "MAX_PIXELS_PER_BYTE", 10)
    with pytest.raises(MediaError, match="unfold"):
        probe(path)


@pytest.mark.parametrize(
    ("ticks", "words"),
    [((0, 1, 25 * 15000), "would be shown for 15000 s"), ([k * 25 * 599 for k in range(30)], "longer than 4 hours")],
)
def test_times_that_jump_are_refused(make_video, ticks, words):
    with pytest.raises(MediaError, match=words):
        probe(make_video(ticks=ticks))


def test_playlists_and_other_protocols_are_not_followed(make_video, tmp_path):
    make_video("real.ts", codec="mpeg2video")
    for name, text in {
        "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.2,\nreal.ts\n#EXT-X-ENDLIST\n",
        "list.mp4": f"ffconcat version 1.0\nfile {tmp_path}/real.ts\n",
        "net.m3u8": "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
    }.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(MediaError, match=name):
            probe(tmp_path / name)


def test_inputs_that_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    for path, words in {
        tmp_path / "pipe.mp4": "a pipe or device",
        Path("/dev/zero"): "a pipe or device",
        tmp_path / "file" / "clip.mp4": "no such file",
        tmp_path / ("n" * 300 + ".mp4"): "no such file",
        tmp_path / "loop.mp4": "no such file",
    }.items():
        with pytest.raises(MediaError, match=words):
            check_readable(path)


def test_outputs_that_cannot_be_written_are_found_before_the_work(tmp_path):
    """None of this depends on permissions, which do not bind root."""
    (tmp_path / "file").write_text("x")
    for path, words in {
        tmp_path / "file" / "out.mp4": "is a file, not a folder",
        Path("/proc/out.mp4"): "cannot write into /proc",
        tmp_path / ("n" * 300 + ".mp4"): "cannot write into",
        tmp_path / "no" / "out.mp4": "does not exist",
        tmp_path: "is a folder",
    }.items():
        with pytest.raises(MediaError, match=words):
            check_writable(path)
    check_writable(tmp_path / "out.mp4")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]


def wav(path: Path, rate: int = 16000, channels: int = 1) -> Path:
    """A float WAV of noise whose header is changed to `rate` and `channels`."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 3200).astype(np.float32)
    soundfile.write(path, noise, 16000, subtype="FLOAT")
    at = path.read_bytes().index(b"fmt ") + 8
    return patched(path, (at + 2, struct.pack("<H", channels)), (at + 4, struct.pack("<I", rate)))


def test_references_that_lie_or_are_not_finite_are_refused(tmp_path):
    assert read_audio(wav(tmp_path / "a.wav"), 16000).shape == (1, 3200)
    with pytest.raises(MediaError, match="its header says 1 Hz"):
        read_audio(wav(tmp_path / "slow.wav", rate=1), 16000)
    with pytest.raises(MediaError, match=r"wide\.wav"):
        read_audio(wav(tmp_path / "wide.wav", channels=800), 16000)
    data = wav(tmp_path / "nan.wav").read_bytes()
    patched(tmp_path / "nan.wav", (len(data) - 400, struct.pack("<f", float("nan"))))
    with pytest.raises(MediaError, match=r"nan\.wav: holds NaN"):
        read_audio(tmp_path / "nan.wav", 16000)


def test_a_reference_damaged_in_the_middle_is_refused(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 160000), 16000)
    patched(path, (200000, np.random.default_rng(1).bytes(20000)))
    with pytest.raises(MediaError, match="its sound is damaged"):
        read_audio(path, 16000)


def test_a_reference_without_end_is_refused(tmp_path, monkeypatch):
    from postsync.media import audio

    monkeypatch.setattr(audio, "MAX_DURATION_S", 0.1)
    with pytest.raises(MediaError, match="cut out the part"):
        read_audio(wav(tmp_path / "a.wav"), 16000)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_a_disk_that_fills_up_anywhere_is_noticed(make_video, tmp_path, suffix):
    """Also while the index is moved to the front at the end: the result is whole or not there."""
    resource = pytest.importorskip("resource")
    path, output = make_video("a.mp4"), tmp_path / f"out{suffix}"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 19200)).astype(np.float32)
    whole = mux(path, noise, 16000, output).read_bytes()
    output.unlink()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in np.linspace(1, len(whole) - 1, 12).astype(int).tolist():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(MediaError, match="could not be written"):
                mux(path, noise, 16000, output)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"], limit
    assert mux(path, noise, 16000, output).read_bytes() == whole
