"""VATT's published checkpoints -> ours: every key is used, or skipped for a named reason.

Source: the layout of `DragonLiu1995/video-to-audio-through-text` (read for its names).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...codecs.encodec import EncodecCodec, load_audiocraft
from ...errors import WeightsError
from ...weights.foreign import read_state
from ...weights.layout import build
from . import presets
from .converter import TEMPLATES, VattConverter, load_llm, load_official, with_lora
from .decoder import MaskedTokenTransformer
from .eyes import load_eyes
from .pipeline import VATTPipeline

HEAD_DIM = 64  # of the published networks, whatever their width
LORA_FILES = ("pytorch_model.bin", "adapter_model.bin", "adapter_model.safetensors", "model.safetensors")
AUDIOCRAFT_FILE = "compression_state_dict.bin"

PREFIX = "audio_token_decoder."  # in the published Lightning files
IGNORED = ((r"encoder\.(?!attn_layers)|embed_tokens\.", "of the language model, which is loaded from its own folder"),
           (r"pos_embed$", "a fixed table of sines, which is computed"))
NAMES = {"modality_v": "condition_type", "modality_a": "audio_type", "embedding.special.MASK": "mask_vectors",
         "embedding.out_proj": "token_projection", "img_linear": "condition_projection", "classifier": "heads",
         "encoder.attn_layers": "joint_stack", "decoder.attn_layers": "audio_stack"}
EXPERTS = {"A": "condition.", "B": "audio.", None: ""}
FEED_FORWARD = {"0.0": "0", "2": "3"}


def assemble(checkpoint: Path, llm: Path, converter: Path, codec: Path, eyes: Path, *, template: str = "gemma",
             slot_order: str = "official") -> VATTPipeline:
    """The pipeline of the published parts, the language model in float16 with its LoRA merged.

    checkpoint: VATT Audio's Lightning file. llm, eyes: folders as their libraries write them. converter: folder of the
    stage-1 file. codec: folder of AudioGen's codec, or of an EnCodec. Raises WeightsError for parts that are missing
    or do not fit each other.
    """
    language, tokenizer = load_llm(llm, torch.float16)
    seeing = load_eyes(eyes)
    told_by = VattConverter(with_lora(language), tokenizer, video_dim=seeing.config["embed_dim"],
                            template=TEMPLATES[template]).eval()
    load_official(told_by, read_state(_file_of(converter, LORA_FILES)))
    told_by.llm = told_by.llm.merge_and_unload()
    tokens = load_audiocraft(codec / AUDIOCRAFT_FILE) if (codec / AUDIOCRAFT_FILE).is_file() else (
        EncodecCodec.from_pretrained(codec))
    state = read_state(checkpoint, ("state_dict",))
    _check_codebooks(state, tokens, checkpoint)
    transformer, _ = from_official(state, tokens.codebooks, slot_order=slot_order)
    width = transformer.config["condition_dim"]
    if width != language.config.hidden_size:
        raise WeightsError(f"{checkpoint}: was told by a language model of width {width}, and {llm} has "
                           f"{language.config.hidden_size}; name the one that it was trained with.")
    return VATTPipeline.from_parts(presets.paper(), transformer, converter=told_by, codec=tokens, eyes=seeing)


def _check_codebooks(state: Mapping[str, Tensor], codec: EncodecCodec, checkpoint: Path) -> None:
    """Raise WeightsError for a codec with other codebooks than the checkpoint's heads."""
    heads = [value for key, value in state.items() if re.search(r"classifier\.\d+\.weight$", key)]
    found = (len(heads), len(heads[0]) if heads else 0)
    if heads and found != (codec.num_codebooks, codec.codebook_size):
        raise WeightsError(f"{checkpoint} makes {found[0]} codebooks of {found[1]} tokens, and the codec has "
                           f"{codec.num_codebooks} of {codec.codebook_size}; name the codec that it was trained on.")


def _file_of(folder: Path, names: tuple[str, ...]) -> Path:
    """The first of these files that the folder holds. Raises WeightsError where there is none."""
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None:
        raise WeightsError(f"{folder}: holds none of {', '.join(names)}; name the folder of the published file.")
    return found


