"""VATT's configurations: the mini's language model and words, and those for tests. The paper's sizes come from the
language model's folder and the published checkpoints."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ...encoders.text import WordPieceTokenizer
from .masking import DecodingSettings


@dataclass(frozen=True)
class SamplerDefaults(DecodingSettings):
    """The sampler's defaults; those of the published weights."""

    guidance_scale: float = 5.0
    window_overlap: int = 100  # token frames that a window of a long sound is given of the one before (ours)
    own_caption: bool = True  # without a prompt the sound is told by the language model's own caption


@dataclass(frozen=True)
class ConverterPreset:
    """Sizes of a language model that is trained from scratch."""

    hidden_size: int = 192
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    intermediate_size: int = 512
    max_position_embeddings: int = 128
    longest: int = 64  # tokens of a prompt, or of a caption

    def build(self, tokenizer: Any) -> LlamaForCausalLM:
        """A Llama of these sizes with random weights, which ends where the tokenizer's end token stands."""
        return LlamaForCausalLM(LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=self.hidden_size, num_hidden_layers=self.num_hidden_layers,
            num_attention_heads=self.num_attention_heads, intermediate_size=self.intermediate_size,
            max_position_embeddings=self.max_position_embeddings, tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id))


def mini_converter() -> ConverterPreset:
    """2.2 M values."""
    return ConverterPreset()


def tiny_converter() -> ConverterPreset:
    """Random weights for tests."""
    return ConverterPreset(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)


@dataclass(frozen=True)
class VATTPreset:
    """The masked transformer's arguments besides those of codec and language model, and how it is run."""

    transformer: dict[str, Any] = field(default_factory=dict)
    native_frames: int = 500  # token frames it is trained on: 10 s
    picture_fps: float = 5.0
    sees_film: bool = True  # the eyes know real pictures
    sampler: SamplerDefaults = field(default_factory=SamplerDefaults)


def paper() -> VATTPreset:
    """415 M values over EnCodec's tokens, told by Vicuna-7B or Gemma-2B."""
    return VATTPreset()


def mini() -> VATTPreset:
    """7 M values, four seconds."""
    return VATTPreset(
        {"dim": 256, "num_heads": 4, "joint_layers": 3, "audio_layers": 2, "max_positions": 400,
         "dropout": 0.0}, native_frames=100,
        picture_fps=4.0, sees_film=False,
        sampler=SamplerDefaults(guidance_scale=3.0, remask_temperature=10.0, order="coarse_first", window_overlap=25))


def tiny() -> VATTPreset:
    """Random weights for tests."""
    return replace(mini(), transformer={"dim": 16, "num_heads": 2, "head_dim": 8, "joint_layers": 1, "audio_layers": 1,
                                        "max_positions": 400})


def mini_tokenizer(vocab: Path) -> PreTrainedTokenizerFast:
    """GRAM's vocabulary of word pieces as a language model takes it: a beginning, and no end of its own."""
    return PreTrainedTokenizerFast(tokenizer_object=WordPieceTokenizer(vocab).for_language_model(), bos_token="[CLS]",
                                   eos_token="[SEP]", pad_token="[PAD]", unk_token="[UNK]", padding_side="left")
