"""Checkpoints of the SiT family <-> our transformer.

Our parameters carry the names of SiT, REPA and MDSGen, so reading means finding the state dict, taking prefixes off,
and telling what does not fit. Whether MGAudio's own checkpoints have exactly these names is not known: its repository
could not be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ...errors import WeightsError
from ...weights.foreign import read_state
from ...weights.layout import rename
from .presets import SIZES, MGAudioPreset
from .transformer import FBDT

State = dict[str, Tensor]
Sign = Literal["velocity", "paper"]
"""What a network predicts: "velocity", noise - clean as in SiT's descendants and here, or the "paper"'s clean - noise.
"""

CONTAINERS = ("ema", "state_dict", "model")  # where REPA's, Lightning's and plain training scripts keep it
PREFIXES = ((r"^(module\.|_orig_mod\.)+", ""),)  # of DistributedDataParallel and torch.compile
PROJECTOR = r"(module\.|_orig_mod\.)*projectors\."
OUTPUT = ("final_layer.linear.weight", "final_layer.linear.bias")


def read_official(path: str | Path) -> State:
    """The tensors of a `.safetensors`, `.pt` or `.ckpt`; averaged ones (`ema`) before others. Raises WeightsError."""
    return read_state(path, CONTAINERS)


def from_official(state: Mapping[str, Tensor], preset: MGAudioPreset, *, sign: Sign = "velocity",
                  projector: bool = False) -> tuple[FBDT, dict[str, str]]:
    """The transformer of `preset` holding `state`, in eval mode, and the keys left out, each with the reason.

    `sign` is what the checkpoint predicts; the "paper"'s is turned round in the last layer. `projector`: keep the
    alignment's projector, to train on. Raises WeightsError where a key is missing, unknown or of another size.
    """
    ours, ignored = rename(state, PREFIXES, () if projector else ((PROJECTOR, "needed in training only"),))
    with torch.device("meta"):
        model = FBDT(**preset.transformer | ({} if projector else {"align_dim": None}))
    _check(ours, {k: v.shape for k, v in model.state_dict().items()})
    model.load_state_dict(turned(ours) if sign == "paper" else ours, assign=True)
    model.pos_embed.requires_grad_(bool(model.config["train_positions"]))
    return model.eval(), ignored


def to_official(model: FBDT, *, sign: Sign = "velocity") -> State:
    """The state dict in the names of SiT, REPA and MDSGen, predicting with the sign asked for."""
    state = {k: v.detach().clone() for k, v in model.state_dict().items()}
    return turned(state) if sign == "paper" else state


def turned(state: Mapping[str, Tensor]) -> State:
    """A state dict whose network says the opposite: its last layer, linear, is negated."""
    return {k: -v if k in OUTPUT else v for k, v in state.items()}


def without_projector(model: FBDT) -> FBDT:
    """A copy for inference."""
    config = {name: value for name, value in model.config.items() if not name.startswith("_")}
    copy = FBDT(**config | {"align_dim": None})
    copy.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("projectors.")})
    return copy.eval()


def _check(found: Mapping[str, Tensor], wanted: Mapping[str, torch.Size]) -> None:
    """Raise WeightsError for a difference, naming the published size where the file is of another one."""
    wrong = sorted(k for k in wanted.keys() | found.keys() if k not in found or found[k].shape != wanted.get(k))
    if not wrong:
        return
    key = wrong[0]
    file = tuple(found[key].shape) if key in found else "absent"
    network = tuple(wanted[key]) if key in wanted else "absent"
    advice = "is this another model's checkpoint?"
    if "pos_embed" in found:
        width = found["pos_embed"].shape[-1]
        depth = len({k.split(".")[1] for k in found if k.startswith("blocks.")})
        size = next((n for n, s in SIZES.items() if (s["hidden_size"], s["depth"]) == (width, depth)), None)
        known = f"paper size {size}" if size else "none of the paper's sizes"
        advice = f"its width {width} and depth {depth} are those of {known}; choose the preset that fits."
    raise WeightsError(f"{len(wrong)} tensors do not fit, '{key}' first (file {file}, network {network}); {advice}")
