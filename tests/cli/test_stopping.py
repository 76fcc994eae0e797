"""Ctrl-C, SIGTERM and a full disk at every stage of the real command: the exit code, and nothing half-written left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from postsync.scenes.export import render_mp4
from postsync.scenes.render import clean_scenes, render_scene

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and POSIX signals")
DRIVER = Path(__file__).with_name("stopping_driver.py")
RESULT = ["out.mp4", "out.mp4.flac", "out.mp4.json"]
STAGES = ("reading", "denoising", "levelling", "keeping sound", "writing sound", "writing video", "renaming")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("input") / "hammer.mp4"
    scene = render_scene(3, clean_scenes(duration_s=0.6, families=("metal_strike",)))
    render_mp4(scene, path, with_audio=False)
    return path


def hear_ctrl_c() -> None:
    """What a shell starts in the background ignores Ctrl-C, and so do its children: tests, for instance."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="module")
def report(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, list[str]]]:
    folder = tmp_path_factory.mktemp("output") / "results"
    folder.mkdir()
    before = clip.read_bytes()
    done = subprocess.run([sys.executable, str(DRIVER), str(clip), str(folder)], capture_output=True, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False, preexec_fn=hear_ctrl_c)
    assert done.returncode == 0, done.stderr
    assert clip.read_bytes() == before
    assert [p.name for p in clip.parent.iterdir()] == [clip.name]
    return json.loads(done.stdout.splitlines()[-1])


def test_left_alone_it_writes_all_files(report):
    assert report["nothing"] == [0, "", [*RESULT, "out.wav"]]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_ends_it_cleanly(report, stage, name, code):
    exit_code, said, left = report[f"{name} {stage}"]
    assert exit_code == code
    assert "Traceback" not in said
    assert left == (RESULT if stage == "writing sound" else [])  # whole: it was finished before


def test_a_full_disk_is_one_sentence(report):
    code, said, left = report["disk full"]
    assert (code, left) == (2, [])
    assert said.startswith("postsync: ")
    assert said.count("\n") == 1
    assert "could not be written" in said


def watched(command: list[str], word: str, number: signal.Signals) -> tuple[int, str]:
    """Send `number` as soon as the process has said `word` on stderr; (exit code, all that it said)."""
    terminal = os.environ | {"FORCE_COLOR": "1", "TERM": "xterm"}  # progress is shown on one only
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=hear_ctrl_c,
                               env=terminal)
    said = b""
    assert process.stderr is not None
    while word.encode() not in said:
        chunk = os.read(process.stderr.fileno(), 65536)
        assert chunk, said.decode()
        said += chunk
    process.send_signal(number)
    said += process.stderr.read()
    return process.wait(), said.decode()


@pytest.mark.parametrize(("options", "word", "number", "code"), [
    (["-X", "importtime"], "postsync.media.container", signal.SIGTERM, 143),
    (["-X", "importtime"], "torch.nn.modules", signal.SIGINT, 130),
    ([], "denoising", signal.SIGINT, 130)])
def test_a_signal_from_outside(clip, tmp_path, options, word, number, code):
    command = [sys.executable, *options, "-m", "postsync", "generate", str(clip), "--prompt", "hammer", "--steps",
               "200", "--output", str(tmp_path / "out.mp4")]
    exit_code, said = watched(command, word, number)
    assert exit_code == code
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []
