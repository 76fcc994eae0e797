"""Questions and answers from a manifest, and captions of its sounds by a model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from postsync import cli
from postsync.data.instructions import INSTRUCTIONS, caption_sounds, instruction_pairs, write_pairs
from postsync.data.manifest import read_manifest, write_manifest
from postsync.encoders.captioner import SoundCaptioner
from postsync.errors import MediaError, WeightsError

WORDS = ["<pad>", "<s>", "</s>", "<unk>", "rain", "dog", "bell", "door"]


def row(name: str, captions: list[str], file: str | None = None) -> dict:
    return {"clip_id": name, "dataset": "d", "source_id": name, "split": "train", "start": 0.0, "end": 0.5,
            "duration": 0.5, "captions": captions, "audio_path": file or f"{name}.wav"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three clips, one of them captioned, one without its file."""
    for name in "ab":
        soundfile.write(tmp_path / f"{name}.wav", 0.1 * np.sin(np.arange(8000) / 9), 16000)
    write_manifest(tmp_path, [row("a", ["rain", "it rains"]), row("b", []), row("c", [])], {"made_by": "a test"})
    return tmp_path


class Ear:
    """Says how long a sound is."""

    sample_rate = 16000

    def caption(self, waveform: np.ndarray) -> str:
        return f"{len(waveform)} samples"


def test_a_manifest_becomes_questions_and_answers(folder: Path) -> None:
    pairs = instruction_pairs(read_manifest(folder))
    assert [pair["output"] for pair in pairs] == ["rain", "it rains"]
    assert pairs[0] == {"instruction": INSTRUCTIONS[0], "input": "", "video_path": "a", "dataset": "d",
                        "output": "rain", "split": "train"}
    assert pairs[1]["instruction"] == INSTRUCTIONS[1]
    assert len(INSTRUCTIONS) == len(set(INSTRUCTIONS)) == 10
    assert write_pairs(folder, folder / "pairs.json") == 2
    assert json.loads((folder / "pairs.json").read_text()) == pairs


def test_clips_without_captions_get_them_and_others_keep_theirs(folder: Path) -> None:
    count, errors = caption_sounds(folder, Ear(), "ear")
    rows = {found["clip_id"]: found for found in read_manifest(folder)}
    assert count == 1
    assert rows["a"]["captions"] == ["rain", "it rains"]
    assert (rows["b"]["captions"], rows["b"]["caption_source"]) == (["8000 samples"], "ear")
    assert rows["c"]["captions"] == []
    assert len(errors) == 1
    assert "c.wav" in str(errors[0])


def test_a_manifest_without_captions_is_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path, [row("a", [])], {})
    with pytest.raises(MediaError, match="no clip has a caption"):
        write_pairs(tmp_path, tmp_path / "pairs.json")
    assert not (tmp_path / "pairs.json").exists()


def save_whisper(folder: Path) -> Path:
    """Whisper with random weights and eight words."""
    torch.manual_seed(0)
    words = Tokenizer(models.WordLevel({word: k for k, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    model = WhisperForConditionalGeneration(WhisperConfig(
        vocab_size=len(WORDS), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, num_mel_bins=80, max_source_positions=50,
        max_target_positions=40, suppress_tokens=[0, 1, 2, 3], begin_suppress_tokens=[0, 2], **ids))
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", bos_token="<s>", eos_token="</s>",
                            unk_token="<unk>").save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=80, chunk_length=1).save_pretrained(folder)
    return folder


def test_the_command_captions_by_a_model_in_a_folder_and_writes_the_pairs(
        folder: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]) -> None:
    model = save_whisper(tmp_path_factory.mktemp("whisper"))
    with pytest.raises(SystemExit) as stopped:
        cli.main(["data", "caption", str(folder), "--captioner", str(model), "--quiet"])
    assert stopped.value.code == 2  # one clip has no file
    assert "c.wav" in capsys.readouterr().err
    said = {found["clip_id"]: found["captions"] for found in read_manifest(folder)}["b"]
    assert set(said[0].split()) <= set(WORDS)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["data", "instructions", str(folder), "--out", str(folder / "pairs.json")])
    assert stopped.value.code == 0
    assert len(json.loads((folder / "pairs.json").read_text())) == 3
    with pytest.raises(WeightsError, match="no audio-to-text model"):
        SoundCaptioner(folder)
