"""What a run says: which tracker it uses, a line a step, and nothing in other processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.utils.tensorboard  # noqa: F401  (slow: not within a test)
from accelerate.utils import LoggerType

from postsync.errors import PostsyncError
from postsync.training import run_log
from postsync.training.run_log import RunLog, tracker_named


def test_trackers_are_those_that_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "get_available_trackers", lambda: [LoggerType.TENSORBOARD, LoggerType.WANDB])
    assert [tracker_named(name) for name in (None, "wandb", "none")] == ["tensorboard", "wandb", None]
    with pytest.raises(PostsyncError, match=r"tracker 'mlflow' is not installed; use tensorboard, wandb, none"):
        tracker_named("mlflow")
    monkeypatch.setattr(run_log, "get_available_trackers", lambda: [])
    assert tracker_named(None) is None


def test_a_line_a_step_is_appended(tmp_path: Path) -> None:
    for step in (1, 2):
        with RunLog(tmp_path / "run", shown=False) as log:
            log.prepared(1, 1)
            log.step(step, 0.5, {"loss": 0.25})
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == [(1, 0.25), (2, 0.25)]
    assert all(line["seconds"] >= 0 for line in lines)


def test_other_processes_write_nothing(tmp_path: Path) -> None:
    with RunLog(tmp_path / "run", shown=True, main=False) as log:
        log.prepared(1, 1)
        log.step(1, 0.5, {"loss": 0.25})
    assert not (tmp_path / "run").exists()


def test_progress_is_shown_on_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with RunLog(tmp_path, shown=True) as log:
        log.prepared(3, 4)
        log.step(5, 1.0, {"loss": 0.25})
    said = capsys.readouterr()
    assert said.out == ""
    assert "5" in said.err
    assert "loss 0.25" in said.err
