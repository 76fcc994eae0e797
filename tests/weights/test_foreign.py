"""Foreign files: what is read, and what is refused."""

from __future__ import annotations

import argparse
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from postsync.errors import WeightsError
from postsync.weights.foreign import read_pickle, read_state


@pytest.mark.parametrize("place", [None, "state_dict", "model", "module"])
def test_the_state_dict_is_found_where_it_lies(tmp_path, place):
    state = {"a": torch.arange(3.0)}
    content = state if place is None else {place: state | {"note": "no tensor"}, "epoch": 3, "a": torch.zeros(1)}
    torch.save(content, tmp_path / "file.pt")
    assert read_state(tmp_path / "file.pt").keys() == {"a"}
    assert torch.equal(read_state(tmp_path / "file.pt")["a"], state["a"])


def test_old_files_and_safetensors_are_read(tmp_path):
    state = {"a": torch.arange(3.0)}
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file(state, tmp_path / "new.safetensors")
    for name in ("old.pth", "new.safetensors"):
        assert torch.equal(read_state(tmp_path / name)["a"], state["a"])
    (tmp_path / "new.safetensors").write_bytes((tmp_path / "new.safetensors").read_bytes()[:-1])
    with pytest.raises(WeightsError, match="damaged"):
        read_state(tmp_path / "new.safetensors")


def test_numbers_of_numpy_may_lie_beside_the_tensors(tmp_path):
    torch.save({"state_dict": {"a": torch.zeros(1)}, "best": np.float64(0.5), "step": np.int64(7)}, tmp_path / "c.pt")
    assert read_pickle(tmp_path / "c.pt")["step"] == 7
    assert np.dtype not in torch.serialization.get_safe_globals()  # allowed for that one file only


def test_code_damage_and_other_files_are_refused(tmp_path):
    torch.save({"a": torch.zeros(1000)}, tmp_path / "whole.pt")
    content = (tmp_path / "whole.pt").read_bytes()
    damaged = {"half.pt": content[: len(content) // 2], "empty.pt": b"", "page.pt": b"<html>not found</html>",
               "code.pt": pickle.dumps({"model": pytest.approx})}
    for name, data in damaged.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(WeightsError, match="is refused"):
            read_state(tmp_path / name)
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "script.pt")
    with pytest.raises(WeightsError, match="is refused"):
        read_state(tmp_path / "script.pt")
    torch.save({"epoch": 3}, tmp_path / "bare.pt")
    with pytest.raises(WeightsError, match="no state dict"):
        read_state(tmp_path / "bare.pt")
    with pytest.raises(WeightsError, match="no checkpoint at"):
        read_state(tmp_path / "absent.pt")


def test_containers_are_tried_in_the_order_asked_for_and_within_each_other(tmp_path):
    """REPA keeps `ema` beside `model`, and its arguments; Lightning nests."""
    state = {"a": torch.arange(3.0)}
    torch.save({"model": {"b": torch.zeros(1)}, "ema": state, "args": argparse.Namespace(lr=1.0)}, tmp_path / "r.pt")
    assert read_state(tmp_path / "r.pt", ("ema", "model")).keys() == {"a"}
    assert read_state(tmp_path / "r.pt", ("model",)).keys() == {"b"}
    assert argparse.Namespace not in torch.serialization.get_safe_globals()
    torch.save({"state_dict": {"module": state}}, tmp_path / "n.pt")
    assert read_state(tmp_path / "n.pt").keys() == {"a"}


def test_importing_the_package_of_weights_loads_no_torch():
    code = "import sys, postsync.weights; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
