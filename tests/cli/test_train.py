"""`postsync train`: what it writes, parts and options by name, trackers, and what it refuses."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import pytest
import torch
import torch.utils.tensorboard  # slow: not within a test
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner

import postsync.cli.data
import postsync.training.loop  # noqa: F401  (slow: not within a test)
from postsync import cli, registry
from postsync.protocols.clip import Clip
from postsync.protocols.objective import Batch, ClipRequest, Objective
from postsync.protocols.system import Option, Trainable
from postsync.protocols.train_config import TrainConfig

QUICK = ("--count", "2", "--steps", "2", "--batch-size", "2", "--cpu", "--quiet", "--clean")


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `postsync ARGUMENTS`."""
    with pytest.raises(SystemExit) as stop:
        cli.main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return int(stop.value.code or 0), said.out, said.err


class Peak(Objective):
    """Learns the peak of a sound, to a power that is an option, from a start that is a part."""

    def __init__(self, preset: str, start: Path | None = None, power: float = 1.0, absolute: bool = False) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.tensor(0.0 if start is None else float((start / "level.txt").read_text())))
        self.power, self.preset, self.absolute = power, preset, absolute

    @property
    def wants(self) -> ClipRequest:
        return ClipRequest(None, 16000, 0.5)

    def prepare(self, clip: Clip) -> Batch:
        assert clip.waveform is not None
        return {"peak": clip.waveform.abs().max() ** self.power}

    def forward(self, batch: Batch, *, step: int, teacher: nn.Module | None = None,
                generator: torch.Generator | None = None) -> Batch:
        return {"loss": (batch["peak"] - self.level).square().mean()}

    def export(self, folder: Path) -> None:
        settings = {"power": self.power, "preset": self.preset, "absolute": self.absolute}
        save_file({"level": self.level.detach().half()}, folder / "level.safetensors", metadata={
            "settings": json.dumps(settings)})
        (folder / "settings.json").write_text(json.dumps(settings | {"level": float(self.level.detach())}))


@pytest.fixture
def peak(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trainable "peak" with a part and two options, known to the registry."""
    module = types.ModuleType("peak_trainable")
    module.peak = Peak  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "peak_trainable", module)
    monkeypatch.setitem(registry.TRAINABLES, "peak", Trainable(
        "peak", "the peak of a sound", "peak_trainable:peak", TrainConfig(steps=2, batch_size=2, lr=0.0), count=2,
        presets=("mini",), parts={"start": "a file level.txt"},
        options={"power": Option(float, "of the peak", 1.0, low=0.5, high=4.0), "absolute": Option(bool, "nothing")}))


def test_train_writes_an_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "train", "vae", "--preset", "tiny", "--out", tmp_path, *QUICK)
    assert (code, out.strip(), err) == (0, str(tmp_path / "export"), "")
    assert list((tmp_path / "export").rglob("*.safetensors"))
    assert json.loads((tmp_path / "export" / "training.json").read_text())["steps"] == 2
    assert list((tmp_path / "logs").rglob("events.out.tfevents*"))
    code, out, err = run(capsys, "train", "vae", "--preset", "tiny", "--out", tmp_path, *QUICK, "--resume", "--steps",
                         "3", "--tracker", "none")
    assert (code, err) == (0, "")
    assert json.loads((tmp_path / "export" / "training.json").read_text())["steps"] == 3


def test_parts_and_options_reach_the_objective(peak: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "start").mkdir()
    (tmp_path / "start" / "level.txt").write_text("0.25")
    code, out, _ = run(capsys, "train", "peak", "--out", tmp_path / "run", *QUICK, "--tracker", "none", "--part",
                       f"start={tmp_path / 'start'}", "--set", "power=2", "--set", "absolute=yes")
    assert code == 0
    assert json.loads((Path(out.strip()) / "settings.json").read_text()) == {
        "power": 2.0, "preset": "mini", "absolute": True, "level": 0.25}
    assert not (tmp_path / "run" / "logs").exists()


@pytest.mark.parametrize(("arguments", "message"), [
    (("--set", "power=9"), "power is 9; it must be a number from 0.5 to 4"),
    (("--set", "gain=1"), "peak has no option gain; its options are absolute, power"),
    (("--set", "power"), "write --set NAME=VALUE"),
    (("--set", "power=1", "--set", "power=2"), "power is given twice"),
    (("--part", "codec=."), "peak has no part codec; its parts are start"),
    (("--part", "start=none"), "no such folder"),
    (("--part", "start"), "write --part NAME=FOLDER"),
    (("--preset", "tiny"), "peak has no preset 'tiny'"),
    (("--tracker", "abacus"), "tracker 'abacus' is not installed"),
    (("--resume",), "nothing to resume")])
def test_what_is_wrong_is_one_sentence(peak: None, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                       arguments: tuple[str, ...], message: str) -> None:
    code, out, err = run(capsys, "train", "peak", "--out", tmp_path / "run", *QUICK, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("postsync: ")
    assert err.count("\n") == 1
    assert message in err


@pytest.mark.parametrize("command", [("train",), ("data", "cache")])
def test_help_names_presets_and_parts_from_the_tables(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli.build_app(command[0]), [*command, "--help"], env={"COLUMNS": "300"})
    said = " ".join(result.stdout.replace("│", " ").split())
    assert "base (foleygram_control)" in said
    assert "cavp, video_features (mgaudio)" in said
    assert ("codec (vocoder, codebooks, audioldm, foleygram, foleygram_base, foleygram_control, mel_ear, mgaudio, "
            "vatt_audio, sounding_video)") in said
    assert "paper-L, paper-XL (mgaudio)" in said
    assert "Sizes: mini; tiny (vae, vocoder" in said
