"""What trains the towers: GRAM learns from training paraphrases only, on the bundled vocabulary."""

from __future__ import annotations

import pytest
import torch

from postsync import weights
from postsync.encoders import training
from postsync.encoders.cavp import load_cavp
from postsync.errors import WeightsError
from postsync.protocols.clip import Clip
from postsync.scenes.captions import paraphrases


def test_scene_captions_are_the_training_paraphrases() -> None:
    train, held_out = paraphrases("bark")
    assert tuple(training.scene_captions(Clip("s", 1.0, label="bark", captions=("one",)))) == train
    assert not set(train) & set(held_out)


def test_captions_of_other_clips_are_their_own() -> None:
    assert training.scene_captions(Clip("s", 1.0, label="kazoo", captions=("one",))) == ("one",)


def test_gram_reads_the_bundled_vocabulary() -> None:
    objective = training.gram("tiny")
    assert objective.encoder.config["text"]["vocab_size"] == len(objective.encoder.tokenizer) == 2048


def test_cavp_starts_from_trained_encoders(tmp_path) -> None:
    objective = training.cavp("mini", start=weights.bundled("cavp"))
    trained = load_cavp(weights.bundled("cavp")).state_dict()
    assert all(torch.equal(tensor, trained[name]) for name, tensor in objective.cavp.state_dict().items())
    assert objective.cavp.training
    assert all(parameter.requires_grad for parameter in objective.cavp.parameters())
    with pytest.raises(WeightsError, match="holds no readable CAVP"):
        training.cavp("mini", start=tmp_path)
