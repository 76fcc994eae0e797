"""Recipes: objectives from a preset's name; GRAM learns from training paraphrases only."""

from __future__ import annotations

import pytest

import postsync.codecs.objective
import postsync.encoders.gram_objective  # noqa: F401  (both slow: not within a test)
from postsync.data.clip import Clip
from postsync.scenes.captions import paraphrases
from postsync.training import recipes


def test_scene_captions_are_the_training_paraphrases() -> None:
    train, held_out = paraphrases("bark")
    assert tuple(recipes.scene_captions(Clip("s", 1.0, label="bark", captions=("one",)))) == train
    assert not set(train) & set(held_out)


def test_captions_of_other_clips_are_their_own() -> None:
    assert recipes.scene_captions(Clip("s", 1.0, label="kazoo", captions=("one",))) == ("one",)


@pytest.mark.parametrize("name", ["vae", "vocoder", "gram", "cavp"])
def test_tiny_objectives_have_parameters_to_train(name: str) -> None:
    objective = getattr(recipes, name)("tiny")
    assert sum(p.numel() for group in objective.parameter_groups() for p in group["params"]) > 100


def test_gram_reads_the_bundled_vocabulary() -> None:
    objective = recipes.gram("tiny")
    assert objective.encoder.config["text"]["vocab_size"] == len(objective.encoder.tokenizer) == 2048
