"""A pipeline of the paper's size from published parts: a checkpoint, AudioLDM's codec, and CAVP."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import cast

from ...codecs.mel_vae import MelCodec
from ...encoders import published
from ...encoders.cavp import Cavp, load_cavp
from ...errors import WeightsError
from .checkpoint import Sign
from .pipeline import MGAudioPipeline
from .presets import CAVP_WIDTH, SizeName, paper


def assemble(checkpoint: Path, codec: Path, cavp: Path | None = None, *, size: SizeName = "B",
             sign: Sign = "velocity", latent_scale: float | None = None) -> MGAudioPipeline:
    """The pipeline of a checkpoint of the SiT family, whole, so that it can be saved in one folder.

    `codec`: a folder with vae/ and vocoder/; `cavp`: a saved CAVP, None for the converted published one. `sign`: what
    the network predicts, see `checkpoint.py`. `latent_scale`: what the latents it was trained on were multiplied by,
    above 0; None: the codec's own factor (MDSGen's code suggests 4.0). Raises WeightsError for what is missing or does
    not fit.
    """
    if latent_scale is not None and not 0 < latent_scale < math.inf:
        raise WeightsError(f"a latent scale of {latent_scale:g}; it is above 0, such as 4.")
    return MGAudioPipeline.from_official(checkpoint, replace(paper(size), latent_scale=latent_scale), sign=sign,
                                         codec=MelCodec.from_pretrained(codec), cavp=published_cavp(cavp))


def published_cavp(folder: Path | None = None) -> Cavp:
    """The CAVP saved in `folder`, by default the converted published one, float32, in eval mode.

    Raises WeightsError where it is absent or not as wide as the paper's sizes take it.
    """
    cavp = load_cavp(folder) if folder else cast(Cavp, published.load("cavp"))
    width = cavp.config["embed_dim"]
    if width != CAVP_WIDTH:
        raise WeightsError(f"the CAVP of {folder} gives vectors of {width} values, and the paper's sizes take "
                           f"{CAVP_WIDTH}; name the published one.")
    return cavp
