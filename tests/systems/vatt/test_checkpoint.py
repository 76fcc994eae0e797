"""A pipeline of published parts, here of toy size and random: every file in its published layout, and what does not
fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GemmaConfig, GemmaForCausalLM, PreTrainedTokenizerFast

from postsync import registry
from postsync.codecs.encodec import EncodecModel, audiogen_config
from postsync.encoders.eva02_clip import Eva02ClipVision
from postsync.errors import WeightsError
from postsync.systems.vatt.checkpoint import PREFIX, assemble, from_official
from postsync.systems.vatt.converter import with_lora
from postsync.systems.vatt.pipeline import VATTPipeline

WIDTH, BOOKS, SIZE, CODE = 32, 4, 16, 8
WORDS = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>", "rain", "falls", "user", "model"]


def official_audio(codebooks: int = BOOKS, width: int = WIDTH) -> dict[str, torch.Tensor]:
    """VATT Audio's Lightning state dict in the published names: one layer in each stack, one head of 64."""
    torch.manual_seed(1)
    dim = 16
    state: dict[str, torch.Tensor] = {
        "modality_v": torch.randn(1, 1, dim), "modality_a": torch.randn(1, 1, dim),
        "pos_embed": torch.randn(1, 1000, dim), "embedding.special.MASK": torch.randn(codebooks, CODE),
        "embedding.out_proj.weight": torch.randn(dim, CODE), "embedding.out_proj.bias": torch.randn(dim),
        "img_linear.weight": torch.randn(dim, width), "img_linear.bias": torch.randn(dim)}
    for k in range(codebooks):
        state[f"classifier.{k}.weight"] = torch.randn(SIZE, dim)
    norm = {f"{half}.{name}": torch.randn(dim) for half in "AB" for name in ("weight", "bias")}
    for stack, experts in (("encoder", ("A.", "B.")), ("decoder", ("",))):
        layers = f"{stack}.attn_layers"
        for place in ("layers.0.0.0", "layers.1.0.0", "final_norm"):
            state |= {f"{layers}.{place}.{name}": value.clone() for name, value in norm.items()} if experts[0] else {
                f"{layers}.{place}.{name}": torch.randn(dim) for name in ("weight", "bias")}
        state |= {f"{layers}.layers.0.1.to_{name}.weight": torch.randn(*shape) for name, shape in (
            ("q", (64, dim)), ("k", (64, dim)), ("v", (64, dim)), ("out", (dim, 64)))}
        for half in experts:
            state[f"{layers}.layers.1.1.{half}ff.0.0.weight"] = torch.randn(4 * dim, dim)
            state[f"{layers}.layers.1.1.{half}ff.2.weight"] = torch.randn(dim, 4 * dim)
    return {PREFIX + key: value for key, value in state.items()} | {"encoder.model.norm.weight": torch.ones(2)}


