"""A system in a package of somebody else's (`toy_package`), through the real command.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from postsync import cli, registry
from postsync.media.video import probe
from postsync.scenes.export import render_mp4
from postsync.scenes.render import clean_scenes, render_scene

PACKAGE = Path(__file__).parent / "toy_package"


@pytest.fixture(scope="module", autouse=True)
def installed() -> Iterator[None]:
    """The package is on the path, as an installed one is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(PACKAGE)
        registry.collect()
        yield
    registry.collect()


def run(*arguments: object, code: int = 0) -> str:
    """Standard output of the command, which ends with `code`; with another code than 0, standard error."""
    said, mistakes = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(mistakes), pytest.raises(SystemExit) as stopped:
        cli.main([*map(str, arguments)])
    assert int(stopped.value.code or 0) == code, mistakes.getvalue()
    return mistakes.getvalue() if code else said.getvalue()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "hammer.mp4"
    render_mp4(render_scene(3, clean_scenes(duration_s=0.8, families=("metal_strike",))), path, with_audio=False)
    (path.parent / "e.csv").write_text("0,0.3\n0.8,0.3\n")
    return path


def brightness(path: Path) -> float:
    """Mean frequency of a recording, Hz."""
    waveform, rate = soundfile.read(path)
    power = np.abs(np.fft.rfft(waveform[:, 0])) ** 2
    return float((power * np.arange(len(power))).sum() / power.sum() * rate / len(waveform))


def command(*arguments: str) -> str:
    """Standard output of the command in a process of its own, which finds the package by itself."""
    path = os.pathsep.join([str(PACKAGE), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run([sys.executable, "-m", "postsync", *arguments], capture_output=True, text=True, check=True,
                          env=os.environ | {"PYTHONPATH": path, "COLUMNS": "200"}).stdout


def test_it_is_listed_with_its_knob_its_guide_and_what_can_be_trained() -> None:
    facts = json.loads(command("info", "--json"))
    toy = next(s for s in facts["systems"] if s["name"] == "toy")
    assert toy["available"]
    assert "-24 to 24 dB" in toy["options"]["tilt"]
    assert "quiet" in [g["name"] for g in facts["guides"]]
    assert "toy_colour" in [t["name"] for t in facts["trainables"]]
    shown = command("generate", "--help")
    assert "tilt" in shown
    assert "quiet.strength" in shown


def test_it_generates_in_stereo_with_its_knob_and_repeats_byte_for_byte(clip: Path) -> None:
    folder = clip.parent
    common = ("generate", clip, "--system", "toy", "--envelope", folder / "e.csv", "--seed", 4)
    said = run(*common, "--set", "tilt=-20", "-o", folder / "dark.mp4", "--wav", folder / "dark.wav")
    assert "caption: noise" in said
    run(*common, "--set", "tilt=20", "-o", folder / "bright.mp4", "--wav", folder / "bright.wav")
    assert brightness(folder / "bright.wav") > 1.5 * brightness(folder / "dark.wav")
    waveform, rate = soundfile.read(folder / "dark.wav")
    assert waveform.shape == (round(probe(clip).duration_s * rate), 2)
    assert not np.array_equal(waveform[:, 0], waveform[:, 1])
    sidecar = json.loads((folder / "dark.mp4.json").read_text())
    assert (sidecar["options"]["system"], sidecar["options"]["settings"]) == ("toy", {"tilt": -20.0})
    assert list(sidecar["weights"]) == ["weights/toy.safetensors"]
    run("generate", "--from", folder / "dark.mp4.json", "-o", folder / "again.mp4")
    assert (folder / "again.mp4").read_bytes() == (folder / "dark.mp4").read_bytes()
    run("generate", folder / "dark.mp4", "--redo", 0.2, 0.5, "--seed", 5, "-o", folder / "redo.mp4", "--wav",
        folder / "redo.wav")
    changed = np.flatnonzero((soundfile.read(folder / "redo.wav")[0] != waveform).any(1))
    assert 0.2 * rate <= changed.min() < changed.max() < 0.5 * rate


@pytest.mark.parametrize("system", ["toy", "foleygram"])
def test_its_guide_takes_gradients_through_the_command_on_any_system(clip: Path, system: str) -> None:
    folder, quiet = clip.parent, clip.parent / f"{system}.quiet.mp4"
    common = ("generate", clip, "--system", system, "--envelope", folder / "e.csv", "--seed", 4, "--steps", 3)
    run(*common, "-o", folder / f"{system}.mp4")
    run(*common, "--guide", "quiet", "--set", "quiet.strength=0.5", "-o", quiet)
    plain, guided = (json.loads(path.with_name(path.name + ".json").read_text())
                     for path in (folder / f"{system}.mp4", quiet))
    assert plain["soundtrack"]["sha256"] != guided["soundtrack"]["sha256"]
    assert guided["gain_db"] > plain["gain_db"]  # what is quieter is brought up further
    run("generate", "--from", quiet, "-o", folder / f"{system}.repeated.mp4")
    assert (folder / f"{system}.repeated.mp4").read_bytes() == quiet.read_bytes()


@pytest.mark.parametrize(("arguments", "word"), [
    (["--set", "tilt=99"], "from -24 to 24 dB"), (["--set", "tint=1"], "toy has no option tint; its options are tilt"),
    (["--part", "codec=."], "toy has no part codec; it has none"), (["--guide", "loud"], "no guide 'loud'"),
    (["--guide", "quiet", "--set", "quiet.length=2"], "guide quiet has no option length"),
    (["--prompt", "rain"], "toy does not take prompt")])
def test_what_it_does_not_have_is_refused_in_one_line(clip: Path, arguments: list[str], word: str) -> None:
    said = run("generate", clip, "--system", "toy", "--quiet", *arguments, code=2)
    assert said.count("\n") == 1
    assert word in said


def test_it_is_trained_and_what_comes_out_runs(clip: Path, tmp_path: Path) -> None:
    said = run("train", "toy_colour", "--out", tmp_path, "--set", "bands=4", "--steps", 5, "--cpu", "--quiet")
    assert said.strip() == str(tmp_path / "export")
    run("generate", clip, "--system", "toy", "--preset", tmp_path / "export", "--seed", 1, "-o", tmp_path / "out.mp4")
    assert probe(tmp_path / "out.mp4").has_audio
    assert "from 2 to 64" in run("train", "toy_colour", "--out", tmp_path, "--set", "bands=1", "--cpu", code=2)
