"""Training recipes of the towers: a preset's name -> the untrained objective, on the bundled parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from .. import weights
from ..protocols.clip import Clip
from ..scenes.captions import paraphrases
from ..scenes.families import KNOWN
from ..weights.layout import check_blend
from . import cavp_objective, gram_objective
from . import gram as towers
from .cavp import load_cavp
from .text import WordPieceTokenizer

GRAM_PRESETS: dict[str, Callable[..., towers.GramConfig]] = {"mini": towers.mini, "tiny": towers.tiny}
CAVP_PRESETS: dict[str, Callable[[], cavp_objective.CavpTraining]] = {
    "mini": cavp_objective.mini, "tiny": cavp_objective.tiny}


def gram(preset: str, start: Path | None = None, blend: float | None = None) -> gram_objective.GramObjective:
    """GRAM's towers on the bundled vocabulary: from scratch, or from the trained ones in the folder `start`, with which
    `blend` mixes what is exported (`GramObjective.blend_with_start`).

    Raises ConditionError for a blend without a start.
    """
    check_blend(blend, start)
    if start is not None:
        encoder = towers.GramEncoder.from_pretrained(start).float()
    else:
        tokenizer = WordPieceTokenizer(weights.ROOT / "gram" / "vocab.txt")
        encoder = towers.GramEncoder.from_preset(GRAM_PRESETS[preset](vocab_size=len(tokenizer)), tokenizer)
    objective = gram_objective.GramObjective(encoder, gram_objective.mini(), captions=scene_captions)
    if blend is not None:
        objective.blend_with_start(blend)
    return objective


def gram_pictures(preset: str, gram: Path | None = None) -> gram_objective.GramObjective:
    """The video tower of GRAM (in the folder `gram`, by default the bundled one), trained further towards its audio and
    text embeddings."""
    encoder = towers.GramEncoder.from_pretrained(gram or weights.bundled("gram")).float()
    return gram_objective.GramObjective(encoder, gram_objective.mini_pictures(), captions=scene_captions)


def cavp(preset: str, start: Path | None = None) -> cavp_objective.CavpObjective:
    """CAVP's two encoders: from scratch, or the trained ones in the folder `start`.

    Raises WeightsError for a start that holds no CAVP.
    """
    objective = cavp_objective.CavpObjective(CAVP_PRESETS[preset]())
    if start is not None:
        objective.cavp = load_cavp(start).train()
    return objective


def scene_captions(clip: Clip) -> Sequence[str]:
    """All training paraphrases of a scene's family; the clip's own captions where it is not a scene."""
    return paraphrases(clip.label)[0] if clip.label in KNOWN else clip.captions
