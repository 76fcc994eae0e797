"""`postsync evaluate` as it is called."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from postsync import cli
from postsync.media.audio import read_audio
from postsync.scenes.export import export
from postsync.scenes.render import clean_scenes

RATE = 16000


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    export(folder, range(3), clean_scenes(duration_s=1.0, size=16, fps=10.0, families=("wood_strike",)))
    return folder


@pytest.fixture
def made(real, tmp_path):
    """The scenes' own sounds, as FLAC."""
    folder = tmp_path / "made"
    folder.mkdir()
    for clip in (real / "clips").iterdir():
        soundfile.write(folder / f"{clip.stem}.flac", read_audio(clip, RATE, from_picture=True)[0], RATE)
    return folder


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["evaluate", "--resamples", "20", *map(str, arguments)])
    return int(stopped.value.code or 0)


def test_one_table_and_one_json(made, real, tmp_path, capsys):
    assert run(made, "--reference", real, "--json", tmp_path / "a.json") == 0
    said = capsys.readouterr()
    document = json.loads((tmp_path / "a.json").read_text())
    for metric in document["metrics"]:
        assert metric["name"] in said.out
    assert "3 clips" in said.out
    assert document["command"].startswith("postsync evaluate ")
    assert "--suite scenes --seed 0" in document["command"]
    assert "a.json" not in document["command"]


def test_a_page_and_plots_are_written_of_the_same_figures(made, real, tmp_path):
    assert run(made, "--reference", real, "--html", tmp_path / "a.html", "--plot", tmp_path / "plots", "--quiet") == 0
    page = (tmp_path / "a.html").read_text()
    assert "Onset-F1@50ms" in page
    assert "scenes.0.0" in page
    assert any(path.read_bytes()[:4] == b"\x89PNG" for path in (tmp_path / "plots").iterdir())


def test_the_page_shows_as_many_clips_as_asked_by_the_metric_asked(made, real, tmp_path, capsys):
    asked = [made, "--reference", real, "--html", tmp_path / "a.html", "--quiet", "--num-clips", 1]
    assert run(*asked, "--sort-by", "Loudness-error-LU") == 0
    page = (tmp_path / "a.html").read_text()
    assert page.count("<article") == 1
    assert "by Loudness-error-LU" in page
    assert run(*asked, "--sort-by", "Loudness") == 2
    assert "no metric 'Loudness'; choose from: Onset-precision@25ms" in capsys.readouterr().err


def test_strict_fails_when_anything_is_missing_and_says_what(made, real, tmp_path, capsys):
    assert run(made, "--reference", real, "--strict", "--quiet") == 0
    victim = sorted(made.iterdir())[0]
    soundfile.write(victim, np.zeros(RATE), RATE)
    assert run(made, "--reference", real, "--quiet") == 0
    assert run(made, "--reference", real, "--strict", "--quiet", "--json", tmp_path / "a.json") == 2
    said = capsys.readouterr()
    assert f"{victim.stem} (generated): silent" in said.err
    assert not said.out
    assert json.loads((tmp_path / "a.json").read_text())["missing"]


def test_several_folders_are_compared(made, real, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    for sound in made.iterdir():
        soundfile.write(other / f"{sound.stem}.wav", np.roll(soundfile.read(sound)[0], 1600), RATE)
    assert run(made, other, "--reference", real, "--json", tmp_path / "a.json") == 0
    said = capsys.readouterr().out
    assert "A - B" in said
    document = json.loads((tmp_path / "a.json").read_text())
    assert [Path(s["generated"]["path"]).name for s in document["systems"]] == ["made", "other"]
    assert run(made, made, "--reference", real) == 2


@pytest.mark.parametrize(("arguments", "message"), [
    (["--suite", "scene"], "no suite 'scene'"), (["--json", "absent/a.json"], "does not exist"),
    (["--device", "tpu"], "no device 'tpu'"), (["--duration", "-1"], "-1")])
def test_mistakes_are_told_in_one_line_before_the_work(made, real, capsys, arguments, message):
    assert run(made, "--reference", real, *arguments) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.strip().splitlines()) == 1


def test_nothing_that_is_read_is_written_over(made, real, capsys):
    manifest = real / "manifest.jsonl"
    before = manifest.read_bytes()
    assert run(made, "--reference", real, "--json", manifest) == 2
    assert "not overwritten" in capsys.readouterr().err
    assert manifest.read_bytes() == before


def test_the_command_is_listed_and_its_help_is_quick_to_load():
    code = ("import sys; from postsync.cli import main\n"
            "try: main(['evaluate', '--help'])\n"
            "finally: assert 'torch' not in sys.modules, 'torch was loaded for the help'")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "--reference" in done.stdout
