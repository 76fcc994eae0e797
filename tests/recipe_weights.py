"""The seeded weights of golden eval_extractors: networks too large for their weights to be stored."""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from torch import Tensor


def recipe_state(folder: Path, name: str, kept: dict[str, Tensor]) -> dict[str, Tensor]:
    """State dict of network `name` by the recipe in the folder's README; `kept` are tensors that it does not draw."""
    shapes = json.loads((folder / "state_dict_shapes.json").read_text())[name]
    checks = json.loads((folder / f"{name}_weight_checks.json").read_text())
    state = {}
    for index, key in enumerate(sorted(shapes)):
        if key in kept:
            state[key] = kept[key]
            continue
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(0)
            continue
        generator = torch.Generator().manual_seed(checks["seed"] * 100003 + index)
        drawn = torch.randn(shapes[key], generator=generator)
        if drawn.dim() > 1:
            drawn *= math.sqrt(2 / (drawn.numel() / len(drawn)))
        elif key.endswith("running_var"):
            drawn = 1 + 0.1 * drawn.abs()
        else:
            drawn = 0.1 * drawn + (0 if key.endswith(("running_mean", "bias")) else 1)
        total, first, last = checks["checks_sum_first_last"][key]
        assert math.isclose(first, float(drawn.flatten()[0]), abs_tol=1e-6)
        assert math.isclose(last, float(drawn.flatten()[-1]), abs_tol=1e-6)
        assert math.isclose(total, float(drawn.sum(dtype=torch.float64)), abs_tol=1e-2)
        state[key] = drawn
    return state
