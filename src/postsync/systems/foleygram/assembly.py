"""FoleyGRAM from published parts: Stable Audio Open's folder, GRAM's towers, and, where one was trained, a branch.

Both layouts of Stable Audio Open are read: stable-audio-tools' (`model_config.json` beside `model.safetensors` or
`model.ckpt`, or such a file alone) and diffusers' (`transformer/`, `vae/`, `projection_model/`). Sizes come from the
shapes of the tensors; every key is used, or ignored for a reason (`checkpoint.IGNORED`).
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...codecs.oobleck import OobleckCodec, from_official
from ...encoders.gram import load_gram
from ...errors import WeightsError
from ...notes import note
from ...weights.foreign import read_state
from ...weights.layout import build
from . import presets
from .checkpoint import NO_COUNTERPART, State, diffusers_to_sat, read_official, sat_to_diffusers_keys, split_official
from .conditioning import FoleyConditioner
from .controlnet import DiTControlNet
from .dit import RotaryEmbedding, StableAudioDiT
from .pipeline import FoleyGRAMPipeline

log = logging.getLogger(__name__)

HEAD_WIDTH = 64  # of Stable Audio Open
MAX_SECONDS = 512.0
FILES = ("model.safetensors", "model.ckpt")  # of stable-audio-tools
SEED = 0  # of what is not in the published files: the projections of GRAM's embeddings
_NUMBERS = {"start_number_conditioner.": "seconds_start.", "end_number_conditioner.": "seconds_total."}


def assemble(checkpoint: Path, gram: Path, control: Path | None = None, *,
             depth_factor: float = 0.2) -> FoleyGRAMPipeline:
    """The pipeline over a Stable Audio Open and GRAM's towers in the folder `gram`.

    `control`: a checkpoint of the branch and the projections, in the names of its official code; without it both are
    new (the branch changes nothing yet) and are to be trained; `depth_factor`: share of the transformer's layers that
    a new branch copies. Raises WeightsError for parts that are missing, half downloaded, or another model's.
    """
    parts, rate = _diffusers(checkpoint) if (checkpoint / "transformer").is_dir() else _stable_audio_tools(checkpoint)
    if control is not None:
        trained, _ = split_official(read_official(control))
        if "controlnet" not in trained:
            raise WeightsError(f"{control}: holds no control branch; name a checkpoint with one.")
        parts["controlnet"] = trained["controlnet"]
        parts["conditioner"] = parts.get("conditioner", {}) | trained.get("conditioner", {})
    for name, what in (("transformer", "diffusion transformer"), ("codec", "codec"), ("conditioner", "conditioners of "
                                                                                      "start and length")):
        if not parts.get(name):
            raise WeightsError(f"{checkpoint}: holds no {what}; download all of Stable Audio Open.")
    transformer = build(lambda: StableAudioDiT(**_sizes(parts["transformer"], "transformer")), parts["transformer"],
                        "Stable Audio Open's transformer")
    codec = parts["codec"] if isinstance(parts["codec"], OobleckCodec) else from_official(parts["codec"],
                                                                                       sampling_rate=rate)
    towers = load_gram(gram)
    conditioner = _conditioner(parts["conditioner"], towers.embedding_dim, transformer)
    branch = (DiTControlNet.from_dit(transformer, depth_factor, "vae") if "controlnet" not in parts else
              build(lambda: DiTControlNet(**_sizes(parts["controlnet"], "controlnet")), parts["controlnet"],
                    "FoleyGRAM's control branch"))
    preset = replace(presets.paper(), layout={"channels": transformer.config["io_channels"]})
    return FoleyGRAMPipeline.from_parts(preset, transformer=transformer, conditioner=conditioner, controlnet=branch,
                                        codec=codec, gram=towers)


def _stable_audio_tools(checkpoint: Path) -> tuple[dict[str, Any], int]:
    """State dicts by part, and the codec's rate, of a folder or file of stable-audio-tools."""
    file, rate = checkpoint, 44100
    if checkpoint.is_dir():
        file = next((checkpoint / name for name in FILES if (checkpoint / name).is_file()), checkpoint / FILES[0])
        settings = checkpoint / "model_config.json"
        if not file.is_file():
            raise WeightsError(f"{checkpoint}: holds neither {' nor '.join(FILES)}, nor transformer/ as diffusers lays "
                               "it out; download all of Stable Audio Open.")
        if settings.is_file():
            try:
                rate = int(json.loads(settings.read_text(encoding="utf-8")).get("sample_rate", rate))
            except ValueError as error:
                raise WeightsError(f"{settings}: is not JSON ({error}); download it again.") from error
    parts, ignored = split_official(read_official(file))
    for reason in dict.fromkeys(ignored.values()):
        count = sum(why == reason for why in ignored.values())
        note(log, "%s: %d tensors are not used: %s", file, count, reason)
    return dict(parts), rate


