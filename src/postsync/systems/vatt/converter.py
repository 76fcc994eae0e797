"""VATT Converter: a language model that is shown a clip, and says what it sounds like.

Source: arXiv 2411.05679; `DragonLiu1995/video-to-audio-through-text: vatt/v2cap` (read, not copied). Ten pooled picture
features are projected to the model's width and put before the words. What the model makes of both, after its last norm,
conditions VATT Audio; its ordinary head writes captions. Any causal language model of transformers serves, with LoRA by
peft on its queries and values.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from ...errors import ConditionError, WeightsError
from ...weights.layout import Part, readable
from .eyes import pooled

VIDEO_TOKENS = 10
LORA: dict[str, Any] = {"r": 16, "lora_alpha": 32, "target_modules": ["q_proj", "v_proj"], "bias": "none"}
PREFIX = "base_model.model."  # peft's, in published files too
IGNORED = "of the frozen language model, which is loaded from its own folder"


@dataclass(frozen=True)
class PromptTemplate:
    """What stands before and after an instruction, as the language model was taught to be asked."""

    before: str
    after: str

    def __call__(self, instruction: str) -> str:
        """The whole prompt."""
        return f"{self.before}{instruction}{self.after}"


TEMPLATES = {
    "plain": PromptTemplate("", ""),
    "vicuna": PromptTemplate("### Instruction:\n", "\n\n### Response:\n"),
    "gemma": PromptTemplate("<bos><start_of_turn>user\n", "<end_of_turn>\n<start_of_turn>model\n"),
}
NEUTRAL = "What audio could be inferred from this video?"  # asked where there are no words, by the published weights


@dataclass(frozen=True)
class Told:
    """What VATT Audio is told: hidden states (B, L, D) after the last norm, and a mask (B, L), false for padding."""

    hidden: Tensor
    mask: Tensor


class VattConverter(Part):
    """Picture features (B, F, E) and words, through a causal language model `llm` with its `tokenizer`.

    `template`: see `TEMPLATES`; `longest`: tokens of a prompt. Padding lies between picture and words.
    """

    def __init__(self, llm: Any, tokenizer: Any, *, video_dim: int = 768, template: PromptTemplate = TEMPLATES["plain"],
                 longest: int = 108) -> None:
        super().__init__()
        self.llm, self.tokenizer, self.template, self.longest = llm, tokenizer, template, longest
        self.projection = nn.Linear(video_dim, llm.config.hidden_size)

    @property
    def backbone(self) -> Any:
        """The language model without its head, LoRA included."""
        wrapped = hasattr(self.llm, "get_base_model")  # by peft
        return (self.llm.get_base_model() if wrapped else self.llm).base_model

    def tokens_of(self, video: Tensor) -> Tensor:
        """Picture features (B, F, E) -> (B, 10, D): means over a tenth of the clip, projected."""
        return self.projection(pooled(video, VIDEO_TOKENS).to(self.projection.weight.dtype))

    def inputs(self, video: Tensor, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Input embeddings (B, 10 + L, D) and their mask (B, 10 + L).

        Models that scale their embeddings (Gemma) do so inside the embedding; the picture is scaled alike.
        """
        embedding = self.llm.get_input_embeddings()
        scale = float(getattr(embedding, "scalar_embed_scale", 1.0))
        seen = scale * self.tokens_of(video)
        embeds = torch.cat([seen, embedding(input_ids).to(seen)], dim=1)
        ones = attention_mask.new_ones(len(video), VIDEO_TOKENS)
        return embeds, torch.cat([ones, attention_mask], dim=1)

    def hidden(self, video: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Told:
        """The last hidden states of picture and words (left-padded), places counted over padding."""
        embeds, mask = self.inputs(video, input_ids, attention_mask)
        places = torch.arange(embeds.shape[1], device=embeds.device)[None].expand(len(embeds), -1)
        states = self.backbone(inputs_embeds=embeds, attention_mask=mask, position_ids=places).last_hidden_state
        return Told(states, mask.bool())

    def tell(self, video: Tensor, prompts: Sequence[str | None]) -> Told:
        """What VATT Audio is told of clips (B, F, E) and their words; None: the neutral question."""
        input_ids, attention_mask = self.tokenize([self.template(prompt or NEUTRAL) for prompt in prompts], end=True)
        return self.hidden(video, input_ids, attention_mask)

    def forward(self, video: Tensor, input_ids: Tensor, attention_mask: Tensor,
                labels: Tensor | None = None) -> dict[str, Tensor]:
        """`logits` (B, L, V) at the words alone, and with `labels` (B, L), -100 where nothing is asked, `loss`: the
        next token's mean cross-entropy within the words."""
        states = self.hidden(video, input_ids, attention_mask).hidden[:, VIDEO_TOKENS:]
        logits = self.llm.get_output_embeddings()(states)
        if labels is None:
            return {"logits": logits}
        loss = functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten())
        return {"logits": logits, "loss": loss}

    @torch.no_grad()
    def captions(self, video: Tensor, instructions: Sequence[str | None], *, max_new_tokens: int = 60,
                 num_beams: int = 1, repetition_penalty: float = 1.1, temperature: float | None = None,
                 top_p: float = 0.95, top_k: int = 500) -> list[str]:
        """What clips (B, F, E) sound like, in words; None: the neutral question. With a `temperature` words are drawn
        from PyTorch's own generator, otherwise the likeliest ones (of `num_beams` beams) are taken."""
        input_ids, attention_mask = self.tokenize([self.template(text or NEUTRAL) for text in instructions], end=False)
        embeds, mask = self.inputs(video, input_ids, attention_mask)
        drawn = {} if temperature is None else {"temperature": temperature, "top_p": top_p, "top_k": top_k}
        with warnings.catch_warnings():  # that the penalty does not see the prompt, which was not meant to be seen
            warnings.filterwarnings("ignore", message=".*repetition_penalty", category=UserWarning)
            told = self.llm.generate(inputs_embeds=embeds, attention_mask=mask, max_new_tokens=max_new_tokens,
                                     num_beams=num_beams, repetition_penalty=repetition_penalty,
                                     do_sample=temperature is not None, pad_token_id=self.tokenizer.pad_token_id,
                                     **drawn)
        return [text.strip() for text in self.tokenizer.batch_decode(told, skip_special_tokens=True)]

    def tokenize(self, texts: Sequence[str], *, end: bool) -> tuple[Tensor, Tensor]:
        """Texts -> ids and mask (B, L), left-padded; `end`: the end token follows, where there is room.

        Raises ConditionError for a text that is longer than `longest`.
        """
        rows = [self.tokenizer(text)["input_ids"] for text in texts]
        stop = [self.tokenizer.eos_token_id] if end and self.tokenizer.eos_token_id is not None else []
        rows = [row if len(row) >= self.longest or row[-1:] == stop else row + stop for row in rows]
        if too_long := [len(row) for row in rows if len(row) > self.longest]:
            raise ConditionError(f"the prompt has {too_long[0]} tokens and the model takes {self.longest}; shorten it.")
        length = max(map(len, rows))
        pad = self.tokenizer.pad_token_id or 0
        ids = torch.tensor([[pad] * (length - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows])
        device = self.projection.weight.device
        return ids.to(device), mask.to(device)

    def save_pretrained(self, folder: str | Path, **kwargs: Any) -> None:
        """Write `llm/` (model and tokenizer as transformers does), `projection.safetensors` and `converter.json`."""
        folder = Path(folder)
        self.llm.save_pretrained(folder / "llm")
        self.tokenizer.save_pretrained(folder / "llm")
        save_file({name: value.detach().contiguous() for name, value in self.projection.state_dict().items()},
                  folder / "projection.safetensors")
        settings = {"template": vars(self.template), "longest": self.longest}
        (folder / "converter.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def from_pretrained(cls, folder: str | Path, *, torch_dtype: torch.dtype = torch.float32,
                        **kwargs: Any) -> VattConverter:
        """What `save_pretrained` wrote, in eval mode, frozen. Raises WeightsError for another folder."""
        folder = Path(folder)
        llm, tokenizer = load_llm(folder / "llm", torch_dtype)
        with readable(folder, "VATT Converter", "name a folder that postsync train vatt_converter wrote."):
            settings = json.loads((folder / "converter.json").read_text(encoding="utf-8"))
            projection = load_file(folder / "projection.safetensors")
            converter = cls(llm, tokenizer, video_dim=projection["weight"].shape[1],
                            template=PromptTemplate(**settings["template"]), longest=settings["longest"])
            converter.projection.load_state_dict(projection)
        return converter.to(torch_dtype).eval().requires_grad_(False)


def with_lora(llm: Any, dropout: float = 0.0) -> Any:
    """The language model with the published LoRA (rank 16, alpha 32) on its queries and values, all else frozen.

    Raises WeightsError for a model without such projections.
    """
    from peft import LoraConfig, get_peft_model

    try:
        return get_peft_model(llm, LoraConfig(**LORA, lora_dropout=dropout, task_type="CAUSAL_LM"))
    except ValueError as error:
        raise WeightsError(f"{type(llm).__name__} has no {' and '.join(LORA['target_modules'])}; VATT's LoRA needs a "
                           "language model such as Gemma or Llama.") from error


def load_llm(folder: str | Path, torch_dtype: torch.dtype = torch.float32) -> tuple[Any, Any]:
    """The causal language model and the tokenizer in `folder`, frozen. Raises WeightsError where one is missing."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with readable(folder, "language model with its tokenizer",
                  "name the folder of a causal model in transformers' layout."):
        llm = AutoModelForCausalLM.from_pretrained(folder, dtype=torch_dtype, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return llm.eval().requires_grad_(False), tokenizer


def load_official(converter: VattConverter, state: Mapping[str, Tensor]) -> dict[str, str]:
    """Load the published stage-1 file (LoRA and video projection) into a converter whose model has LoRA.

    Returns the skipped keys, each with the reason. Raises WeightsError for a file of another rank, width or model.
    """
    skipped = {key: IGNORED for key in state if "lora_" not in key and ".video_proj." not in key}
    own = {key: p for key, p in converter.llm.state_dict().items() if "lora_" in key}
    for name in ("weight", "bias"):
        own[f"{PREFIX}model.video_proj.{name}"] = getattr(converter.projection, name)
    given = {key: tuple(value.shape) for key, value in state.items() if key not in skipped}
    wanted = {key: tuple(value.shape) for key, value in own.items()}
    if wrong := sorted(key for key in wanted.keys() | given.keys() if wanted.get(key) != given.get(key)):
        raise WeightsError(f"this file does not fit the language model: {len(wrong)} tensors differ, first "
                           f"'{wrong[0]}' (file {given.get(wrong[0], 'none')}, model {wanted.get(wrong[0], 'none')}); "
                           "name the model that it was trained on.")
    with torch.no_grad():
        for key, value in own.items():
            value.copy_(state[key])
    return skipped
