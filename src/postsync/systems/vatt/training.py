"""Training recipes of VATT: a preset's name -> the untrained objective of a stage."""

from __future__ import annotations

from pathlib import Path

from ... import weights
from ...encoders.gram import load_gram
from . import presets
from .converter import VattConverter
from .objective import ConverterObjective

PRESETS = {"mini": presets.mini, "tiny": presets.tiny}


def converter(preset: str, gram: Path | None = None) -> ConverterObjective:
    """A language model from scratch, which sees through GRAM's video tower (in the folder `gram`, by default the
    bundled one) and speaks its words."""
    folder, sizes = gram or weights.bundled("gram"), PRESETS[preset]()
    eyes, tokenizer = load_gram(folder).float(), presets.mini_tokenizer(folder / "vocab.txt")
    return ConverterObjective(VattConverter(sizes.build(tokenizer), tokenizer, video_dim=eyes.config["video"]["width"],
                                            longest=sizes.longest), eyes)
