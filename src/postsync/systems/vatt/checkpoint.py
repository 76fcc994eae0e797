"""VATT's published checkpoints -> ours: every key is used, or skipped for a named reason.

Source: the layout of `DragonLiu1995/video-to-audio-through-text` (read for its names).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...errors import WeightsError
from ...weights.layout import build
from .decoder import MaskedTokenTransformer

PREFIX = "audio_token_decoder."  # in the published Lightning files
IGNORED = ((r"encoder\.(?!attn_layers)|embed_tokens\.", "of the language model, which is loaded from its own folder"),
           (r"pos_embed$", "a fixed table of sines, which is computed"))
NAMES = {"modality_v": "condition_type", "modality_a": "audio_type", "embedding.special.MASK": "mask_vectors",
         "embedding.out_proj": "token_projection", "img_linear": "condition_projection", "classifier": "heads",
         "encoder.attn_layers": "joint_stack", "decoder.attn_layers": "audio_stack"}
EXPERTS = {"A": "condition.", "B": "audio.", None: ""}
FEED_FORWARD = {"0.0": "0", "2": "3"}


def from_official(state: Mapping[str, Tensor], codebooks: Tensor, *, num_heads: int = 16,
                  slot_order: str = "official") -> tuple[MaskedTokenTransformer, dict[str, str]]:
    """VATT Audio's state dict, with or without the Lightning prefix -> the network in eval mode, and the skipped keys,
    each with the reason. `codebooks` (K, V, r) are the codec's.

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


def sizes(state: Mapping[str, Tensor], num_heads: int) -> dict[str, Any]:
    """The network's arguments, as the shapes of its tensors tell them. Raises WeightsError where they do not."""
    try:
        codebooks, size, width = state["codebooks"].shape
        dim, condition_dim = state["condition_projection.weight"].shape
        inner = len(state["joint_stack.attention.0.to_q.weight"])
    except (KeyError, ValueError) as error:
        raise WeightsError(f"this is not a checkpoint of VATT Audio: {error} is missing; name the published "
                           "file.") from error
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
