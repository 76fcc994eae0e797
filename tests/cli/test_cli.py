"""The command line: quick help, lazy imports, exit codes, info and doctor, a training on real scenes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch.utils.tensorboard  # noqa: F401  (slow: not within a test)
from packaging.requirements import Requirement
from typer.testing import CliRunner

import postsync
import postsync.training.loop  # slow: not within a test
from postsync import cli, weights
from postsync.cli import doctor, families, info
from postsync.errors import MediaError
from postsync.generation.words import new_words
from postsync.scenes.families import FAMILIES


def run_main(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    return int(stopped.value.code or 0)


def fake_command(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail() -> None:
        raise error

    module = types.ModuleType("postsync.cli.fake")
    module.fail = fail  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "postsync.cli.fake", module)
    monkeypatch.setitem(cli.COMMANDS, "fake", ("fake:fail", "Fails."))


def test_help_lists_the_commands_and_imports_no_torch() -> None:
    code = ("import sys; from postsync.cli import main\n"
            "try: main(['--help'])\n"
            "except SystemExit as stop: sys.exit(stop.code or ('torch' in sys.modules))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in cli.COMMANDS:
        assert name in done.stdout


def taught() -> list[str]:
    """The families that the bundled weights name."""
    own = weights.taught_families(weights.bundled("foleygram")) or FAMILIES
    return list(dict.fromkeys((*own, *(weights.taught_families(weights.bundled("gram")) or ()))))


def test_families_come_from_the_table_of_scenes_with_prompts_that_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main("families", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in listed] == taught()
    assert all(one["kind"] in families.KINDS and not new_words([one["prompt"]], [one["name"]]) for one in listed)
    assert all(one["taught"] for one in listed)
    assert len({one["prompt"] for one in listed}) == len(taught())
    assert run_main("families") == 0
    said = capsys.readouterr().out
    assert f"The {len(taught())} families" in said
    assert "metal_strike" in said


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main("--version") == 0
    assert capsys.readouterr().out.strip() == postsync.__version__


def test_error_is_one_line_and_exit_code_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fake_command(monkeypatch, MediaError("a.mp4 is empty;\n   give a video."))
    assert run_main("fake") == 2
    assert capsys.readouterr().err == "postsync: a.mp4 is empty; give a video.\n"


def test_ctrl_c_is_exit_code_130_without_traceback(monkeypatch: pytest.MonkeyPatch,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    fake_command(monkeypatch, KeyboardInterrupt())
    assert run_main("fake") == 130
    assert "Traceback" not in capsys.readouterr().err


def test_unknown_command_and_option_are_exit_code_2() -> None:
    assert run_main("generat") == 2
    assert run_main("info", "--yaml") == 2


def test_info_says_what_is_true_today(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main("info", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts == info.collect()
    systems = {s["name"]: s for s in facts["systems"]}
    assert systems["foleygram"]["available"]
    assert systems["sounding_video"]["available"]
    assert all(b["megabytes"] <= 16 for b in facts["bundled"])


def test_info_is_short_and_tells_more_when_asked() -> None:
    short, long = (CliRunner().invoke(cli.build_app("info"), ["info", *more], env={"COLUMNS": "200"})
                   for more in ([], ["--all"]))
    assert (short.exit_code, long.exit_code) == (0, 0)
    assert len(short.stdout.splitlines()) <= 8
    for text in ("runs: video with sound; mini", "2510.05829"):
        assert text in short.stdout
    assert "does not recognise objects" in " ".join(long.stdout.split())
    assert "licence" in long.stdout
    assert "licences" not in short.stdout.replace("adds weights, licences", "")


def test_doctor_measures_what_bfloat16_gains() -> None:
    finding = next(f for f in doctor.examine() if f.name == "bfloat16")
    assert re.search(r"takes [\d.]+ times as long as in float32", finding.text)


@pytest.mark.parametrize(("name", "lowest", "tested", "state"), [
    ("typer", "0.1", None, "ok"), ("typer", "999.0", None, "bad"), ("typer", "0.1", "998.0", "note"),
    ("no-such-distribution", "1.0", None, "bad")])
def test_doctor_compares_versions(name: str, lowest: str, tested: str | None, state: str) -> None:
    assert doctor.compare(Requirement(f"{name}>={lowest}"), tested).state == state


def test_doctor_wants_the_weights_of_every_system_and_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"foleygram", "mgaudio", "mel_codec", "gram", "cavp", "timing"} <= doctor.wanted_weights()
    monkeypatch.setattr("postsync.weights.available", lambda: sorted(doctor.wanted_weights() - {"cavp"}))
    finding = next(f for f in doctor.examine() if f.name == "weights")
    assert (finding.state, "cavp" in finding.text) == ("bad", True)


def test_doctor_finds_a_broken_neighbour(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(doctor, "NEIGHBOURS", ("torchvision",))
    finding = next(f for f in doctor.examine() if f.name == "torchvision")
    assert finding.state == "bad"
    assert "nms does not exist" in finding.text
    assert "pip uninstall torchvision" in finding.advice


def test_doctor_reports_devices_and_codecs() -> None:
    findings = {f.name: f for f in doctor.examine()}
    assert findings["torch"].state in ("ok", "note")
    assert "threads" in findings["processor"].text
    assert findings["media"].state == "ok", findings["media"]
