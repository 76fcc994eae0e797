"""Training recipes of FoleyGRAM: a preset's name -> the untrained objective of a stage, with bundled codec and
towers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from ... import weights
from ...codecs.mel_vae import MelCodec
from ...encoders.gram import GramEncoder
from ...errors import PostsyncError
from . import presets
from .objective import FoleyGRAMObjective
from .pipeline import FoleyGRAMPipeline

PRESETS = {"mini": presets.mini}


def base(preset: str, start: Path | None = None, codec: Path | None = None,
         gram: Path | None = None) -> FoleyGRAMObjective:
    """The diffusion transformer: from scratch, or from the pipeline in the folder `start`.

    `codec`, `gram`: folders of trained ones, by default the bundled. Raises PostsyncError for a start without a
    pipeline.
    """
    return _from("base", preset, start, codec, gram)


def joint(preset: str, start: Path | None = None, codec: Path | None = None,
          gram: Path | None = None) -> FoleyGRAMObjective:
    """The diffusion transformer and its control branch, trained as one; arguments and errors as of `base`."""
    return _from("joint", preset, start, codec, gram)


def _from(stage: Literal["base", "joint"], preset: str, start: Path | None, codec: Path | None,
          gram: Path | None) -> FoleyGRAMObjective:
    encoder = GramEncoder.from_pretrained(gram or weights.bundled("gram"))
    return FoleyGRAMObjective(PRESETS[preset](gram_dim=encoder.embedding_dim), stage=stage,
                              base=None if start is None else _pipeline(start),
                              codec=MelCodec.from_pretrained(codec or weights.bundled("mel_codec")), gram=encoder)


def control(preset: str, base: Path | None = None, codec: Path | None = None,
            gram: Path | None = None) -> FoleyGRAMObjective:
    """The control branch, over the pipeline in the folder `base` (default: the bundled one); `codec`, `gram`: as there.

    Raises PostsyncError for a folder that holds no pipeline.
    """
    parts = {name: folder for name, folder in (("codec", codec), ("gram", gram)) if folder is not None}
    pipeline = _pipeline(base or weights.bundled("foleygram"), parts)
    return FoleyGRAMObjective(PRESETS[preset](gram_dim=pipeline.conditioner.config["gram_dim"]), stage="control",
                              base=pipeline, codec=pipeline.codec, gram=pipeline.gram)


def _pipeline(folder: Path, parts: Mapping[str, Path] | None = None) -> FoleyGRAMPipeline:
    """The pipeline saved in a folder. Raises PostsyncError for one that holds none."""
    if not (folder / "model_index.json").is_file():
        raise PostsyncError(f"{folder} holds no saved pipeline; name the export folder of a trained foleygram_base.")
    return FoleyGRAMPipeline.from_pretrained(folder, parts=parts)
