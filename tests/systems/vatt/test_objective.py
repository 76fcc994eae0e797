"""VATT's first stage: what is prepared, what the loss counts, and that a tiny model learns to name what it sees."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from postsync import weights
from postsync.errors import ConditionError, PostsyncError, WeightsError
from postsync.protocols.clip import Clip
from postsync.scenes.captions import paraphrases
from postsync.scenes.render import clean_scenes, render_scene
from postsync.systems.vatt import presets
from postsync.systems.vatt.converter import NEUTRAL, VIDEO_TOKENS, VattConverter
from postsync.systems.vatt.decoder import MaskedTokenTransformer
from postsync.systems.vatt.objective import CAPTIONS, ConverterObjective, captions_of, picture_features
from postsync.systems.vatt.training import audio, converter


@pytest.fixture(scope="module")
def objective() -> ConverterObjective:
    torch.manual_seed(0)
    return converter("tiny")


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return [render_scene(seed, clean_scenes(duration_s=1.0, families=(family,), fps=4.0), needs=frozenset({"frames"}))
            for seed, family in ((1, "rain"), (2, "metal_strike"))]


def batch(objective: ConverterObjective, clips: list[Clip]) -> dict[str, torch.Tensor]:
    samples = [objective.prepare(clip) for clip in clips]
    return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}


def test_a_sample_is_ten_pictures_and_captions_that_end(objective, clips) -> None:
    sample = objective.prepare(clips[0])
    assert sample["video"].shape == (VIDEO_TOKENS, 128)
    assert sample["captions"].shape == (CAPTIONS, 64)
    tokenizer = objective.converter.tokenizer
    for row in sample["captions"]:
        kept = row[row >= 0].tolist()
        assert kept[-1] == tokenizer.eos_token_id
        assert tokenizer.cls_token_id not in kept
    assert tokenizer.decode(sample["captions"][0][:-1].clamp_min(0), skip_special_tokens=True).startswith(
        clips[0].captions[0].lower()[:5])
    features = picture_features(objective.eyes, clips[0].frames)
    assert features.shape == (len(clips[0].frames), 128)


def test_scenes_are_told_by_all_their_training_captions_and_others_by_their_own(clips) -> None:
    assert set(paraphrases("rain")[0]) <= set(captions_of(clips[0]))
    assert not set(paraphrases("rain")[1]) & set(captions_of(clips[0]))
    assert captions_of(replace(clips[0], label="kazoo", captions=("a kazoo",))) == ["a kazoo"]


def test_the_loss_counts_the_caption_alone_or_the_prompt_too(objective, clips) -> None:
    given = batch(objective, clips)
    generator = torch.Generator().manual_seed(0)
    alone = objective(given, step=0, generator=generator)["loss"]
    whole = ConverterObjective(objective.converter, objective.eyes, count_prompt=True)
    both = whole(given, step=0, generator=torch.Generator().manual_seed(0))["loss"]
    assert not torch.isclose(alone, both)


def test_it_learns_to_name_what_it_sees(clips, tmp_path) -> None:
    torch.manual_seed(0)
    objective = converter("tiny")
    given = batch(objective, clips)
    given["captions"] = given["captions"][:, :1]  # one caption each
    optimiser = torch.optim.Adam(objective.converter.parameters(), lr=1e-2)
    for _ in range(150):
        out = objective(given, step=0, generator=torch.Generator().manual_seed(0))
        optimiser.zero_grad()
        out["loss"].backward()
        optimiser.step()
    assert out["accuracy"] > 0.95
    objective.eval().export(tmp_path)
    taught = VattConverter.from_pretrained(tmp_path)
    told = taught.captions(given["video"].float(), [None, None], max_new_tokens=24, repetition_penalty=1.0)
    expected = [objective.converter.tokenizer.decode(row[0][row[0] >= 0], skip_special_tokens=True)
                for row in given["captions"]]
    assert told == expected
    assert told[0] != told[1]


@pytest.fixture(scope="module")
def sounding() -> list[Clip]:
    return [render_scene(seed, clean_scenes(duration_s=8.16, families=(family,), fps=1.0))
            for seed, family in ((1, "rain"), (2, "metal_strike"))]


def test_tokens_are_learnt_from_what_the_language_model_makes_of_the_words(sounding, tmp_path) -> None:
    torch.manual_seed(0)
    objective = audio("tiny")
    objective.neutral_share = 0.0
    given = batch(objective, sounding)
    assert given["tokens"].shape == (2, 2, 204)
    given["captions"] = given["captions"][:, :1]
    optimiser = torch.optim.Adam(objective.transformer.parameters(), lr=1e-2)
    first = objective(given, step=0, generator=torch.Generator().manual_seed(0))["loss"].item()
    for step in range(12):
        out = objective(given, step=step, generator=torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        out["loss"].backward()
        optimiser.step()
    assert out["loss"].item() < 0.9 * first
    assert all(parameter.grad is None for module in objective.frozen() for parameter in module.parameters())
    objective.export(tmp_path)
    again = MaskedTokenTransformer.from_pretrained(tmp_path)
    assert torch.equal(again.codebooks.float(), objective.codec.codebooks.half().float())


def test_a_share_is_told_by_the_neutral_question_alone(objective, sounding) -> None:
    made = audio("tiny")
    given = batch(made, sounding)
    generator = torch.Generator().manual_seed(0)
    neutral = made.tell(given, torch.tensor([True, True]), generator)
    asked = made.told_by.converter.tell(given["video"].float(), [None, None])
    assert torch.equal(neutral.hidden, asked.hidden)
    told = made.tell(given, torch.tensor([False, True]), generator)
    assert told.hidden[0].shape != neutral.hidden[0].shape or not torch.equal(told.hidden[0], neutral.hidden[0])
    with pytest.raises(PostsyncError, match="--part converter=FOLDER"):
        audio("mini")


def test_a_clip_without_pictures_or_words_is_refused(objective, clips, tmp_path) -> None:
    with pytest.raises(ConditionError, match="needs pictures and a caption"):
        objective.prepare(replace(clips[0], frames=None))
    with pytest.raises(ConditionError, match="needs pictures and a caption"):
        objective.prepare(replace(clips[0], label=None, captions=()))
    with pytest.raises(WeightsError, match="no language model with its tokenizer"):
        VattConverter.from_pretrained(tmp_path)


def test_the_minis_words_begin_and_do_not_end() -> None:
    tokenizer = presets.mini_tokenizer(weights.bundled("gram") / "vocab.txt")
    ids = tokenizer(NEUTRAL)["input_ids"]
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.eos_token_id not in ids
    llm = presets.mini().build(tokenizer)
    assert sum(p.numel() for p in llm.parameters()) == pytest.approx(2.2e6, rel=0.15)
