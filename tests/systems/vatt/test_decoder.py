"""VATT Audio: official numbers, batches and padding, guidance, slot orders, and that it learns; its official layout."""

from __future__ import annotations

import json

import pytest
import torch
from torch.nn import functional

from postsync.errors import ConditionError, WeightsError
from postsync.systems.vatt.checkpoint import PREFIX, from_official, renamed
from postsync.systems.vatt.decoder import MaskedTokenTransformer, in_token_order, slopes

LABEL_SMOOTHING = 0.1


def tiny(**changes) -> MaskedTokenTransformer:
    torch.manual_seed(0)
    network = MaskedTokenTransformer(**{"condition_dim": 6, "num_codebooks": 2, "codebook_size": 9, "codebook_dim": 4,
                                        "dim": 16, "num_heads": 2, "head_dim": 8, "joint_layers": 1, "audio_layers": 1,
                                        "max_positions": 40} | changes).eval()
    network.codebooks.normal_()
    return network


def given(batch: int = 2, length: int = 5, times: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    return torch.randint(0, 10, (batch, 2, times), generator=g), torch.randn(batch, length, 6, generator=g)


@pytest.mark.golden
@torch.no_grad()
def test_stacks_logits_and_losses_are_the_official_ones(official) -> None:
    network, io, _ = official("vatt_audio_forward")
    assert network.joint_stack.shared_norm
    mask, truth = io["in.mask"].bool(), io["in.audio_tokens"]
    tokens = torch.where(mask, network.mask_token, truth)
    condition = io["in.cond"], io["in.cond_pad_mask"]
    joint, audio = network.latents(tokens, *condition)
    torch.testing.assert_close(joint, io["out.encoder_latents"], atol=1e-5, rtol=0)
    torch.testing.assert_close(audio, io["out.decoder_latents"], atol=1e-5, rtol=0)
    dropped = torch.ones(len(tokens), dtype=torch.bool)
    for name, order in (("out.loss_official", "official"), ("out.loss_aligned", "aligned")):
        network.register_to_config(slot_order=order)
        logits = network(tokens, *condition)
        loss = functional.cross_entropy(logits.flatten(0, 2), truth.masked_fill(~mask, -1).flatten(), ignore_index=-1,
                                        label_smoothing=LABEL_SMOOTHING)
        torch.testing.assert_close(loss[None], io[name], atol=1e-5, rtol=0)
    torch.testing.assert_close(logits, io["out.logits_bktd"], atol=1e-5, rtol=0)
    torch.testing.assert_close(network(tokens, *condition, dropped), io["out.logits_null_bktd"], atol=1e-5, rtol=0)


@pytest.mark.golden
def test_every_published_key_finds_its_place(golden) -> None:
    listed = json.loads((golden("vatt_full_keys") / "vatt_audio.json").read_text())
    common = listed["common_config"]
    state = {PREFIX + key: torch.zeros(1).expand(shape) for key, shape in listed["keys"].items()}
    state["encoder.model.embed_tokens.weight"] = torch.zeros(1)
    codebooks = torch.zeros(1).expand(common["n_codebooks"], common["num_tokens"], common["latent_dim"])
    network, skipped = from_official(state, codebooks, num_heads=common["num_heads"])
    assert {key.removeprefix(PREFIX) for key in skipped} == {"pos_embed", "encoder.model.embed_tokens.weight"}
    trained = sum(p.numel() for p in network.parameters())
    assert trained == listed["variants"]["llama"]["trainable_parameters"]
    assert (network.config["joint_layers"], network.config["audio_layers"]) == (12, 12)


def test_the_layout_is_read_back_and_another_one_is_refused() -> None:
    with pytest.raises(WeightsError, match="not a checkpoint of VATT Audio"):
        from_official({"weight": torch.zeros(2)}, torch.zeros(2, 9, 4))
    assert renamed("encoder.attn_layers.layers.3.1.B.ff.2.weight") == "joint_stack.feed_forward.1.audio.3.weight"
    assert renamed("decoder.attn_layers.layers.2.0.0.bias") == "audio_stack.norms.2.bias"
    assert renamed("decoder.attn_layers.final_norm.bias") == "audio_stack.norms.final.bias"


@torch.no_grad()
def test_batches_and_padding_change_no_result() -> None:
    network = tiny()
    tokens, condition = given()
    together = network(tokens, condition)
    for index in range(2):
        alone = network(tokens[index:index + 1], condition[index:index + 1])
        torch.testing.assert_close(alone, together[index:index + 1], atol=1e-5, rtol=0)
    mask = torch.ones(2, 5, dtype=torch.bool)
    mask[1, :2] = False  # left padding: its content does not count
    changed = condition.clone()
    changed[1, :2] = 9.0
    torch.testing.assert_close(network(tokens, condition, mask), network(tokens, changed, mask), atol=1e-5, rtol=0)
    assert not torch.allclose(network(tokens, condition, mask)[1], together[1], atol=1e-3)


@torch.no_grad()
def test_guidance_goes_from_no_condition_to_the_condition_and_beyond() -> None:
    network = tiny()
    tokens, condition = given()
    told, free = network(tokens, condition), network(tokens, condition, None, torch.ones(2, dtype=torch.bool))
    guided = network.guided(tokens, condition, None, 3.0)
    torch.testing.assert_close(guided, free + 3 * (told - free), atol=1e-5, rtol=0)
    torch.testing.assert_close(network.guided(tokens, condition, None, 1.0), told)
    other = network(tokens, condition + 5, None, torch.ones(2, dtype=torch.bool))
    torch.testing.assert_close(other, free)  # without a condition, none of it is left


def test_slots_in_the_official_order_are_those_of_time_major_tokens() -> None:
    codebooks, times = 4, 25
    slots = torch.arange(codebooks * times).view(1, codebooks, times, 1)  # n = k T + t
    tokens = in_token_order(slots, "official")[0, :, :, 0]
    assert all(int(tokens[n % codebooks, n // codebooks]) == n for n in range(codebooks * times))
    assert torch.equal(in_token_order(slots, "aligned"), slots)


def test_slopes_of_any_number_of_heads() -> None:
    assert slopes(4) == [2**-2, 2**-4, 2**-6, 2**-8]
    assert slopes(6) == [*slopes(4), 2**-1, 2**-3]


def test_more_positions_than_known_are_refused() -> None:
    tokens, condition = given(times=36)
    with pytest.raises(ConditionError, match="5 positions of the condition and 36 of the sound"):
        tiny()(tokens, condition)


def test_it_learns_tokens_from_their_condition_and_is_saved_with_its_codebooks(tmp_path) -> None:
    network = tiny(dropout=0.0).train()
    truth, condition = given(batch=4)
    truth = truth.clamp_max(8)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    masked = torch.full_like(truth, network.mask_token)
    for _ in range(80):
        optimiser.zero_grad()
        loss = functional.cross_entropy(network(masked, condition).flatten(0, 2), truth.flatten())
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.1
    network.eval().save_pretrained(tmp_path)
    again = MaskedTokenTransformer.from_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(again(masked, condition), network(masked, condition))
