"""SyncFusion's onset network against official numbers, and how onsets are picked."""

from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors.torch import load_file

from postsync.errors import WeightsError
from postsync.timing.onset_net import OnsetNet, from_official, onsets


def official(model: OnsetNet) -> dict[str, torch.Tensor]:
    return {key if key.startswith("fc.") else f"net.model.{key}": value for key, value in model.state_dict().items()}


def ruled(shapes: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    """The weights of the golden folder's rule."""
    state = {}
    for k, (key, shape) in enumerate(shapes.items()):
        if key.endswith("num_batches_tracked"):
            state[key] = torch.zeros((), dtype=torch.int64)
            continue
        i = torch.arange(math.prod(shape), dtype=torch.int64)
        s = torch.sin(2 * math.pi * ((37 * i * i + 11 * i) % 10007).double() / 10007 + 1.3 * k)
        if key.endswith("running_var"):
            s = 1 + 0.2 * s
        elif key.endswith("running_mean") or (len(shape) == 1 and not key.endswith("weight")):
            s = 0.1 * s
        elif len(shape) == 1:
            s = 1 + 0.1 * s
        else:
            s = s * math.sqrt(2 / math.prod(shape[1:]))
        state[key] = s.float().reshape(shape)
    return state


@pytest.mark.golden
def test_official_numbers(golden):
    case = load_file(golden("syncfusion_onset_net") / "data.safetensors")
    shapes = json.loads((golden("foleygram_key_shapes") / "syncfusion_onset_net.json").read_text())
    model = from_official(ruled(shapes))
    with torch.no_grad():
        torch.testing.assert_close(model.features(case["in.frames"]), case["out.features"], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(model(case["in.frames"]), case["out.logits"], atol=1e-4, rtol=1e-4)


@pytest.mark.golden
def test_official_layout(golden):
    shapes = json.loads((golden("foleygram_key_shapes") / "syncfusion_onset_net.json").read_text())
    model = from_official({key: torch.empty(shape, device="meta") for key, shape in shapes.items()})
    assert {key: list(value.shape) for key, value in official(model).items()} == shapes


def test_time_is_kept_and_sizes_are_read_from_the_file():
    torch.manual_seed(0)
    model = OnsetNet((4, 6, 8, 10), hidden=5).eval()
    again = from_official(official(model))
    frames = torch.randn(2, 3, 7, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert model(frames).shape == (2, 7)
        torch.testing.assert_close(again(frames), model(frames))
    with pytest.raises(WeightsError, match="onset network"):
        from_official({"fc.0.bias": torch.zeros(3)})


def test_onsets_are_picked_by_probability_and_kept_apart():
    logits = torch.full((60,), -5.0)
    logits[[10, 12, 30, 50]] = torch.tensor([3.0, 2.0, 1.0, -0.1])
    assert onsets(logits).tolist() == pytest.approx([10 / 15, 30 / 15])
    assert onsets(torch.full((20,), -1.0)).tolist() == []
    assert onsets(torch.zeros(0)).tolist() == []
