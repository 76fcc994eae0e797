"""The official VATT Audio of toy size, with its numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from safetensors.torch import load_file

from postsync.systems.vatt.checkpoint import from_official


@pytest.fixture
def official(golden) -> Callable[[str], Any]:
    """`official(name)` -> network, tensors in and out, and settings of a golden folder."""

    def load(name: str) -> Any:
        folder = golden(name)
        config = json.loads((folder / "config.json").read_text())
        network, skipped = from_official(load_file(folder / "state_dict.safetensors"),
                                         load_file(folder / "codebooks.safetensors")["codebooks"],
                                         num_heads=config["config"]["num_heads"])
        assert list(skipped) == ["pos_embed"]
        return network, load_file(folder / "io.safetensors"), config

    return load
