"""Official checkpoints of Stable Audio Open and its control branch -> our parts, and the map to diffusers' names.

Our classes use the official key names, so reading only strips prefixes. Prefixes of a Lightning checkpoint of
riccardofosco95/Stable-Video2Audio are inferred from the nesting of its modules (foleygram.md section 5).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ...errors import WeightsError
from ...weights.foreign import read_state

State = dict[str, Tensor]

PARTS = {  # prefix of a key -> part of ours; longer prefixes first
    "model.model.model.": "transformer",
    "model.model.controlnet.": "controlnet",
    "model.conditioner.conditioners.": "conditioner",
    "model.pretransform.model.": "codec",
    "model.model.": "transformer",
    "conditioner.conditioners.": "conditioner",
    "pretransform.model.": "codec",
}
PROJECTIONS = {"frames.proj_out.": "proj_video.", "video.proj_out.": "proj_video.", "audio.proj_out.": "proj_audio.",
               "text.proj_out.": "proj_text."}  # conditioners of the predecessor's code -> names of our projections
IGNORED = {  # keys that no part of ours needs -> the reason
    "conditioner.prompt.": "T5, replaced by GRAM's tokens",
    "conditioner.envelope.": "a second copy of the codec; ours is shared",
    "conditioner.frames.": "an encoder of its own (CAVP), replaced by GRAM's video tower",
    "conditioner.audio.": "an encoder of its own (CLAP), replaced by GRAM's audio tower",
}
LAYER_NAMES = {  # official name within a layer -> diffusers' names; several: split along dim 0
    "pre_norm.gamma": ("norm1.weight",), "pre_norm.beta": ("norm1.bias",),
    "self_attn.to_qkv.weight": ("attn1.to_q.weight", "attn1.to_k.weight", "attn1.to_v.weight"),
    "self_attn.to_out.weight": ("attn1.to_out.0.weight",),
    "cross_attend_norm.gamma": ("norm2.weight",), "cross_attend_norm.beta": ("norm2.bias",),
    "cross_attn.to_q.weight": ("attn2.to_q.weight",),
    "cross_attn.to_kv.weight": ("attn2.to_k.weight", "attn2.to_v.weight"),
    "cross_attn.to_out.weight": ("attn2.to_out.0.weight",),
    "ff_norm.gamma": ("norm3.weight",), "ff_norm.beta": ("norm3.bias",),
    "ff.ff.0.proj.weight": ("ff.net.0.proj.weight",), "ff.ff.0.proj.bias": ("ff.net.0.proj.bias",),
    "ff.ff.2.weight": ("ff.net.2.weight",), "ff.ff.2.bias": ("ff.net.2.bias",),
}
OUTER_NAMES = {"timestep_features": "time_proj", "to_timestep_embed": "timestep_proj",
               "to_cond_embed": "cross_attention_proj", "to_global_embed": "global_proj",
               "transformer.project_in": "proj_in", "transformer.project_out": "proj_out"}
NO_COUNTERPART = ("transformer.rotary_pos_emb.inv_freq",)  # diffusers computes it


def read_official(path: str | Path) -> State:
    """The tensors of a `.safetensors`, `.ckpt` or `.pt`. Raises WeightsError."""
    return read_state(path, ("state_dict",))


def split_official(state: Mapping[str, Tensor]) -> tuple[dict[str, State], dict[str, str]]:
    """Official names -> state dicts by part (transformer, controlnet, conditioner, codec), and the ignored keys, each
    with the reason. Every key is in one or the other; raises WeightsError for a key that is not known.
    """
    parts: dict[str, State] = {}
    ignored: dict[str, str] = {}
    # in a checkpoint with a branch the DiT sits one level deeper, and "model.model." alone belongs to no part
    nested = any(key.startswith("model.model.model.") for key in state)
    for key, value in state.items():
        prefix = next((p for p in PARTS if key.startswith(p) and not (nested and p == "model.model.")), None)
        if prefix is None:
            raise WeightsError(f"key '{key}' belongs to no part of Stable Audio Open with a control branch; is this "
                               "another model's checkpoint?")
        part, name = PARTS[prefix], key.removeprefix(prefix)
        if part == "conditioner":
            for theirs, ours in PROJECTIONS.items():
                name = ours + name.removeprefix(theirs) if name.startswith(theirs) else name
            reason = next((why for p, why in IGNORED.items() if f"{part}.{name}".startswith(p)), None)
            if reason is not None:
                ignored[key] = reason
                continue
        parts.setdefault(part, {})[name] = value
    return parts, ignored


def sat_to_diffusers_keys(keys: Mapping[str, Tensor] | list[str]) -> dict[str, tuple[str, ...]]:
    """Official DiT key -> its names in diffusers' StableAudioDiTModel (empty where it has no counterpart).

    Raises WeightsError for a key of another layout (adaLN has none in diffusers).
    """
    table: dict[str, tuple[str, ...]] = {}
    for key in keys:
        if key in NO_COUNTERPART:
            table[key] = ()
        elif key.startswith("transformer.layers."):
            layer, name = key.removeprefix("transformer.layers.").split(".", 1)
            if name not in LAYER_NAMES:
                raise WeightsError(f"key '{key}' has no counterpart in diffusers' StableAudioDiTModel.")
            table[key] = tuple(f"transformer_blocks.{layer}.{n}" for n in LAYER_NAMES[name])
        else:
            outer, _, rest = key.rpartition(".")
            base = next((o for o in OUTER_NAMES if outer == o or outer.startswith(o + ".")), None)
            named = key if base is None else OUTER_NAMES[base] + outer.removeprefix(base) + "." + rest
            if base is None and not key.startswith(("preprocess_conv.", "postprocess_conv.")):
                raise WeightsError(f"key '{key}' has no counterpart in diffusers' StableAudioDiTModel.")
            table[key] = (named,)
    return table


def sat_to_diffusers(state: Mapping[str, Tensor]) -> State:
    """Official DiT state dict -> that of diffusers' StableAudioDiTModel."""
    result: State = {}
    for key, names in sat_to_diffusers_keys(list(state)).items():
        value = state[key][:, 0] if key == "timestep_features.weight" else state[key]
        result.update(zip(names, value.chunk(len(names)) if len(names) > 1 else (value,)))
    return result


def diffusers_to_sat(state: Mapping[str, Tensor], layout: Mapping[str, Tensor]) -> State:
    """The inverse; `layout` is a state dict of our DiT of the same size, which names the keys and provides the buffers
    that diffusers does not store. Raises WeightsError for a missing or unexpected key."""
    table = sat_to_diffusers_keys(list(layout))
    wanted = {n for names in table.values() for n in names}
    if wanted != set(state):
        wrong = sorted(wanted ^ set(state))
        raise WeightsError(f"{len(wrong)} keys are missing or unexpected, '{wrong[0]}' first; is the depth the same?")
    result = {k: torch.cat([state[n] for n in names]) if names else layout[k] for k, names in table.items()}
    result["timestep_features.weight"] = result["timestep_features.weight"][:, None]
    return result
