"""What trains the towers: GRAM learns from training paraphrases only, on the bundled vocabulary."""

from __future__ import annotations

from postsync.encoders import training
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
