"""Official layouts: the map to diffusers, prefixes, and what is refused."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from postsync.errors import WeightsError
from postsync.systems.foleygram.checkpoint import (
    diffusers_to_sat,
    read_official,
    sat_to_diffusers,
    sat_to_diffusers_keys,
    split_official,
)
from postsync.systems.foleygram.conditioning import FoleyConditioner
from postsync.systems.foleygram.controlnet import DiTControlNet
from postsync.systems.foleygram.dit import StableAudioDiT

SIZES = {"io_channels": 4, "embed_dim": 128, "depth": 2, "num_heads": 2, "cond_token_dim": 64, "global_cond_dim": 32}


@pytest.mark.golden
def test_official_table_to_diffusers(golden):
    folder = golden("foleygram_controlnet_dit")
    expected = json.loads((folder / "sat_to_diffusers_keys.json").read_text())
    data = load_file(folder / "data.safetensors")
    keys = [k.removeprefix("sd.model.") for k in data if k.startswith("sd.model.")]
    table = sat_to_diffusers_keys(keys)
    assert table.pop("transformer.rotary_pos_emb.inv_freq") == ()
    expected.pop("transformer.rotary_pos_emb.inv_freq", None)
    assert {k: list(v) for k, v in table.items()} == expected


@torch.no_grad()
def test_diffusers_model_agrees_and_the_map_inverts():
    from diffusers import StableAudioDiTModel

    torch.manual_seed(0)
    ours = StableAudioDiT(**SIZES).eval()
    for p in ours.parameters():
        p.normal_(std=0.1)
    theirs = StableAudioDiTModel(in_channels=4, num_layers=2, attention_head_dim=64, num_attention_heads=2,
                                 num_key_value_attention_heads=1, out_channels=4, cross_attention_dim=64,
                                 time_proj_dim=256, global_states_input_dim=32, cross_attention_input_dim=64).eval()
    theirs.load_state_dict(sat_to_diffusers(ours.state_dict()), strict=True)
    x, t, cond, glob = torch.randn(2, 4, 9), torch.rand(2), torch.randn(2, 3, 64), torch.randn(2, 32)
    rotary = ours.transformer.rotary_pos_emb(10, x.device)
    out = theirs(x, t, encoder_hidden_states=cond, global_hidden_states=glob[:, None],
                 rotary_embedding=rotary).sample
    torch.testing.assert_close(ours(x, t, cond, glob), out, atol=1e-5, rtol=1e-4)
    back = diffusers_to_sat(theirs.state_dict(), ours.state_dict())
    assert all(torch.equal(v, ours.state_dict()[k]) for k, v in back.items())
    with pytest.raises(WeightsError, match="missing or unexpected"):
        diffusers_to_sat({k: v for k, v in theirs.state_dict().items() if "proj_in" not in k}, ours.state_dict())


def test_a_training_checkpoint_splits_into_parts_that_load(tmp_path):
    dit, conditioner = StableAudioDiT(**SIZES), FoleyConditioner(8, 64, 16)
    branch = DiTControlNet.from_dit(dit, 0.5)
    numbers = {k: v for k, v in conditioner.state_dict().items() if k.startswith("seconds")}
    state = ({f"model.model.model.{k}": v for k, v in dit.state_dict().items()}
             | {f"model.model.controlnet.{k}": v for k, v in branch.state_dict().items()}
             | {f"model.conditioner.conditioners.{k}": v for k, v in numbers.items()}
             | {"model.conditioner.conditioners.audio.proj_out.bias": torch.ones(64),
                "model.conditioner.conditioners.audio.clap.weight": torch.ones(1),
                "model.pretransform.model.encoder.layers.0.bias": torch.ones(2)})
    save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "a.safetensors")
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "a.ckpt")
    for name in ("a.safetensors", "a.ckpt"):
        parts, ignored = split_official(read_official(tmp_path / name))
        StableAudioDiT(**SIZES).load_state_dict(parts["transformer"], strict=True)
        DiTControlNet(**SIZES | {"depth": 1}).load_state_dict(parts["controlnet"], strict=True)
        assert set(parts["conditioner"]) == {*numbers, "proj_audio.bias"}
        assert list(parts["codec"]) == ["encoder.layers.0.bias"]
        assert list(ignored) == ["model.conditioner.conditioners.audio.clap.weight"]
        assert sum(map(len, parts.values())) + len(ignored) == len(state)


@pytest.mark.golden
def test_published_layouts_are_consumed(golden):
    folder = golden("foleygram_key_shapes")
    keys: dict[str, list[int]] = {}
    for name in ("stable_audio_open_dit", "stable_audio_open_vae", "stable_audio_open_number_conditioners"):
        keys |= json.loads((folder / f"{name}.json").read_text())
    parts, ignored = split_official({k: torch.empty(shape, device="meta") for k, shape in keys.items()})
    assert not ignored
    with torch.device("meta"):
        dit, conditioner = StableAudioDiT(), FoleyConditioner()
    assert set(parts["transformer"]) == set(dit.state_dict())
    own = {k: v.shape for k, v in conditioner.state_dict().items() if k.startswith("seconds")}
    assert {k: v.shape for k, v in parts["conditioner"].items()} == own
    assert len(parts["codec"]) == len([k for k in keys if k.startswith("pretransform")])


def test_foreign_keys_and_files_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="another model"):
        split_official({"encoder.weight": torch.zeros(1)})
    with pytest.raises(WeightsError, match="no counterpart"):
        sat_to_diffusers(StableAudioDiT(**SIZES, global_cond_type="adaLN").state_dict())
    with pytest.raises(WeightsError, match="no checkpoint"):
        read_official(tmp_path / "none.ckpt")
    torch.save({"epoch": 3}, tmp_path / "b.ckpt")
    with pytest.raises(WeightsError, match="no state dict"):
        read_official(tmp_path / "b.ckpt")
