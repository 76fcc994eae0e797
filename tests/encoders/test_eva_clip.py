"""The visual tower against the official module, and its position table and frames."""

import json

import pytest
import torch
from safetensors.torch import load_file

from postsync.encoders.eva_clip import (
    IMAGE_MEAN,
    IMAGE_STD,
    EvaClipConfig,
    EvaClipVision,
    normalize_images,
    resize_positions,
)


@pytest.fixture(scope="module")
def official(golden):
    folder = golden("eva_clip_tiny")
    tensors = load_file(folder / "case.safetensors")
    sizes = json.loads((folder / "config.json").read_text())
    config = EvaClipConfig(image_size=sizes["img"], patch_size=sizes["patch_size"], width=sizes["width"],
                           depth=sizes["depth"], heads=sizes["heads"], mlp_ratio=sizes["mlp_ratio"],
                           head_dim=sizes["emb"], layer_norm_eps=sizes["ln_eps"])
    model = EvaClipVision(config).eval()
    model.load_state_dict({k.removeprefix("state_dict."): v for k, v in tensors.items() if k.startswith("state_dict.")})
    return model, {k.removeprefix("io."): v for k, v in tensors.items() if k.startswith("io.")}


def tiny_tower(**changes):
    torch.manual_seed(0)
    sizes = {"image_size": 16, "patch_size": 8, "width": 16, "depth": 2, "heads": 2}
    return EvaClipVision(EvaClipConfig(**{**sizes, **changes}))


@pytest.mark.golden
@torch.no_grad()
def test_tokens_and_head_match_the_official_module(official):
    model, io = official
    tokens = model(io["pixels"])
    torch.testing.assert_close(tokens, io["features_all_tokens"], atol=2e-5, rtol=0)
    torch.testing.assert_close(tokens[:, 0], io["features_cls"], atol=2e-5, rtol=0)
    torch.testing.assert_close(model.head(tokens[:, 0]), io["head_output"], atol=2e-5, rtol=0)


@pytest.mark.golden
@torch.no_grad()
def test_every_stage_matches(official):
    model, io = official
    seen = {}
    model.patch_embed.register_forward_hook(lambda _m, _i, out: seen.update(patch_embed=out))
    model.blocks[0].register_forward_pre_hook(lambda _m, args: seen.update(embedded=args[0]))
    for i, block in enumerate(model.blocks):
        block.register_forward_hook(lambda _m, _i, out, name=f"block_{i}": seen.update({name: out}))
    model(io["pixels"])
    stages = {k.removeprefix("stage."): v for k, v in io.items() if k.startswith("stage.")}
    assert stages.keys() == seen.keys()
    for name, expected in stages.items():
        torch.testing.assert_close(seen[name], expected, atol=2e-5, rtol=0)


@pytest.mark.golden
def test_the_published_sizes_have_the_official_layout(golden):
    layout = json.loads((golden("eva_clip_tiny") / "full_layout_visual.json").read_text())
    with torch.device("meta"):
        model = EvaClipVision(EvaClipConfig(head_dim=layout["config"]["embed_dim_head"]))
    assert {k: list(v.shape) for k, v in model.state_dict().items()} == layout["state_dict"]


@torch.no_grad()
def test_keys_have_no_bias_that_matters():
    """Softmax ignores what is added to every key alike; values and queries do have a bias that counts."""
    model, pixels = tiny_tower().eval(), torch.rand(1, 3, 16, 16)
    before = model(pixels)
    model.blocks[0].attn.v_bias += 1.0
    assert not torch.allclose(model(pixels), before, atol=1e-3)


@torch.no_grad()
def test_drop_path_acts_in_training_only():
    model, pixels = tiny_tower(drop_path_rate=0.9), torch.rand(2, 3, 16, 16)
    assert model.blocks[0].drop_rate == 0
    assert torch.equal(model.eval()(pixels), model(pixels))
    model.train()
    assert not torch.equal(model(pixels), model(pixels)) or not torch.equal(model(pixels), model(pixels))


def test_frames_are_squeezed_to_a_square_and_normalised():
    frames = torch.zeros(2, 3, 3, 20, 40)
    frames[..., 0, :, :] = 1.0
    pixels = normalize_images(frames, 8)
    assert pixels.shape == (2, 3, 3, 8, 8)
    expected = [(c - m) / s for c, m, s in zip((1.0, 0.0, 0.0), IMAGE_MEAN, IMAGE_STD)]
    torch.testing.assert_close(pixels[1, 2, :, 4, 4], torch.tensor(expected))


def test_position_table_keeps_class_token_and_follows_the_grid():
    table = torch.zeros(1, 1 + 16, 2)
    table[0, 0] = 7.0
    table[0, 1:, 0] = torch.arange(4.0).repeat(4)  # grows from left to right
    resized = resize_positions(table, 64)
    assert resized.shape == (1, 65, 2)
    assert (resized[0, 0] == 7).all()
    grid = resized[0, 1:, 0].view(8, 8)
    assert (grid.diff(dim=1)[:, 1:-1] > 0).all()
    torch.testing.assert_close(grid[0], grid[7])
    assert resize_positions(table, 16) is table


@torch.no_grad()
def test_recorded_value():
    pixels = torch.linspace(-1, 1, 3 * 16 * 16).view(1, 3, 16, 16)
    assert tiny_tower().eval()(pixels)[0, 0, :2].tolist() == pytest.approx(RECORDED, abs=1e-4)


RECORDED = [0.449281, -0.374419]
