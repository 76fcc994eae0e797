"""Checkpoints of the SiT family <-> our transformer, and a pipeline of the paper's size from published parts.

Our parameters carry the names of SiT, REPA and MDSGen, so reading means finding the state dict, stripping prefixes, and
reporting mismatches. Whether MGAudio's own checkpoints have exactly these names is not known: its repository could not
be read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor

from ...codecs import load_codec
from ...encoders import published
from ...encoders.cavp import Cavp, load_cavp
from ...errors import WeightsError
from ...weights.foreign import read_state
from ...weights.layout import rename
from .pipeline import MGAudioPipeline
from .presets import CAVP_WIDTH, SIZES, MGAudioPreset, SizeName, paper
from .transformer import FBDT

State = dict[str, Tensor]
Sign = Literal["velocity", "paper"]
"""What a network predicts: "velocity", noise - clean as in SiT's descendants and here, or the "paper"'s clean - noise.
"""

CONTAINERS = ("ema", "state_dict", "model")  # where REPA's, Lightning's and plain training scripts store it
PREFIXES = ((r"^(module\.|_orig_mod\.)+", ""),)  # of DistributedDataParallel and torch.compile
PROJECTOR = r"(module\.|_orig_mod\.)*projectors\."
OUTPUT = ("final_layer.linear.weight", "final_layer.linear.bias")


def read_official(path: str | Path) -> State:
    """The tensors of a `.safetensors`, `.pt` or `.ckpt`; averaged ones (`ema`) preferred. Raises WeightsError."""
    return read_state(path, CONTAINERS)


def from_official(state: Mapping[str, Tensor], preset: MGAudioPreset, *, sign: Sign = "velocity",
                  projector: bool = False) -> tuple[FBDT, dict[str, str]]:
    """The transformer of `preset` holding `state`, in eval mode, and the skipped keys, each with the reason.

    `sign` is what the checkpoint predicts; the "paper"'s is negated in the last layer. `projector`: keep the
    alignment's projector, to continue training. Raises WeightsError where a key is missing, unknown or of another size.
    """
    ours, ignored = rename(state, PREFIXES, () if projector else ((PROJECTOR, "needed in training only"),))
    with torch.device("meta"):
        model = FBDT(**preset.transformer | ({} if projector else {"align_dim": None}))
    _check(ours, {k: v.shape for k, v in model.state_dict().items()})
    model.load_state_dict(negated(ours) if sign == "paper" else ours, assign=True)
    model.pos_embed.requires_grad_(bool(model.config["train_positions"]))
    return model.eval(), ignored


def load_official(checkpoint: str | Path, preset: MGAudioPreset, *, sign: Sign = "velocity",
                  **parts: Any) -> MGAudioPipeline:
    """A checkpoint of the SiT family with `parts` (codec, cavp) as a pipeline. `sign`: what it predicts.

    Raises WeightsError if the file does not fit the preset.
    """
    transformer, _ = from_official(read_official(checkpoint), preset, sign=sign)
    return MGAudioPipeline.from_parts(preset, transformer=transformer.float(), **parts)


def assemble(checkpoint: Path, codec: Path, cavp: Path | None = None, *, size: SizeName = "B",
             sign: Sign = "velocity", latent_scale: float | None = None) -> MGAudioPipeline:
    """The complete pipeline of a checkpoint of the SiT family, so that it can be saved in one folder.

    `codec`: a folder with vae/ and vocoder/; `cavp`: a saved CAVP, None for the converted published one. `sign`: what
    the network predicts. `latent_scale`: the factor of its training latents, above 0; None: the codec's own factor
    (MDSGen's code suggests 4.0). Raises WeightsError for parts that are missing or do not fit.
    """
    if latent_scale is not None and not 0 < latent_scale < math.inf:
        raise WeightsError(f"a latent scale of {latent_scale:g}; it is above 0, such as 4.")
    return load_official(checkpoint, replace(paper(size), latent_scale=latent_scale), sign=sign,
                         codec=load_codec(codec, torch.float32), cavp=published_cavp(cavp))


def published_cavp(folder: Path | None = None) -> Cavp:
    """The CAVP saved in `folder`, by default the converted published one, float32, in eval mode.

    Raises WeightsError if it is absent or not of the paper's width.
    """
    cavp = load_cavp(folder) if folder else cast(Cavp, published.load("cavp"))
    width = cavp.config["embed_dim"]
    if width != CAVP_WIDTH:
        raise WeightsError(f"the CAVP of {folder} gives vectors of {width} values, and the paper's sizes take "
                           f"{CAVP_WIDTH}; name the published one.")
    return cavp


def to_official(model: FBDT, *, sign: Sign = "velocity") -> State:
    """The state dict in the names of SiT, REPA and MDSGen, predicting with the given sign."""
    state = {k: v.detach().clone() for k, v in model.state_dict().items()}
    return negated(state) if sign == "paper" else state


def negated(state: Mapping[str, Tensor]) -> State:
    """A state dict whose network predicts the negative: its linear last layer is negated."""
    return {k: -v if k in OUTPUT else v for k, v in state.items()}


def without_projector(model: FBDT) -> FBDT:
    """A copy for inference."""
    config = {name: value for name, value in model.config.items() if not name.startswith("_")}
    copy = FBDT(**config | {"align_dim": None})
    copy.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("projectors.")})
    return copy.eval()


def _check(found: Mapping[str, Tensor], wanted: Mapping[str, torch.Size]) -> None:
    """Raise WeightsError for a difference, naming the published size if the file is of another one."""
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
