"""Training recipe of MGAudio: a preset's name, and the folders of its frozen parts -> the untrained objective."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from diffusers.utils import SAFETENSORS_WEIGHTS_NAME

from ... import weights
from ...codecs.mel_vae import MelCodec
from ...encoders.cavp import load_cavp
from ...errors import PostsyncError
from . import presets
from .checkpoint import from_official, published_cavp, read_official
from .objective import MGAudioObjective

PAPER: dict[str, Callable[[], presets.MGAudioPreset]] = {
    "paper": presets.paper, "paper-S": lambda: presets.paper("S"), "paper-B": lambda: presets.paper("B"),
    "paper-L": lambda: presets.paper("L"), "paper-XL": lambda: presets.paper("XL")}


def mgaudio(preset: str, start: Path | None = None, codec: Path | None = None, cavp: Path | None = None,
            video_features: Path | None = None) -> MGAudioObjective:
    """The transformer, over a codec and a CAVP, which is also the alignment's encoder.

    `codec`: a folder with vae/ and vocoder/; the mini has the bundled one by default, for the paper's sizes it must be
    given. `start`: a saved pipeline whose transformer is trained further; its average guides from the first step on.
    `cavp`: a saved CAVP; by default the bundled or the converted published one. `video_features`: see
    `MGAudioObjective.feature_folder`. Raises PostsyncError for parts that are missing or do not fit.
    """
    if preset == "mini":
        encoders = load_cavp(cavp or weights.bundled("cavp"))
        sizes = presets.mini(feature_dim=encoders.config["embed_dim"])
    else:
        if codec is None:
            raise PostsyncError(f"{preset} is trained on AudioLDM's codec; name its folder (vae/ and vocoder/) with "
                                "--part codec=FOLDER.")
        encoders, sizes = published_cavp(cavp), PAPER[preset]()
    if start is not None:
        sizes = replace(sizes, guidance=replace(sizes.guidance, start_step=0))
    objective = MGAudioObjective(sizes, codec=MelCodec.from_pretrained(codec or weights.bundled("mel_codec")),
                                 cavp=encoders, feature_folder=video_features, whole=bool(codec or cavp))
    if start is not None:
        trained, _ = from_official(read_official(start / "transformer" / SAFETENSORS_WEIGHTS_NAME), sizes)
        objective.transformer.load_state_dict(trained.state_dict(), strict=False)  # all but the alignment's projector
    return objective
