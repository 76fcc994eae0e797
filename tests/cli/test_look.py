"""`postsync look` as a user calls it: a clip, a folder, tables that `generate` takes, bad input."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from command_line import run
from postsync.generation.looking import soundings
from postsync.generation.options import Options
from postsync.generation.requests import read_cues, read_requests
from seen_pictures import clock, film, keyboard, wall


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of a clock, and a film of two things and a wall."""
    folder = tmp_path_factory.mktemp("clips")
    film(folder / "clock.mp4", clock())
    film(folder / "film.mp4", clock(), keyboard(), wall())
    return folder


def test_a_clip_is_told_in_a_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("look", folder / "clock.mp4") == 0
    line, = capsys.readouterr().out.splitlines()
    assert line.startswith("clock 0.")
    assert line.endswith(f"“{soundings()['clock'].prompt}”")


def test_a_cue_sheet_can_be_edited_and_given_back(folder: Path, tmp_path: Path, tiny,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    sheet = tmp_path / "sheet.csv"
    assert run("look", folder / "film.mp4", "--cues", sheet) == 0
    assert "2.00 to 3.00 s: nothing that sounds was recognised" in capsys.readouterr().out
    first, second = read_cues(sheet)
    assert (first.text, second.text) == (soundings()["clock"].prompt, soundings()["keyboard"].prompt)
    text = sheet.read_text()
    assert "# 2.000,3.000,not recognised" in text
    assert run("look", folder / "film.mp4", "--cues", sheet) == 2
    assert "add --force" in capsys.readouterr().err
    sheet.write_text(text.replace("# 2.000,3.000,not recognised", "2.000,3.000,a bell"))
    assert run("generate", folder / "film.mp4", "--cues", sheet, "-o", tmp_path / "out.mp4", "--json", "-q") == 0
    options = json.loads((tmp_path / "out.mp4.json").read_text())["options"]
    assert [cue[2] for cue in options["cues"]] == [first.text, second.text, "a bell"]


def test_a_folder_becomes_a_table_for_generate(folder: Path, tmp_path: Path,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "batch.csv"
    assert run("look", folder, "--out", table, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [len(entry["shots"]) for entry in found] == [1, 3]
    assert found[0]["shots"][0]["sure"] is True
    rows = list(csv.DictReader(table.open()))
    assert [row["prompt"] for row in rows] == [soundings()["clock"].prompt, ""]
    one, other = read_requests(table, Options())
    assert one.options.prompt == soundings()["clock"].prompt
    assert [cue.text for cue in other.options.cues] == [soundings()[name].prompt for name in ("clock", "keyboard")]
    assert run("look", table, "--json") == 0  # a table can be looked at again
    assert len(json.loads(capsys.readouterr().out)) == 2


def test_bad_input(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    assert run("look", folder / "clock.mp4", tmp_path / "bad.mp4") == 2
    out, err = capsys.readouterr()
    assert out.startswith(str(folder / "clock.mp4"))
    assert "1 of 2 clips failed" in err
    assert run("look", folder, "--cues", tmp_path / "c.csv") == 2
    assert "one clip" in capsys.readouterr().err
    assert run("look", folder / "clock.mp4", "--out", folder / "clock.mp4", "--force") == 2  # never over an input
    assert (folder / "clock.mp4").stat().st_size > 1000


def test_generate_tells_what_it_saw(folder: Path, tmp_path: Path, tiny, of_scenes,
                                    capsys: pytest.CaptureFixture[str]) -> None:
    assert run("generate", folder / "clock.mp4", "-o", tmp_path / "a.mp4") == 0
    assert f"so “{soundings()['clock'].prompt}”" in capsys.readouterr().out
    assert run("generate", folder / "clock.mp4", "-o", tmp_path / "b.mp4", "--no-look", "--json") == 0
    entry, = json.loads(capsys.readouterr().out)["results"]
    assert entry["seen"] == []
    assert entry["prompt"] is None
