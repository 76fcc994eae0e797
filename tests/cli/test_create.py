"""`postsync create` as a user calls it: one sentence, several, a recording; what goes wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from command_line import run
from postsync.media.picture import open_picture


def test_a_clip_with_its_files(creating: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bell.mp4"
    assert run("create", "A bell!", "--preset", str(creating), "--duration", "1", "--seed", "5", "-o", str(out),
               "--json", "--wav", str(tmp_path / "bell.wav"), "--plot", str(tmp_path / "bell.png")) == 0
    entry = json.loads(capsys.readouterr().out)["results"][0]
    assert (entry["input"], entry["prompt"], entry["seed"], entry["duration_s"]) == ("A bell!", "A bell!", 5, 1.0)
    assert open_picture(out).info.num_frames == 8
    assert open_picture(out).info.has_audio
    assert soundfile.info(str(tmp_path / "bell.wav")).duration == 1.0
    assert (tmp_path / "bell.png").stat().st_size > 1000
    assert run("generate", "--from", str(out), "-o", str(tmp_path / "again.mp4"), "-q") == 0
    assert (tmp_path / "again.mp4").read_bytes() == out.read_bytes()
    assert run("create", "a bell", "--preset", str(creating), "--duration", "1", "-o", str(out), "-q") == 0
    assert (tmp_path / "bell.run2.mp4").is_file()


def test_several_sentences_and_a_recording(creating: Path, tmp_path: Path) -> None:
    assert run("create", "a bell", "rain", "--preset", str(creating), "--duration", "0.5", "-o",
               str(tmp_path / "new"), "-q") == 0
    assert sorted(path.name for path in (tmp_path / "new").glob("*.mp4")) == ["a_bell.1.mp4", "rain.2.mp4"]
    soundfile.write(tmp_path / "tone.wav", np.zeros(8000), 16000)
    assert run("create", "--sound", str(tmp_path / "tone.wav"), "--preset", str(creating), "-o", str(tmp_path),
               "-q") == 0
    assert open_picture(tmp_path / "tone.mp4").info.num_frames == 4


@pytest.mark.parametrize(("arguments", "message"), [
    ([], "sentence is empty"), ([" "], "sentence is empty"), (["a bell", "--set", "hue=3"], "no option hue"),
    (["a bell", "--set", "gamma=0"], "gamma is 0; it must be a number from 0.05"),
    (["a bell", "--num-samples", "0"], "--num-samples is 0"), (["a bell", "--system", "mdg"], "mdg makes no pictures"),
    (["a bell", "-o", "bell.ogg"], "cannot write '.ogg' video"),
    (["a bell", "-o", "bell.webm", "--audio-codec", "aac"], "cannot hold sound as aac"),
    (["--sound", "gone.wav"], "gone.wav: no such file")])
def test_what_is_wrong_is_said_in_a_line(arguments: list[str], message: str, creating: Path,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    preset = [] if "--system" in arguments else ["--preset", str(creating)]
    assert run("create", *arguments, *preset) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.strip().splitlines()) == 1
