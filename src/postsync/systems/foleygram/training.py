"""Training recipes of FoleyGRAM: a preset's name -> the untrained objective of either stage, with bundled codec and
towers.
"""

from __future__ import annotations

from pathlib import Path

from ... import weights
from ...codecs.mel_vae import MelCodec
from ...encoders.gram import GramEncoder
from ...errors import PostsyncError
from . import presets
from .objective import FoleyGRAMObjective
from .pipeline import FoleyGRAMPipeline

PRESETS = {"mini": presets.mini}


def base(preset: str) -> FoleyGRAMObjective:
    """The diffusion transformer."""
    encoder = GramEncoder.from_pretrained(weights.bundled("gram"))
    return FoleyGRAMObjective(PRESETS[preset](gram_dim=encoder.embedding_dim), stage="base",
                              codec=MelCodec.from_pretrained(weights.bundled("mel_codec")), gram=encoder)


def control(preset: str, base: Path | None = None) -> FoleyGRAMObjective:
    """The control branch, over the pipeline in the folder `base` (default: the bundled one).

    Raises PostsyncError for a folder that holds no pipeline.
    """
    if base is not None and not (base / "model_index.json").is_file():
        raise PostsyncError(f"{base} holds no saved pipeline; name the export folder of a trained foleygram_base.")
    pipeline = FoleyGRAMPipeline.from_pretrained(base or weights.bundled("foleygram"))
    return FoleyGRAMObjective(PRESETS[preset](gram_dim=pipeline.conditioner.config["gram_dim"]), stage="control",
                              base=pipeline, codec=pipeline.codec, gram=pipeline.gram)