def _diffusers(checkpoint: Path) -> tuple[dict[str, Any], int]:
    """The same of a folder in diffusers' layout; the codec is loaded."""
    theirs = _folder_state(checkpoint / "transformer")
    with torch.device("meta"):
        layout = StableAudioDiT(**_sizes(theirs, "transformer", diffusers=True)).state_dict()
    computed, = NO_COUNTERPART  # a table of frequencies, which diffusers does not store
    layout[computed] = RotaryEmbedding(2 * len(layout[computed])).inv_freq
    numbers: State = {}
    for key, value in _folder_state(checkpoint / "projection_model").items():
        prefix = next((p for p in _NUMBERS if key.startswith(p)), None)
        if prefix is not None:
            rest = key.removeprefix(prefix).replace("time_positional_embedding.", "embedder.embedding.")
            numbers[_NUMBERS[prefix] + rest] = value
        elif not key.startswith("text_projection."):
            raise WeightsError(f"{checkpoint / 'projection_model'}: key '{key}' belongs to no projection of Stable "
                               "Audio; is this another model's folder?")
    codec = OobleckCodec.from_pretrained(checkpoint / "vae")
    parts = {"transformer": diffusers_to_sat(theirs, layout), "conditioner": numbers, "codec": codec}
    return parts, codec.sampling_rate


def _folder_state(folder: Path) -> State:
    """All tensors of a model's folder, whose weights may lie in several files. Raises WeightsError."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise WeightsError(f"{folder}: holds no .safetensors; download all of Stable Audio Open in diffusers' layout.")
    return {key: value for file in files for key, value in read_state(file).items()}


def _conditioner(state: Mapping[str, Tensor], gram_dim: int, transformer: StableAudioDiT) -> FoleyConditioner:
    """The conditioner with published numbers, and projections as given, else new from a fixed seed."""
    width = transformer.config["cond_token_dim"]
    number = state.get("seconds_start.embedder.embedding.1.bias")
    if number is None:
        raise WeightsError("the checkpoint holds no conditioner of seconds_start; is it Stable Audio Open's?")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        conditioner = FoleyConditioner(gram_dim=gram_dim, cond_token_dim=width, number_dim=len(number),
                                       max_seconds=MAX_SECONDS)
    new = {key: value for key, value in conditioner.state_dict().items() if key.startswith("proj_")}
    if missing := sorted(key for key in new if key not in state):
        note(log, "%d tensors of the projections of GRAM's embeddings are new and untrained: postsync train "
             "foleygram_control trains them, and the branch", len(missing))
    return build(lambda: FoleyConditioner(**{k: v for k, v in conditioner.config.items() if not k.startswith("_")}),
                 new | dict(state), "FoleyGRAM's conditioner")


def _sizes(state: Mapping[str, Tensor], part: str, diffusers: bool = False) -> dict[str, Any]:
    """Arguments of the transformer, or of the branch, that tensors in the official names, or in diffusers', were made
    with."""

    def tensor(name: str) -> Tensor:
        return state[sat_to_diffusers_keys([name])[name][0] if diffusers else name]

    layers = re.compile(r"transformer(?:\.layers|_blocks)\.(\d+)\.")
    try:
        embed_dim, io_channels = tensor("transformer.project_in.weight").shape
        inner = tensor("transformer.layers.0.ff.ff.0.proj.weight").shape[0] // 2
        sizes = {"io_channels": io_channels, "embed_dim": embed_dim,
                 "depth": 1 + max(int(found[1]) for key in state if (found := layers.match(key))),
                 "num_heads": embed_dim // HEAD_WIDTH, "cond_token_dim": tensor("to_cond_embed.0.weight").shape[1],
                 "global_cond_dim": tensor("to_global_embed.0.weight").shape[1], "ff_mult": inner / embed_dim}
    except (KeyError, ValueError, IndexError) as error:
        raise WeightsError(f"this is no {part} of Stable Audio Open ({error}); is it another model's checkpoint?"
                           ) from error
    return sizes | ({"control_encoder": "vae"} if part == "controlnet" else {})