def from_official(state: Mapping[str, Tensor], codebooks: Tensor, *, num_heads: int | None = None,
                  slot_order: str = "official") -> tuple[MaskedTokenTransformer, dict[str, str]]:
    """VATT Audio's state dict, with or without the Lightning prefix -> the network in eval mode, and the skipped keys,
    each with the reason. `codebooks` (K, V, r) are the codec's; `num_heads`: by default heads of 64, as published.

    The first stack's norms are shared where all copies are equal, as in the published files. Raises WeightsError for
    another layout.
    """
    ours: dict[str, Tensor] = {"codebooks": codebooks.float()}
    skipped: dict[str, str] = {}
    prefixed = any(key.startswith(PREFIX) for key in state)
    for key, value in state.items():
        bare = key.removeprefix(PREFIX)
        reason = next((why for pattern, why in IGNORED if re.match(pattern, bare)), None)
        if prefixed and not key.startswith(PREFIX):
            reason = IGNORED[0][1] if reason is None and re.match(r"encoder\.|embed_tokens\.", key) else reason
        if reason is not None:
            skipped[key] = reason
        else:
            ours[renamed(bare)] = value.float()
    shared = _share_norms(ours, skipped)
    return build(lambda: MaskedTokenTransformer(**sizes(ours, num_heads), shared_norm=shared,
                                                slot_order=slot_order), ours, "VATT Audio"), skipped


def renamed(key: str) -> str:
    """A published name -> ours; one that fits no rule stays, and is then reported as unknown."""
    for official, name in NAMES.items():
        key = key.replace(official, name, 1) if key.startswith(official) else key
    norm = re.fullmatch(r"(\w+)\.(?:layers\.(\d+)\.0\.0|final_norm)\.(?:([AB])\.)?(weight|bias)", key)
    if norm:
        stack, place, expert, what = norm.groups()
        return f"{stack}.norms.{'final' if place is None else place}.{EXPERTS[expert]}{what}"
    attention = re.fullmatch(r"(\w+)\.layers\.(\d+)\.1\.(to_\w+\.weight)", key)
    if attention:
        return f"{attention[1]}.attention.{int(attention[2]) // 2}.{attention[3]}"
    feed = re.fullmatch(r"(\w+)\.layers\.(\d+)\.1\.(?:([AB])\.)?ff\.(0\.0|2)\.weight", key)
    if feed:
        return f"{feed[1]}.feed_forward.{int(feed[2]) // 2}.{EXPERTS[feed[3]]}{FEED_FORWARD[feed[4]]}.weight"
    return key


def sizes(state: Mapping[str, Tensor], num_heads: int | None = None) -> dict[str, Any]:
    """The network's arguments, as the shapes of its tensors tell them. Raises WeightsError where they do not."""
    try:
        codebooks, size, width = state["codebooks"].shape
        dim, condition_dim = state["condition_projection.weight"].shape
        inner = len(state["joint_stack.attention.0.to_q.weight"])
    except (KeyError, ValueError) as error:
        raise WeightsError(f"this is not a checkpoint of VATT Audio: {error} is missing; name the published "
                           "file.") from error
    num_heads = num_heads or inner // HEAD_DIM
    depth = {stack: len({key.split(".")[2] for key in state if key.startswith(f"{stack}.attention.")})
             for stack in ("joint_stack", "audio_stack")}
    return {"condition_dim": condition_dim, "num_codebooks": codebooks, "codebook_size": size, "codebook_dim": width,
            "dim": dim, "num_heads": num_heads, "head_dim": inner // num_heads, "joint_layers": depth["joint_stack"],
            "audio_layers": depth["audio_stack"]}


def _share_norms(state: dict[str, Tensor], skipped: dict[str, str]) -> bool:
    """Give the norms their numbers; whether the first stack's copies are equal, and are kept once."""
    groups: dict[str, dict[str, Tensor]] = {}
    for key in [key for key in state if ".norms." in key]:
        stack, _, place, rest = key.split(".", 3)
        last = 2 * len({k for k in state if re.match(rf"{stack}\.attention\.\d+\.to_q", k)})
        groups.setdefault(f"{stack}.{rest}", {})[str(last) if place == "final" else place] = state.pop(key)
    first = [copies for name, copies in groups.items() if name.startswith("joint_stack")]
    shared = all(torch.equal(value, next(iter(copies.values()))) for copies in first for value in copies.values())
    for name, copies in groups.items():
        stack, rest = name.split(".", 1)
        for place, value in copies.items():
            if shared and stack == "joint_stack":
                state[f"{stack}.norms.0.{rest}"] = value
            else:
                state[f"{stack}.norms.{place}.{rest}"] = value
    return shared
