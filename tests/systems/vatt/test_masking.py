"""Mask ratios, schedule and parallel decoding: official numbers, batches, known tokens, refusals."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import pytest
import torch
from safetensors.torch import load_file

from postsync.errors import ConditionError
from postsync.systems.vatt.masking import (
    DecodingSettings,
    MaskRatio,
    decode_in_parallel,
    draw_mask,
    gumbel,
    least_confident,
    likeliest,
    num_to_mask,
    reached_codebooks,
)

MASK = 12


def seeded(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def counts(total: int, steps: int) -> list[int]:
    masked, found = total, []
    for step in range(steps):
        masked = num_to_mask(step, steps, total, masked)
        found.append(masked)
    return found


@pytest.mark.golden
def test_counts_and_ratios_are_the_official_ones(golden) -> None:
    folder = golden("vatt_mask_schedule")
    tables, moments = load_file(folder / "tables.safetensors"), json.loads((folder / "truncnorm.json").read_text())
    schedules = [name for name in tables if name.endswith(".num_to_mask")]
    assert schedules
    for name in schedules:
        total, steps = map(int, re.findall(r"\d+", name))
        assert counts(total, steps) == tables[name].tolist()
    for name, expected in moments.items():
        ratio = MaskRatio(mean=float(name.removeprefix("mu")))
        torch.testing.assert_close(ratio.quantile(torch.linspace(0, 1, 101)), tables[f"truncnorm_{name}.ppf101"],
                                   atol=1e-6, rtol=0)
        drawn = ratio.quantile(torch.rand(100_000, generator=seeded(0)[0]))
        assert float(drawn.mean()) == pytest.approx(expected["mean"], abs=2e-3)
        assert float(drawn.std()) == pytest.approx(expected["std"], abs=2e-3)


@pytest.mark.golden
@torch.no_grad()
def test_a_whole_decoding_is_the_official_one(official) -> None:
    network, io, config = official("vatt_decode_trace")
    codebooks, times = io["out.tokens_kt"].shape

    def of_slots(flat: torch.Tensor) -> torch.Tensor:
        return flat.reshape(1, times, codebooks).mT

    tokens, masked = torch.full((1, codebooks, times), network.mask_token), codebooks * times
    for step in range(config["steps"]):
        assert torch.equal(tokens[0], io["step.tokens_in_kt"][step])
        logits = network.guided(tokens, io["in.cond"], io["in.cond_pad_mask"], config["cfg_coef"])
        expected = io["step.logits_cfg_flat_kt"][step].reshape(1, times, codebooks, -1).transpose(1, 2)
        torch.testing.assert_close(logits, expected, atol=2e-5, rtol=0)
        drawn = of_slots(io["step.sampled_flat"][step])
        chances = likeliest(logits, config["sampling_temperature"], config["top_k"])
        probability = chances.gather(-1, drawn[..., None])[..., 0]
        torch.testing.assert_close(probability, of_slots(io["step.sampled_prob_flat"][step]), atol=1e-5, rtol=0)
        masked = num_to_mask(step, config["steps"], codebooks * times, masked)
        assert masked == io["step.num_to_mask"][step]
        hidden, noise = tokens == network.mask_token, of_slots(io["step.gumbel_noise_flat"][step])
        confidence = (probability.log() + io["step.mask_temperature"][step] * noise).masked_fill(~hidden, torch.inf)
        again = least_confident(confidence, masked)
        assert torch.equal(again, of_slots(io["step.remask_flat_tc"][step]).bool())
        tokens = torch.where(hidden, drawn, tokens).masked_fill(again, network.mask_token)
    assert torch.equal(tokens[0], io["out.tokens_kt"])


def test_the_schedule_of_the_paper() -> None:
    assert counts(2000, 16) == [1990, 1961, 1913, 1847, 1763, 1662, 1546, 1414, 1268, 1111, 942, 765, 580, 390, 196, 0]
    assert counts(3, 3) == [2, 1, 0]


def wanted(tokens: torch.Tensor) -> torch.Tensor:
    """Logits of a network that knows what comes where, and is surer of later times."""
    batch, codebooks, times = tokens.shape
    truth = (torch.arange(times) + 3 * torch.arange(codebooks)[:, None]) % MASK
    return torch.nn.functional.one_hot(truth, MASK).float().expand(batch, -1, -1, -1) * (5 + torch.arange(
        times)[:, None])


def test_all_tokens_are_filled_in_round_by_round_and_stay() -> None:
    seen: list[torch.Tensor] = []
    tokens = torch.full((1, 2, 10), MASK)
    settings = DecodingSettings(num_inference_steps=8, top_k=3)
    out = decode_in_parallel(wanted, tokens, MASK, settings, seeded(3), lambda step, now: seen.append(now))
    masked = [int((now == MASK).sum()) for now in seen]
    assert masked == counts(20, 8)
    assert all(((a == b) | (a == MASK)).all() for a, b in pairwise(seen))
    assert (out < MASK).all()
    assert (out == wanted(tokens).argmax(-1)).float().mean() > 0.9


def test_a_batch_is_its_samples_alone_and_repeats() -> None:
    settings, tokens = DecodingSettings(num_inference_steps=5, top_k=6), torch.full((3, 2, 10), MASK)

    def flat(tokens: torch.Tensor) -> torch.Tensor:
        return wanted(tokens) / 20

    together = decode_in_parallel(flat, tokens, MASK, settings, seeded(1, 2, 3))
    for index in range(3):
        alone = decode_in_parallel(flat, tokens[:1], MASK, settings, seeded(1 + index))
        assert torch.equal(alone[0], together[index])
    assert not torch.equal(together[0], together[1])


def test_known_tokens_stay_and_nothing_is_done_where_all_are_known() -> None:
    tokens = torch.full((1, 2, 10), MASK)
    tokens[:, :, :4] = 11
    out = decode_in_parallel(wanted, tokens, MASK, DecodingSettings(), seeded(0))
    assert (out[:, :, :4] == 11).all()
    assert (out < MASK).all()

    def never(tokens: torch.Tensor) -> torch.Tensor:
        raise AssertionError("there is nothing to predict")

    assert torch.equal(decode_in_parallel(never, out, MASK, DecodingSettings(), seeded(0)), out)


def test_the_likeliest_keep_all_the_probability() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0, 2.0, 0.0]])
    chances = likeliest(logits, 1.0, 3)
    assert chances[0].gt(0).tolist() == [False, True, True, True, False]
    assert float(chances.sum()) == pytest.approx(1.0)
    assert likeliest(logits, 1.0, 99).gt(0).all()
    assert likeliest(logits, 0.5, 99)[0, 1] > likeliest(logits, 1.0, 99)[0, 1]


@pytest.mark.parametrize(("ratio", "mean"), [(MaskRatio("uniform"), 0.75), (MaskRatio("arc_cosine"), 2 / torch.pi),
                                             (MaskRatio("moving_gaussian", low=0.0), 0.33)])
def test_the_other_distributions(ratio, mean) -> None:
    drawn = ratio.quantile(torch.rand(50_000, generator=seeded(0)[0]))
    assert float(drawn.mean()) == pytest.approx(mean, abs=0.01)
    if ratio.distribution == "moving_gaussian":
        assert float(ratio.quantile(torch.rand(50_000, generator=seeded(0)[0]), done=1.0).mean()) > 0.75


def test_each_sample_is_masked_by_a_ratio_of_its_own() -> None:
    mask = draw_mask((200, 4, 100), MaskRatio(), seeded(0)[0])
    shares = mask.float().mean((1, 2))
    assert float(shares.mean()) == pytest.approx(0.75, abs=0.02)
    assert 0.1 < float(shares.std()) < 0.16
    assert torch.equal(mask, draw_mask((200, 4, 100), MaskRatio(), seeded(0)[0]))
    assert gumbel((1000,), seeded(0)).isfinite().all()


@pytest.mark.parametrize("wrong", [{"num_inference_steps": 0}, {"temperature": 0.0}, {"top_k": 0},
                                   {"remask_temperature": -1.0}])
def test_settings_out_of_range_are_refused(wrong) -> None:
    with pytest.raises(ConditionError, match=str(next(iter(wrong.values())))):
        DecodingSettings(**wrong)
    with pytest.raises(ConditionError, match="mask ratios"):
        MaskRatio(low=0.9, high=0.5)


def test_coarse_first_fills_in_a_codebook_before_the_next_one() -> None:
    settings = DecodingSettings(num_inference_steps=8, order="coarse_first")
    seen: list[torch.Tensor] = []
    start = torch.full((2, 3, 20), 9)
    decode_in_parallel(lambda tokens: torch.randn(*tokens.shape, 9, generator=seeded(int(tokens.sum()))[0]), start, 9,
                       settings, seeded(1, 2), lambda step, tokens: seen.append(tokens.clone()))
    for tokens in seen:
        open_ = (tokens == 9).sum(-1)
        assert all(row[k] == 0 or (row[k + 1:] == 20).all() for row in open_ for k in range(3))
    assert (seen[-1] != 9).all()


def test_a_share_of_the_masks_is_coarse_first() -> None:
    masks = draw_mask((200, 3, 40), MaskRatio(), seeded(0)[0], coarse_share=1.0).float().mean(-1)
    drawn = torch.stack([((masks[:, :k] == 0).all(1) & (masks[:, k + 1:] == 1).all(1) & (masks[:, k] > 0.3))
                         for k in range(3)])
    assert drawn.any(0).all()
    assert (drawn.float().mean(1) > 0.2).all()
    half = draw_mask((400, 3, 40), MaskRatio(), seeded(0)[0], coarse_share=0.5).float().mean(-1)
    assert 0.5 < (half[:, 0] > 0).float().mean() < 0.85


def test_a_share_of_the_masks_is_whole() -> None:
    masks = draw_mask((400, 3, 40), MaskRatio(), seeded(0)[0], coarse_share=0.4, blank_share=0.3)
    whole = masks.flatten(1).all(1).float().mean()
    assert 0.22 < whole < 0.4
    assert torch.equal(draw_mask((9, 3, 40), MaskRatio(), seeded(1)[0]),
                       draw_mask((9, 3, 40), MaskRatio(), seeded(1)[0], coarse_share=0.0))


def test_only_codebooks_that_a_round_reaches_are_drawn() -> None:
    hidden = torch.tensor([[False, False, False], [True, False, True], [True, True, True], [True, True, True]])
    assert reached_codebooks(hidden, 1) == slice(1, 2)
    assert reached_codebooks(hidden, 2) == slice(1, 2)
    assert reached_codebooks(hidden, 3) == slice(1, 3)
    assert reached_codebooks(hidden, 8) == slice(1, 4)
    assert reached_codebooks(torch.ones(2, 5, dtype=torch.bool), 10) == slice(0, 2)
