"""VATT's first stage: what is prepared, what the loss counts, and that a tiny model learns to name what it sees."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from postsync import weights
from postsync.data.instructions import INSTRUCTIONS
from postsync.errors import ConditionError, PostsyncError, WeightsError
from postsync.protocols.clip import Clip
from postsync.scenes.captions import paraphrases
from postsync.scenes.render import clean_scenes, render_scene
from postsync.systems.vatt import presets
from postsync.systems.vatt.converter import NEUTRAL, VattConverter
from postsync.systems.vatt.eyes import picture_features
from postsync.systems.vatt.objective import CAPTIONS, PICTURES, ConverterObjective, Mixture
from postsync.systems.vatt.pairs import SILENCE, captions_of, draw_part
from postsync.systems.vatt.pipeline import VATTPipeline
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


def test_a_sample_is_pictures_and_captions_that_end(objective, clips) -> None:
    sample = objective.prepare(clips[0])
    assert sample["video"].shape == (PICTURES, 128)
    assert torch.equal(sample["video"][3], sample["video"][-1])  # the last picture of a second stays
    assert sample["audible"].shape == (PICTURES,)
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


def test_it_learns_to_name_what_it_sees(clips, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("postsync.systems.vatt.objective.INSTRUCTIONS", (NEUTRAL,))
    torch.manual_seed(0)
    objective = converter("tiny")
    objective.worded = 0.0
    given = batch(objective, clips)
    given["captions"] = given["captions"][:, :1]  # one caption each
    optimiser = torch.optim.Adam(objective.converter.parameters(), lr=1e-2)
    for step in range(150):
        out = objective(given, step=step, generator=torch.Generator().manual_seed(step))
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
    objective.mixture = Mixture(neutral=0.0, own=0.0, nothing=0.0)
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
    objective.whole = True
    objective.export(tmp_path)
    again = VATTPipeline.from_pretrained(tmp_path)
    assert torch.equal(again.transformer.codebooks, objective.codec.codebooks.half().float())
    assert torch.equal(again.converter.projection.weight, objective.told_by.converter.projection.weight)


def test_samples_are_told_by_the_question_their_own_caption_or_a_true_one(sounding, monkeypatch) -> None:
    made = audio("tiny")
    given = batch(made, sounding)
    generator = torch.Generator().manual_seed(0)
    part = draw_part(given, 16, generator, 25.0)
    converter = made.told_by.converter
    asked: list[list[str | None]] = []
    told = converter.tell
    monkeypatch.setattr(converter, "tell", lambda video, prompts: asked.append(prompts) or told(video, prompts))
    monkeypatch.setattr(converter, "captions", lambda video, questions, **_: ["spoken"] * len(questions))
    neutral = made.tell(given, part, torch.tensor([0.0, 0.29]), generator)
    assert torch.equal(neutral.hidden, told(part.video, [None, None]).hidden)
    made.tell(given, part, torch.tensor([0.4, 0.9]), generator)
    assert asked[0] == [None, None]
    assert asked[1][0] == "spoken"
    assert asked[1][1] in {text.lower() for text in (*paraphrases("metal_strike")[0], *sounding[1].captions)}


def test_the_codebooks_weights_count_and_published_ones_count_tokens_alike(sounding) -> None:
    torch.manual_seed(0)
    objective = audio("tiny").eval()
    given = batch(objective, sounding)
    def loss(weights: tuple[float, ...]) -> float:
        objective.mixture = Mixture(weights=weights)
        return objective(given, step=3)["loss"].item()

    first, second = loss((1.0, 0.0)), loss((0.0, 1.0))
    assert loss((0.5, 0.5)) == pytest.approx((first + second) / 2, rel=1e-5)
    assert min(first, second) < loss(()) < max(first, second)


def test_silent_parts_are_told_as_such_and_captions_may_stand_for_questions(sounding) -> None:
    objective = converter("tiny")
    given = batch(objective, sounding)
    given["audible"] = torch.zeros_like(given["audible"])
    generator = torch.Generator().manual_seed(0)
    part = draw_part(given, 8, generator)
    assert set(objective.texts(objective.told(given, part, generator))) <= set(SILENCE)
    objective.worded = 0.5
    asked = {text for _ in range(8) for text in objective._questions(given, part, generator)[0]}
    assert asked & set(INSTRUCTIONS)
    assert asked & set(SILENCE)


def test_what_pictures_do_not_show_is_told_by_words_alone(sounding, monkeypatch) -> None:
    made = audio("tiny")
    assert "step_snow" in made.told_by.unseen
    given = batch(made, [sounding[0], replace(sounding[1], label="step_snow")])
    assert given["shown"].tolist() == [True, False]
    asked: list[tuple[torch.Tensor, list[str | None]]] = []
    converter = made.told_by.converter
    told, taught = converter.tell, converter.forward
    monkeypatch.setattr(converter, "tell",
                        lambda video, prompts: asked.append((video, prompts)) or told(video, prompts))
    made.mixture = Mixture(neutral=1.0)
    made(given, step=0)
    video, prompts = asked[0]
    assert prompts[0] is None
    assert prompts[1] is not None
    assert video[0].any()
    assert not video[1].any()
    shown: list[torch.Tensor] = []
    monkeypatch.setattr(converter, "forward", lambda video, *rest: shown.append(video) or taught(video, *rest))
    made.told_by.worded = 0.0
    made.told_by(given, step=0)
    assert shown[0][0].any()
    assert not shown[0][1].any()


def test_a_start_of_another_kind_is_refused(vatt, tmp_path) -> None:
    vatt.save_pretrained(tmp_path)
    assert audio("tiny", start=tmp_path).transformer.config["dim"] == 16
    with pytest.raises(PostsyncError, match="told by another language model"):
        audio("mini", start=tmp_path)


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
    for text in ("hi-hat ticks", "a ship's deck", "rain, far away"):
        assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text
    llm = presets.mini_converter().build(tokenizer)
    assert sum(p.numel() for p in llm.parameters()) == pytest.approx(2.2e6, rel=0.15)
