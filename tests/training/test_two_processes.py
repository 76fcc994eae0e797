"""Two processes train what one does that accumulates twice as many batches."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

DRIVER = str(Path(__file__).with_name("two_processes_driver.py"))
LAUNCH = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1",
          "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]


def run(*arguments: str) -> None:
    """Python with these arguments; a failure shows what it wrote."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]


def test_two_processes_equal_one(tmp_path: Path) -> None:
    for name, launch, accumulation in (("one", [], "2"), ("two", LAUNCH, "1")):
        run(*launch, DRIVER, str(tmp_path / name), accumulation)
    one, two = (load_file(tmp_path / name / "export" / "transformer" / "diffusion_pytorch_model.safetensors")
                for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name].float(), value.float(), atol=2e-3, rtol=2e-3)  # stored as float16
    assert len((tmp_path / "two" / "log.jsonl").read_text().splitlines()) == 2  # one process tells
    assert any(value.ne(0).any() for name, value in one.items() if name.startswith("final_layer"))


def test_all_processes_go_by_one_clock(tmp_path: Path) -> None:
    run(*LAUNCH, DRIVER, str(tmp_path / "run"), "1", "late")
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    steps = json.loads((tmp_path / "run" / "export" / "training.json").read_text())["steps"]
    assert 0 < lines[-1]["step"] == steps
