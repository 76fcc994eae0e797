"""The official VATT Audio of toy size, with its numbers; a tiny pipeline."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from postsync.systems.vatt import presets
from postsync.systems.vatt.checkpoint import from_official
from postsync.systems.vatt.pipeline import VATTPipeline
from postsync.systems.vatt.training import audio


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


@pytest.fixture(scope="session")
def vatt() -> VATTPipeline:
    """A pipeline of random weights over the bundled mel codec and GRAM's eyes."""
    torch.manual_seed(0)
    objective = audio("tiny")
    told_by = objective.told_by
    pipe = VATTPipeline.from_parts(presets.tiny(), objective.transformer, codec=objective.codec,
                                   converter=told_by.converter, eyes=told_by.eyes)
    for part in pipe.components.values():
        part.eval().requires_grad_(False)
    pipe.set_progress_bar_config(disable=True)
    return pipe
