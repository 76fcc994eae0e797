"""VATT Converter: official numbers, padding, prompts, captions, LoRA's published layout, refusals."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    BertTokenizer,
    GemmaConfig,
    GemmaForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from postsync import weights
from postsync.errors import ConditionError, WeightsError
from postsync.systems.vatt.converter import (
    LORA,
    NEUTRAL,
    TEMPLATES,
    VIDEO_TOKENS,
    VattConverter,
    load_llm,
    load_official,
    with_lora,
)

KINDS = {"llama": (LlamaConfig, LlamaForCausalLM), "gemma": (GemmaConfig, GemmaForCausalLM)}
SMALL = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def words() -> BertTokenizer:
    return BertTokenizer(str(weights.bundled("gram") / "vocab.txt"), eos_token="[SEP]", bos_token="[CLS]")


def small(words: BertTokenizer) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SMALL, vocab_size=len(words), pad_token_id=words.pad_token_id,
                                        eos_token_id=words.eos_token_id)).eval()


@pytest.fixture(scope="module")
def converter(words) -> VattConverter:
    return VattConverter(small(words), words, video_dim=6, longest=24).eval()


def film(size: int = 2) -> torch.Tensor:
    return torch.randn(size, 50, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.golden
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_hidden_states_logits_and_loss_are_the_official_ones(golden, kind) -> None:
    folder, (config, model) = golden("vatt_converter"), KINDS[kind]
    settings = json.loads((folder / f"{kind}_config.json").read_text())
    state, io = (load_file(folder / f"{kind}_{name}.safetensors") for name in ("state_dict", "io"))
    llm = model(config(**settings["config"])).eval()
    found = llm.load_state_dict({k: v for k, v in state.items() if "video_proj" not in k}, strict=False)
    assert set(found.missing_keys) <= {"lm_head.weight"}
    assert not found.unexpected_keys
    ours = VattConverter(llm, None)
    ours.projection.load_state_dict({name: state[f"model.video_proj.{name}"] for name in ("weight", "bias")})
    mask = io["in.attention_mask"][:, VIDEO_TOKENS:]
    torch.testing.assert_close(ours.tokens_of(io["in.video"]), io["out.video_projected"], atol=1e-5, rtol=0)
    told = ours.hidden(io["in.video"], io["in.input_ids"], mask)
    torch.testing.assert_close(told.hidden, io["out.hidden_all"], atol=1e-5, rtol=0)
    assert torch.equal(told.mask, io["in.attention_mask"].bool())
    out = ours(io["in.video"], io["in.input_ids"], mask, io["in.labels"])
    torch.testing.assert_close(out["logits"], io["out.text_logits"], atol=2e-5, rtol=0)
    torch.testing.assert_close(out["loss"].view(-1), io["out.loss"].view(-1), atol=1e-5, rtol=0)


@pytest.mark.golden
@pytest.mark.parametrize("name", ["vicuna_7b", "gemma_2b"])
def test_the_published_keys_are_those_of_peft(golden, name) -> None:
    listed = json.loads((golden("vatt_full_keys") / "vatt_converter_trained.json").read_text())["variants"][name]
    kind = LlamaConfig if name == "vicuna_7b" else GemmaConfig
    sizes = {"num_hidden_layers": listed["num_layers"], "hidden_size": listed["hidden_size"]}
    heads = {} if name == "vicuna_7b" else {"num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 256}
    with torch.device("meta"):
        llm = with_lora(KINDS["llama" if name == "vicuna_7b" else "gemma"][1](kind(**sizes, **heads)))
    own = {key: list(value.shape) for key, value in llm.state_dict().items() if "lora_" in key}
    assert own == {key: shape for key, shape in listed["keys"].items() if "lora_" in key}
    assert sum(p.numel() for p in llm.parameters() if p.requires_grad) == listed["lora_parameters"]


@torch.no_grad()
def test_padding_between_picture_and_words_changes_nothing_that_counts(converter) -> None:
    prompts = ["a dog", "a hammer hitting metal and glass"]
    together = converter.tell(film(), prompts)
    assert together.hidden.shape == (2, VIDEO_TOKENS + int(together.mask[1, VIDEO_TOKENS:].sum()), 16)
    assert together.mask[0].tolist()[:VIDEO_TOKENS] == [True] * VIDEO_TOKENS
    alone = converter.tell(film()[1:], prompts[1:])
    torch.testing.assert_close(alone.hidden[0], together.hidden[1], atol=1e-5, rtol=0)


@torch.no_grad()
def test_without_words_the_neutral_question_is_asked(converter) -> None:
    asked, silent = converter.tell(film(1), [NEUTRAL]), converter.tell(film(1), [None])
    assert torch.equal(asked.hidden, silent.hidden)
    assert not torch.equal(converter.tell(film(1) + 1, [None]).hidden, silent.hidden)


def test_prompts_end_where_there_is_room_and_too_long_ones_are_refused(converter, words) -> None:
    ids, mask = converter.tokenize(["rain", "a dog barking"], end=True)
    assert ids[:, -1].tolist() == [words.eos_token_id] * 2
    assert mask[0].tolist() == sorted(mask[0].tolist())  # padding first
    assert TEMPLATES["vicuna"]("hum").endswith("hum\n\n### Response:\n")
    with pytest.raises(ConditionError, match="the model takes 24"):
        converter.tokenize(["rain " * 40], end=True)


def test_captions_repeat_and_say_what_was_taught(converter, words) -> None:
    first = converter.captions(film(), [None, "rain"], max_new_tokens=8)
    assert len(first) == 2
    assert converter.captions(film(), [None, "rain"], max_new_tokens=8) == first
    taught = VattConverter(small(words), words, video_dim=6, longest=24)
    loud, quiet = torch.ones(1, 50, 6), -torch.ones(1, 50, 6)
    asked, mask = taught.tokenize([f"{NEUTRAL} a dog barking"], end=True)
    other, _ = taught.tokenize([f"{NEUTRAL} the soft rain"], end=True)
    start = len(words(NEUTRAL)["input_ids"]) - 1
    optimiser = torch.optim.Adam(taught.parameters(), lr=2e-2)
    for _ in range(60):
        loss = sum(taught(video, ids, mask, ids)["loss"] for video, ids in ((loud, asked), (quiet, other)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    told = taught.eval()
    labels = told(loud, asked, mask)["logits"].argmax(-1)[0, start - 1:-1]
    assert "dog" in words.decode(labels)
    labels = told(quiet, other, mask)["logits"].argmax(-1)[0, start - 1:-1]
    assert "rain" in words.decode(labels)


def test_lora_loads_the_published_layout_and_nothing_else(words) -> None:
    made = VattConverter(with_lora(small(words)), words, video_dim=6)
    assert LORA["r"] == 16
    trained = {name for name, p in made.llm.named_parameters() if p.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)
    official = {key: torch.randn(value.shape) for key, value in made.llm.state_dict().items() if "lora_" in key}
    official |= {"base_model.model.model.video_proj.weight": torch.randn(16, 6),
                 "base_model.model.model.video_proj.bias": torch.randn(16)}
    skipped = load_official(made, official | {"base_model.model.lm_head.weight": torch.zeros(1)})
    assert list(skipped) == ["base_model.model.lm_head.weight"]
    assert torch.equal(made.projection.bias, official["base_model.model.model.video_proj.bias"])
    with torch.no_grad():
        plain = VattConverter(small(words), words, video_dim=6)
        plain.projection.load_state_dict(made.projection.state_dict())
        assert not torch.allclose(plain.tell(film(1), [None]).hidden, made.eval().tell(film(1), [None]).hidden)
    key = next(iter(official))
    with pytest.raises(WeightsError, match="does not fit the language model"):
        load_official(made, official | {key: torch.zeros(8, 16)})
    with pytest.raises(WeightsError, match="does not fit the language model"):
        load_official(made, {k: v for k, v in official.items() if k != key})


def test_folders_without_a_model_or_a_tokenizer_are_refused(words, tmp_path) -> None:
    small(words).save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="no language model with its tokenizer"):
        load_llm(tmp_path)
    words.save_pretrained(tmp_path)
    llm, tokenizer = load_llm(tmp_path)
    assert not any(p.requires_grad for p in llm.parameters())
    assert len(tokenizer) == len(words)
    with pytest.raises(WeightsError, match="q_proj and v_proj"):
        with_lora(GPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=50)))
