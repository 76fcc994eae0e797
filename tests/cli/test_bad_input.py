"""`postsync generate` with odd or damaged files, and outputs that cannot be: a result, or one sentence and exit 2."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import av
import numpy as np
import pytest

from postsync import cli
from postsync.media.audio import read_audio
from postsync.media.video import probe

pytestmark = pytest.mark.usefixtures("tiny")

PIXELS = np.random.default_rng(0).integers(0, 255, (40, 32, 48, 3), dtype=np.uint8)


def write_clip(path: Path, num_frames: int = 20, codec: str = "libx264", options: dict[str, str] | None = None) -> Path:
    """Frames of noise, 48 x 32 at 25 a second."""
    with av.open(str(path), "w") as target:
        stream = target.add_stream(codec, rate=25, width=48, height=32, options=options or {})
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for image in PIXELS[:num_frames]:
            target.mux(stream.encode(av.VideoFrame.from_ndarray(image).reformat(format=stream.pix_fmt)))
        target.mux(stream.encode(None))
    return path


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["generate", *map(str, arguments), "--prompt", "hammer", "--seed", "1", "--quiet"])
    return int(stopped.value.code or 0)


def damage_frames(path: Path, which: slice) -> None:
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [bytes(p) for p in container.demux(video=0) if p.size]
    for packet in packets[which]:
        at = data.index(packet)
        data[at : at + len(packet)] = np.random.default_rng(1).bytes(len(packet))
    path.write_bytes(data)


@pytest.mark.parametrize("num_frames", [1, 2])
def test_the_shortest_clips_get_a_sound_of_their_length(tmp_path, num_frames):
    path = write_clip(tmp_path / "short.mp4", num_frames)
    assert run(path, "--output", tmp_path / "out.mp4", "--wav", tmp_path / "out.wav") == 0
    assert probe(tmp_path / "out.mp4").duration_s == pytest.approx(0.04 * num_frames)
    assert read_audio(tmp_path / "out.wav", 48000).shape == (1, 1920 * num_frames)


def test_pictures_damaged_in_the_middle_are_passed_over(tmp_path, capfd):
    path = write_clip(tmp_path / "dent.mp4", 30, options={"g": "5", "bf": "0"})
    damage_frames(path, slice(12, 15))
    before = path.read_bytes()
    assert run(path, "--output", tmp_path / "out.mp4") == 0
    assert "Traceback" not in capfd.readouterr().err
    assert probe(tmp_path / "out.mp4").duration_s == pytest.approx(1.2)
    assert path.read_bytes() == before


def bad_clip(kind: str, folder: Path) -> Path:
    """A file that holds no picture that can be used."""
    path = write_clip(folder / "bad.mov", 4, codec="mjpeg")
    if kind == "zero duration":
        with av.open(str(path)) as read, av.open(str(folder / "none.mov"), "w") as target:
            target.add_stream_from_template(read.streams.video[0])
            target.start_encoding()
        path.unlink()
        return folder / "none.mov"
    if kind == "claims 16k":
        data = bytearray(path.read_bytes())
        at = -1
        while (at := data.find(b"\xff\xc0", at + 1)) >= 0:
            data[at + 5 : at + 9] = struct.pack(">HH", 16000, 16000)
        path.write_bytes(data)
    elif kind == "all damaged":
        damage_frames(path, slice(None))
    else:
        path.unlink()
        os.mkfifo(path)
    return path


@pytest.mark.parametrize("kind", ["zero duration", "claims 16k", "all damaged", "pipe"])
def test_unusable_clips_are_one_sentence(tmp_path, capfd, kind):
    path = bad_clip(kind, tmp_path)
    before = sorted(tmp_path.iterdir())
    assert run(path) == 2
    said = capfd.readouterr().err
    assert said.startswith(f"postsync: {path}")
    assert said.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.skipif(os.name == "nt" or os.uname().sysname == "Darwin", reason="names are text there")
def test_names_that_are_no_text_are_used_as_they_are(tmp_path):
    clip = write_clip(tmp_path / "plain.mp4", 5)
    name = os.fsdecode(b"o\xe9")
    clip.rename(tmp_path / f"{name}.mp4")
    assert run(tmp_path / f"{name}.mp4", "--wav", tmp_path / f"{name}.wav", "--plot", tmp_path / f"{name}.png") == 0
    assert {os.fsencode(p.name) for p in tmp_path.iterdir()} == {
        b"o\xe9" + end for end in (b".mp4", b".wav", b".png", b".postsync.mp4", b".postsync.mp4.flac",
                                  b".postsync.mp4.json")}
    assert run(tmp_path / f"{name}.mp4", "--reference", tmp_path / f"{name}.wav", "--output", tmp_path / "out.mp4") == 0
    assert read_audio(tmp_path / f"{name}.wav", 48000).shape == (1, 9600)


def test_a_name_that_is_no_text_is_printed(tmp_path):
    import subprocess
    import sys

    path = tmp_path / os.fsdecode(b"o\xe9.mp4")
    code = f"import typer; from postsync import cli; cli._root = lambda: typer.echo({str(path)!r}); cli.main(['info'])"
    environment = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert os.fsencode(path) in said.stdout, said.stderr


def bad_output(kind: str, clip: Path) -> Path:
    folder = clip.parent
    if kind == "symbolic link to the input":
        (folder / "out.mp4").symlink_to(clip)
    elif kind == "hard link to the input":
        os.link(clip, folder / "out.mp4")
    elif kind == "a file as folder":
        return clip / "out.mp4"
    elif kind == "a virtual folder":
        return Path("/proc/out.mp4")
    return folder / "out.mp4"


@pytest.mark.parametrize("kind", ["symbolic link to the input", "hard link to the input", "a file as folder",
                                  "a virtual folder"])
@pytest.mark.parametrize("option", ["--output", "--save-envelope"])
def test_unusable_outputs_are_refused_before_the_work(tmp_path, capfd, monkeypatch, kind, option):
    clip = write_clip(tmp_path / "clip.mp4", 3)
    output = bad_output(kind, clip)
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    monkeypatch.setattr("postsync.generation.session.ClipSession.takes_of",
                        lambda *args, **kwargs: pytest.fail("began to work"))
    assert run(clip, option, output) == 2
    said = capfd.readouterr().err
    assert said.startswith(f"postsync: {output}")
    assert said.count("\n") == 1
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize(("name", "encoder", "arguments", "words"), [
    ("old.wmv", "wmv2", [], "cannot hold this picture (wmv2); convert the clip to H.264 first"),
    ("new.mkv", "libx264", ["--output", "{}/out.webm"], "cannot hold this picture (h264); write '.mkv' instead")])
def test_what_a_container_cannot_hold_is_said_before_the_work(tmp_path, capfd, monkeypatch, name, encoder, arguments,
                                                              words):
    clip = write_clip(tmp_path / name, 3, encoder)
    monkeypatch.setattr("postsync.generation.session.ClipSession.takes_of",
                        lambda *args, **kwargs: pytest.fail("began to work"))
    assert run(clip, *(argument.format(tmp_path) for argument in arguments)) == 2
    assert words in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == [clip]
