"""I3D with recipe weights against the official port, and how clips become stacks."""

import json
import math
from collections.abc import Iterator

import pytest
import torch
from safetensors.torch import load_file

from postsync.encoders.i3d import I3d, flow_stacks, from_official, picture_stacks, scale_flow
from postsync.errors import WeightsError


def recipe(shapes: dict[str, list[int]], seed: int) -> Iterator[tuple[str, torch.Tensor]]:
    """The weights that the golden numbers were made with."""
    for i, (key, shape) in enumerate(sorted(shapes.items(), key=lambda item: item[0].encode())):
        if key.endswith("num_batches_tracked"):
            yield key, torch.zeros(shape, dtype=torch.int64)
            continue
        drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed * 100003 + i))
        if drawn.dim() > 1:
            yield key, drawn * math.sqrt(2 / (drawn.numel() / shape[0]))
        elif key.endswith("running_var"):
            yield key, 1 + 0.1 * drawn.abs()
        else:
            yield key, 0.1 * drawn if key.endswith(("running_mean", "bias")) else 1 + 0.1 * drawn


def official(golden, kind, name):
    checks = json.loads((golden("i3d_recipe") / f"{name}_weight_checks.json").read_text())
    shapes = json.loads((golden("eval_extractors") / "state_dict_shapes.json").read_text())[f"i3d_{kind}_favd"]
    state = dict(recipe(shapes, checks["seed"]))
    for key, (total, first, last) in checks["checks"].items():
        values = state[key].double().flatten()
        assert values.sum().item() == pytest.approx(total, abs=1e-2)
        assert (values[0].item(), values[-1].item()) == pytest.approx((first, last), abs=1e-6)
    return state, load_file(golden("i3d_recipe") / f"{name}.safetensors")


def clips_of(io):
    """(network input, in_channels); every small pixel stands for 4 x 4."""
    small = io.get("rgb_small_uint8_TCHW")
    scaled = 2 * small.float() / 255 - 1 if small is not None else scale_flow(io["flow_small_TCHW"])
    return scaled.transpose(0, 1)[None].repeat_interleave(4, -1).repeat_interleave(4, -2)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


@pytest.fixture(scope="module")
def files(golden):
    """(kind, file's stem) of both streams, whatever their number of frames."""
    return [(path.stem.split("_")[0], path.stem) for path in sorted(golden("i3d_recipe").glob("*.safetensors"))]


@pytest.mark.golden
@torch.no_grad()
@pytest.mark.parametrize("stream", [0, 1])
def test_stages_features_and_logits(golden, files, stream):
    kind, name = files[stream]
    state, io = official(golden, kind, name)
    model = from_official(state)
    seen = {}
    stages = [key.removeprefix("stage.").removesuffix(".shape") for key in io if key.endswith(".shape")]
    for stage in stages:
        model.get_submodule(stage).register_forward_hook(lambda _m, _a, out, stage=stage: seen.update({stage: out}))
    found = model(clips_of(io))
    for stage in stages:
        assert list(seen[stage].shape) == io[f"stage.{stage}.shape"].tolist()
        close(seen[stage].mean((0, 2, 3, 4)), io[f"stage.{stage}.mean"])
        close(seen[stage].std((0, 2, 3, 4), correction=0), io[f"stage.{stage}.std"])
        close(seen[stage][0, 0, 0], io[f"stage.{stage}.c0_t0"])
    close(found["features"], io["features_1024"])
    close(found["logits"], io["logits_400"])
    if kind == "rgb":  # one stream tells for both
        found = from_official(state, eps=1e-3)(clips_of(io))
        close(found["features"], io["bn_eps_1e-3.features_1024"])
        close(found["logits"], io["bn_eps_1e-3.logits_400"])


@pytest.mark.golden
def test_flow_is_scaled_as_stored_pictures(golden, files):
    io = load_file(golden("i3d_recipe") / f"{dict(files)['flow']}.safetensors")
    torch.testing.assert_close(scale_flow(io["flow_small_TCHW"][0]), io["flow_scaled_first_frame_small"])


def test_flow_limits():
    found = scale_flow(torch.tensor([0.0, 20.0, 99.0, -20.0]))
    torch.testing.assert_close(found, torch.tensor([2 * 128 / 255 - 1, 2 * 256 / 255 - 1, 2 * 256 / 255 - 1, -1.0]))


@pytest.mark.parametrize(("frames", "stacks"), [(24, 0), (25, 1), (48, 1), (49, 2)])
def test_stacks_advance_by_twenty_four(frames, stacks):
    clip = torch.zeros(frames, 3, 224, 288, dtype=torch.uint8)
    clip[24:] = 255
    found = picture_stacks(clip)
    assert len(found) == len(flow_stacks(torch.zeros(frames - 1, 2, 224, 256))) == stacks
    for stack, value in zip(found, (-1.0, 1.0)):
        assert stack.shape == (3, 24, 224, 224)
        assert stack.eq(value).all()


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return I3d(num_classes=5, shrink=16).eval()


def test_rows_of_a_clip(tiny):
    frames = torch.randint(0, 256, (25, 3, 40, 30), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    rows = tiny.features(frames)
    assert {name: tuple(row.shape) for name, row in rows.items()} == {"features": (1, 64), "logits": (1, 5)}
    assert {name: len(row) for name, row in tiny.features(frames[:20]).items()} == {"features": 0, "logits": 0}


def test_folder_there_and_back(tiny, tmp_path):
    tiny.save_pretrained(tmp_path)
    again = I3d.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(value, again[key]) for key, value in tiny.state_dict().items())


def test_the_other_ports_names_are_read(tiny):
    names = {"conv3d_0c_1x1.": "logits.", "conv3d_1a": "Conv3d_1a", "conv3d_2": "Conv3d_2", "mixed_": "Mixed_",
             ".batch3d.": ".bn.", ".branch_0.": ".b0.", ".branch_1.0.": ".b1a.", ".branch_1.1.": ".b1b.",
             ".branch_2.0.": ".b2a.", ".branch_2.1.": ".b2b.", ".branch_3.1.": ".b3b."}
    state = {}
    for key, value in tiny.state_dict().items():
        for ours, theirs in names.items():
            key = key.replace(ours, theirs)
        state[key] = value
    again = from_official(state, num_classes=5, shrink=16)
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in tiny.state_dict().items())
    assert again.config["eps"] == 1e-3
    with pytest.raises(WeightsError, match="not a checkpoint of I3D"):
        from_official(state)
