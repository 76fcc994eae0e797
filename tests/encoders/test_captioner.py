"""Captions of any transformers image-to-text model in a folder; what is none is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration, BlipImageProcessor

from postsync import weights
from postsync.encoders.captioner import LONGEST, Captioner
from postsync.errors import WeightsError

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
         "projection_dim": 16}


def save_blip(folder: Path) -> Path:
    """BLIP with random weights, whose words are those of the bundled vocabulary."""
    torch.manual_seed(0)
    tokenizer = BertTokenizer(str(weights.bundled("gram") / "vocab.txt"))
    ids = {"bos_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id,
           "sep_token_id": tokenizer.sep_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = BlipConfig(text_config={**SMALL, **ids, "vocab_size": len(tokenizer), "encoder_hidden_size": 16},
                        vision_config={**SMALL, "image_size": 32, "patch_size": 16}, projection_dim=16,
                        image_text_hidden_size=16)
    BlipForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    BlipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def captioner(tmp_path_factory) -> Captioner:
    return Captioner(save_blip(tmp_path_factory.mktemp("blip")))


def test_each_picture_gets_its_words_always_the_same(captioner) -> None:
    pictures = torch.randint(0, 255, (2, 3, 40, 30), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    captions = captioner.captions(pictures)
    assert len(captions) == 2
    assert all(0 < len(text.split()) <= LONGEST for text in captions)
    assert captioner.captions(pictures) == captions
    assert captioner.captions(pictures[1:]) == captions[1:]


def test_folders_of_something_else_are_refused(captioner, tmp_path, monkeypatch) -> None:
    with pytest.raises(WeightsError, match="holds no image-to-text model"):
        Captioner(tmp_path)
    with pytest.raises(WeightsError, match="holds no image-to-text model"):
        Captioner(weights.bundled("gram"))
    pictures = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    monkeypatch.setattr(captioner.tokenizer, "batch_decode", lambda *_, **__: [" "])
    with pytest.raises(WeightsError, match="finds no words"):
        captioner.captions(pictures)

    def refuse(**_):
        raise ValueError("You must specify input_ids")

    monkeypatch.setattr(captioner.model, "generate", refuse)
    with pytest.raises(WeightsError, match=r"does not caption a picture alone \(You must specify input_ids\)"):
        captioner.captions(pictures)
