"""The DiT and its control branch against official numbers, and what must hold at any size."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from postsync.diffusion.guidance import classifier_free_guidance
from postsync.errors import ConditionError
from postsync.systems.foleygram.controlnet import DiTControlNet
from postsync.systems.foleygram.dit import StableAudioDiT

TINY = {"io_channels": 4, "embed_dim": 128, "num_heads": 2, "cond_token_dim": 64, "global_cond_dim": 32, "ff_mult": 1.0}
CLOSE = {"atol": 2e-5, "rtol": 1e-4}


def randomised(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """The model with every parameter drawn anew, so that no zero start hides a part."""
    generator = torch.Generator().manual_seed(seed)
    for p in model.parameters():
        p.data = torch.randn(p.shape, generator=generator) * (0.3 if p.dim() < 2 else p[0].numel() ** -0.5)
    return model.eval()


def tiny_inputs(frames: int = 7) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    return {"x": torch.randn(2, 4, frames, generator=g), "t": torch.rand(2, generator=g),
            "cross_attn_cond": torch.randn(2, 3, 64, generator=g), "global_cond": torch.randn(2, 32, generator=g)}


@pytest.fixture
def official(golden):
    folder = golden("foleygram_controlnet_dit")
    data = load_file(folder / "data.safetensors")
    config = json.loads((folder / "config.json").read_text())
    sizes = {k: config["config"][k] for k in ("io_channels", "embed_dim", "num_heads", "cond_token_dim",
                                              "global_cond_dim")}
    dit = StableAudioDiT(**sizes, depth=config["config"]["depth"]).eval()
    branch = DiTControlNet(**sizes, depth=config["controlnet_depth"]).eval()
    for model, prefix in ((dit, "sd.model."), (branch, "sd.controlnet.")):
        state = {k.removeprefix(prefix): v.float() for k, v in data.items() if k.startswith(prefix)}
        model.load_state_dict(state, strict=True)
    inputs = {k: data[f"in.{k}"] for k in ("x", "t", "cross_attn_cond", "global_cond")}
    return dit, branch, inputs, data


@pytest.mark.golden
@torch.no_grad()
def test_official_dit(official):
    dit, _, inputs, data = official
    out = dit(**inputs)
    torch.testing.assert_close(out, data["out.dit_only"], **CLOSE)
    empty = dit(**inputs | {"cross_attn_cond": torch.zeros_like(inputs["cross_attn_cond"])})
    torch.testing.assert_close(classifier_free_guidance(out, empty, 3.0), data["out.dit_only_cfg3"], **CLOSE)


@pytest.mark.golden
@torch.no_grad()
def test_official_control(official):
    dit, branch, inputs, data = official
    control = data["in.controlnet_cond"]

    def controlled(scale: float = 1.0, condition_scale: float = 1.0, **changes: torch.Tensor) -> torch.Tensor:
        given = inputs | changes
        return dit(**given, controls=branch(control=control, condition_scale=condition_scale, **given),
                   control_scale=scale)

    for i, embed in enumerate(branch(control=control, **inputs)):
        torch.testing.assert_close(embed, data[f"out.controlnet_embeds.{i}"], **CLOSE)
    out = controlled()
    torch.testing.assert_close(out, data["out.controlled"], **CLOSE)
    torch.testing.assert_close(controlled(0.5, 0.25), data["out.controlled_scaled"], **CLOSE)
    empty = controlled(cross_attn_cond=torch.zeros_like(inputs["cross_attn_cond"]))
    torch.testing.assert_close(classifier_free_guidance(out, empty, 3.0), data["out.controlled_cfg3"], **CLOSE)


@pytest.mark.golden
@pytest.mark.parametrize(("table", "prefix", "depth"), [("stable_audio_open_dit", "model.model.", None),
                                                        ("controlnet_depth0.2", "", 4),
                                                        ("controlnet_depth0.5", "", 12)])
def test_published_layout(golden, table, prefix, depth):
    expected = json.loads((golden("foleygram_key_shapes") / f"{table}.json").read_text())
    with torch.device("meta"):
        model = StableAudioDiT() if depth is None else DiTControlNet(depth=depth)
    assert {prefix + k: list(v.shape) for k, v in model.state_dict().items()} == expected


@torch.no_grad()
def test_recorded_values():
    dit = randomised(StableAudioDiT(**TINY, depth=3))
    branch = randomised(DiTControlNet(**TINY, depth=2, control_encoder="frames"), seed=2)
    inputs = tiny_inputs()
    plain = dit(**inputs)
    controls = branch(control=torch.linspace(0, 1, 56).reshape(2, 28), **inputs)
    out = dit(**inputs, controls=controls)
    assert plain.shape == (2, 4, 7)
    assert [c.shape for c in controls] == [(2, 8, 128)] * 2
    assert float(plain.std()) == pytest.approx(1.2472870, rel=1e-4)
    assert float(out.std()) == pytest.approx(2.8209324, rel=1e-4)


@torch.no_grad()
def test_fresh_branch_changes_nothing():
    dit = randomised(StableAudioDiT(**TINY, depth=3))
    branch = DiTControlNet.from_dit(dit, depth_factor=0.7, control_encoder="frames")
    inputs = tiny_inputs()
    controls = branch(control=torch.rand(2, 28), **inputs)
    assert len(controls) == 2
    assert torch.equal(dit(**inputs), dit(**inputs, controls=controls))
    copied, own = (m.transformer.layers[1].ff.ff[0].proj.weight for m in (branch, dit))
    assert torch.equal(copied, own)


@torch.no_grad()
def test_branch_tells_silence_from_no_envelope():
    branch = randomised(DiTControlNet(**TINY, depth=1, control_encoder="frames"))
    inputs = tiny_inputs()
    silent, none = (branch(control=torch.full((2, 28), v), **inputs)[0] for v in (0.0, -1.0))
    assert (silent - none).abs().max() > 1e-2
    with pytest.raises(ConditionError, match="multiple"):
        branch(control=torch.zeros(2, 27), **inputs)


@torch.no_grad()
def test_order_of_tokens_does_not_matter_but_frames_do():
    dit = randomised(StableAudioDiT(**TINY, depth=2))
    inputs = tiny_inputs()
    out = dit(**inputs)
    torch.testing.assert_close(dit(**inputs | {"cross_attn_cond": inputs["cross_attn_cond"].flip(1)}), out)
    flipped = dit(**inputs | {"x": inputs["x"].flip(2)}).flip(2)
    assert (flipped - out).abs().max() > 1e-2


def test_query_heads_must_share_key_heads_evenly():
    with pytest.raises(ValueError, match="heads"):
        StableAudioDiT(**TINY | {"embed_dim": 192, "num_heads": 3, "cond_token_dim": 128}, depth=1)


@torch.no_grad()
def test_pooled_tokens_reach_the_modulation():
    dit = randomised(StableAudioDiT(**TINY, depth=1, global_cond_type="adaLN", pooled_cond=True))
    inputs, seen = tiny_inputs(), []
    dit.transformer.global_cond_embedder.register_forward_pre_hook(lambda _m, args: seen.append(args[0]))
    dit(**inputs)
    dit(**inputs | {"cross_attn_cond": inputs["cross_attn_cond"].flip(1)})
    dit(**inputs | {"cross_attn_cond": torch.zeros_like(inputs["cross_attn_cond"])})
    time = dit.to_timestep_embed(dit.timestep_features(inputs["t"][:, None]))
    torch.testing.assert_close(seen[1], seen[0])  # a sum has no order
    torch.testing.assert_close(seen[2], time + dit.to_global_embed(inputs["global_cond"]))  # no token, no addition
    assert (seen[0] - seen[2]).abs().max() > 0.1
    assert DiTControlNet.from_dit(dit, 1.0).to_pooled_embed is not None
