"""MDG from published parts: AudioLDM's folder and GRAM's, complete in one folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...backbones.audioldm import load_unet, load_words
from ...codecs import load_codec
from ...encoders.gram import load_gram
from ...errors import WeightsError
from . import presets
from .pipeline import MDGPipeline

SIZES = {"paper": presets.paper, "mini": presets.mini}


def assemble(checkpoint: Path, gram: Path | None = None, codec: Path | None = None, *,
             size: str = "paper") -> MDGPipeline:
    """The pipeline of an AudioLDM in diffusers' layout (`unet/`, `scheduler/`; of the published ones also `vae/`,
    `vocoder/`, `text_encoder/`, `tokenizer/`), or of an export of `postsync train audioldm` with size "mini".

    `gram`: folder of saved towers; `codec`: one with vae/ and vocoder/. Of the mini both may stay away: the bundled
    ones serve then. Raises WeightsError for parts that are missing or do not fit.
    """
    import torch

    preset = SIZES[size]()
    unet, scheduler = load_unet(checkpoint)
    if unet.config["in_channels"] != preset.backbone.unet["in_channels"]:
        raise WeightsError(f"{checkpoint}: its U-Net takes {unet.config['in_channels']} channels, that of the size "
                           f"{size} {preset.backbone.unet['in_channels']}; name the other size.")
    parts: dict[str, Any] = {"unet": unet, "scheduler": scheduler}
    if (checkpoint / "text_encoder").is_dir():
        parts |= load_words(checkpoint)
    elif size == "paper":
        raise WeightsError(f"{checkpoint}: has no text_encoder/ and tokenizer/, by which AudioLDM reads words; "
                           "download the whole folder.")
    if codec is not None or (checkpoint / "vae").is_dir():
        parts["codec"] = load_codec(codec or checkpoint, torch.float32)
    elif size == "paper":
        raise WeightsError(f"{checkpoint}: has no vae/ and vocoder/; download the whole folder, or name --part codec.")
    if gram is not None:
        parts["gram"] = load_gram(gram)
    elif size == "paper":
        raise WeightsError("the published MDG is guided by GRAM's published towers; name their folder, --part "
                           "gram=FOLDER (postsync weights convert).")
    return MDGPipeline.from_parts(preset, **parts)