def tokenizer() -> PreTrainedTokenizerFast:
    made = Tokenizer(models.WordLevel({word: k for k, word in enumerate(WORDS)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>",
                                   unk_token="<unk>")


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> dict[str, Path]:
    """Folders and files as a user has them: Gemma, VATT Converter, AudioGen's codec, EVA02-CLIP, VATT Audio."""
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("published")
    llm = GemmaForCausalLM(GemmaConfig(
        vocab_size=len(WORDS), hidden_size=WIDTH, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, pad_token_id=0, eos_token_id=1, bos_token_id=2))
    llm.save_pretrained(root / "llm")
    tokenizer().save_pretrained(root / "llm")
    eyes = Eva02ClipVision(image_size=28, width=16, depth=1, heads=2, embed_dim=6, reference_grid=2)
    eyes.save_pretrained(root / "eyes")
    tuned = {key: 0.1 * torch.randn_like(value) for key, value in with_lora(llm).state_dict().items()
             if "lora_" in key}
    tuned |= {"base_model.model.model.video_proj.weight": torch.randn(WIDTH, 6),
              "base_model.model.model.video_proj.bias": torch.randn(WIDTH)}
    (root / "converter").mkdir()
    torch.save(tuned, root / "converter" / "pytorch_model.bin")
    codec = EncodecModel(audiogen_config(num_filters=2, hidden_size=CODE, codebook_dim=CODE, codebook_size=SIZE,
                                         target_bandwidths=[0.8]))
    codec.save_pretrained(root / "codec")
    torch.save({"state_dict": official_audio()}, root / "vatt.ckpt")
    return {name: root / name for name in ("llm", "eyes", "converter", "codec")} | {"checkpoint": root / "vatt.ckpt"}


def test_published_parts_make_a_pipeline_that_is_saved_and_runs(parts, tmp_path) -> None:
    pipe = assemble(**parts)
    assert pipe.converter.template.before.startswith("<bos><start_of_turn>")
    assert not any("lora_" in name for name, _ in pipe.converter.llm.named_parameters())  # merged
    assert pipe.transformer.config["slot_order"] == "official"
    assert (pipe.native_s, pipe.num_inference_steps, pipe.settings.remask_temperature) == (10.0, 16, 25.5)
    pipe.save_pretrained(tmp_path / "pipe")
    again = registry.load_pipeline("vatt", str(tmp_path / "pipe"), progress_bar=False)
    assert isinstance(again, VATTPipeline)
    assert again.pictures_wanted(10.0, {"prompt": "rain"}).count == 50
    frames = torch.randint(0, 256, (10, 3, 28, 28), dtype=torch.uint8)
    out = again(video=frames, prompt="rain falls", duration_s=2.0, num_inference_steps=2,
                generator=torch.Generator().manual_seed(0))
    assert out.audios.shape == (1, 1, 32000)
    assert out.audios.isfinite().all()
    assert again.converter.llm.dtype == torch.float32


def test_merged_lora_moves_the_hidden_states(parts) -> None:
    pipe, video = assemble(**parts), torch.randn(1, 10, 6)
    pipe.converter.float()
    with_it = pipe.converter.tell(video, ["rain"]).hidden
    state = torch.load(parts["converter"] / "pytorch_model.bin", weights_only=True)
    torch.save({k: v * 0 if "lora_B" in k else v for k, v in state.items()}, parts["converter"] / "other.bin")
    (parts["converter"] / "other.bin").rename(parts["converter"] / "pytorch_model.bin")
    without = assemble(**parts)
    torch.save(state, parts["converter"] / "pytorch_model.bin")
    without.converter.float()
    assert not torch.allclose(without.converter.tell(video, ["rain"]).hidden, with_it, atol=1e-4)


def test_parts_that_do_not_fit_are_named(parts, tmp_path) -> None:
    torch.save({"state_dict": official_audio(codebooks=2)}, tmp_path / "two.ckpt")
    with pytest.raises(WeightsError, match=r"makes 2 codebooks of 16 tokens, and the codec has 4 of 16"):
        assemble(**parts | {"checkpoint": tmp_path / "two.ckpt"})
    torch.save({"state_dict": official_audio(width=48)}, tmp_path / "wide.ckpt")
    with pytest.raises(WeightsError, match="language model of width 48"):
        assemble(**parts | {"checkpoint": tmp_path / "wide.ckpt"})
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match=r"holds none of pytorch_model.bin"):
        assemble(**parts | {"converter": tmp_path / "empty"})
    with pytest.raises(WeightsError, match="no language model with its tokenizer"):
        assemble(**parts | {"llm": tmp_path / "empty"})
    with pytest.raises(WeightsError, match="not a checkpoint of VATT Audio"):
        from_official({"a": torch.zeros(1)}, torch.zeros(4, 16, 8))
    state = torch.load(parts["converter"] / "pytorch_model.bin", weights_only=True)
    halved = {key: value[:8] if "lora_A" in key else value[:, :8] if "lora_B" in key else value
              for key, value in state.items()}
    (tmp_path / "rank8").mkdir()
    torch.save(halved, tmp_path / "rank8" / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="does not fit the language model"):
        assemble(**parts | {"converter": tmp_path / "rank8"})
