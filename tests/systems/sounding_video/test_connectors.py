"""Connectors: official numbers, an identity at the start, and that what is told moves the features where it belongs."""

from __future__ import annotations

import json
from typing import TypeVar

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from postsync.systems.sounding_video.connectors import CMCPEBlock, CrossAttentionBlock
from postsync.systems.sounding_video.sequences import (
    LatentEncoder,
    SpatioTemporalAttention,
    as_sequence,
    as_vector,
    delayed,
    frame_places,
)

M = TypeVar("M", bound=nn.Module)


def loaded(module: M, weights: dict[str, torch.Tensor], prefix: str = "") -> M:
    state = {key.removeprefix(prefix): value.float() for key, value in weights.items() if key.startswith(prefix)}
    module.load_state_dict(state)
    return module.eval()


def awake(module: M) -> M:
    """With random numbers where a new module has zeros."""
    g = torch.Generator().manual_seed(3)
    for parameter in module.parameters():
        if not parameter.any():
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=g)
    return module


@pytest.mark.golden
@torch.no_grad()
def test_the_cmc_pe_block_is_the_official_one(golden) -> None:
    folder = golden("sv_cmcpe_block")
    config, case = json.loads((folder / "config.json").read_text()), load_file(folder / "case.safetensors")
    weights = load_file(folder / "weights.safetensors")
    for name in ("video", "audio"):
        block = loaded(CMCPEBlock(config["channels"], config["dim_head"], config["context_dim"]), weights, f"{name}.")
        attention = block.transformer_blocks[0].attn_c
        context = case[f"{name}.context"]
        torch.testing.assert_close(attention.encoding(context, context.shape[2]), case[f"{name}.pe_before_interp"].mT,
                                   atol=2e-5, rtol=0)
        torch.testing.assert_close(block(case[f"{name}.x"], context), case[f"{name}.y"], atol=2e-5, rtol=0)


@pytest.mark.golden
@torch.no_grad()
def test_the_cross_attention_block_is_the_official_one(golden) -> None:
    folder = golden("sv_crossattn_block")
    config, case = json.loads((folder / "config.json").read_text()), load_file(folder / "case.safetensors")
    block = loaded(CrossAttentionBlock(config["channels"], config["dim_head"], config["context_dim"]),
                   load_file(folder / "weights.safetensors"))
    torch.testing.assert_close(block(case["x"], case["context"]), case["y"], atol=2e-5, rtol=0)


@pytest.mark.golden
@torch.no_grad()
def test_the_attention_over_time_is_the_official_one(golden) -> None:
    folder = golden("sv_spatiotemporal_attention")
    config, case = json.loads((folder / "config.json").read_text()), load_file(folder / "case.safetensors")
    block = loaded(SpatioTemporalAttention(config["dim"], config["heads"], config["dim_head"]),
                   load_file(folder / "weights.safetensors"))
    frames = case["x"].shape[2]
    torch.testing.assert_close(block.temporal_rel_pos_bias(frames), case["rel_pos_bias"], atol=2e-5, rtol=0)
    torch.testing.assert_close(frame_places(frames, config["dim"]), case["sinusoidal_pe"], atol=2e-5, rtol=0)
    torch.testing.assert_close(block(case["x"]), case["y"], atol=2e-5, rtol=0)


@pytest.mark.golden
@torch.no_grad()
def test_the_encoders_of_latents_are_the_official_ones(golden) -> None:
    folder = golden("sv_connector_out")
    config, case = json.loads((folder / "config.json").read_text()), load_file(folder / "case.safetensors")
    weights, settings = load_file(folder / "weights.safetensors"), config["connector"]
    for name in ("video", "audio"):
        sizes = config[name]
        encoder = loaded(LatentEncoder(2 * sizes["latent_channels"], sizes["block_out_channels"][0],
                                       sizes["time_emb_dim"], settings["connector_channel"],
                                       settings["channel_mult_connector"], settings["num_blocks_connector"],
                                       video=name == "video"), weights, f"connector_out_{name}.")
        features = encoder(case[f"{name}.x"], case[f"{name}.emb"])
        last = max(key for key in case if key.startswith(f"{name}.stage"))
        for made, official in ((features, case[last]), (as_sequence(features), case[f"{name}.cond_sequence"]),
                               (as_vector(features), case[f"{name}.cond_vector"])):
            torch.testing.assert_close(made, official, atol=5e-5, rtol=0)


@pytest.mark.parametrize("shape", [(2, 32, 3, 4, 4), (2, 32, 6, 2)])
@torch.no_grad()
def test_a_new_block_passes_its_input_on_and_a_trained_one_does_not(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape)
    for block, told in ((CMCPEBlock(32, 8, 12), torch.randn(2, 12, 5, 1)),
                        (CrossAttentionBlock(32, 8, 12), torch.randn(2, 1, 12))):
        assert torch.equal(block(x, told), x)
        changed = awake(block)(x, told)
        assert changed.shape == x.shape
        assert (changed - x).abs().max() > 1e-3
        assert not torch.equal(awake(block)(x, -told), changed)


@torch.no_grad()
def test_a_change_of_the_sequence_reaches_the_pictures_that_it_covers() -> None:
    torch.manual_seed(1)
    block, x, told = awake(CMCPEBlock(32, 8, 12)).eval(), torch.randn(1, 32, 4, 2, 2), torch.randn(1, 12, 8, 1)
    before = block.transformer_blocks[0].attn_c.proj_c(told[..., 0].mT)
    other = told.clone()
    other[:, :, 2] += 1.0  # a quarter of the time: of the second of four pictures
    encodings = [block.transformer_blocks[0].attn_c.encoding(each, 4) for each in (told, other)]
    moved = (encodings[0] - encodings[1]).abs().amax((0, 2))
    assert before.shape == (1, 8, 32)
    assert int(moved.argmax()) == 1
    assert block(x, told).shape == x.shape


@torch.no_grad()
def test_new_encoders_leave_time_alone_and_sequences_have_unit_length_over_time() -> None:
    torch.manual_seed(2)
    x = torch.randn(1, 64, 5, 2, 2)
    block = SpatioTemporalAttention(64)
    only_ff = x + block.ff(x)
    torch.testing.assert_close(block(x), only_ff)
    sequence = as_sequence(LatentEncoder(8, 64, 256, 32, (1, 2), (1, 1), video=True)(torch.randn(2, 8, 5, 8, 8),
                                                                                    torch.randn(2, 256)))
    assert sequence.shape == (2, 32, 5, 1)
    torch.testing.assert_close(sequence.norm(dim=2), torch.ones(2, 32, 1))
    vector = as_vector(LatentEncoder(16, 64, 256, 32, (1,), (2,), video=False)(torch.randn(2, 16, 10, 4),
                                                                              torch.randn(2, 256)))
    torch.testing.assert_close(vector.norm(dim=2), torch.ones(2, 1))


def test_channels_are_delayed_by_their_part() -> None:
    x = torch.arange(1.0, 5.0).expand(1, 4, 4)[..., None, None].clone()
    assert delayed(x, 4)[0, :, :, 0, 0].tolist() == [[1, 2, 3, 4], [0, 1, 2, 3], [0, 0, 1, 2], [0, 0, 0, 1]]
