"""Training recipe of the timing predictor, and its scenes."""

from __future__ import annotations

from typing import Any

from ..scenes.families import FAMILIES
from ..scenes.nuisances import NuisanceConfig
from .objective import TimingObjective
from .predictor import TimingPredictor

SIZES: dict[str, dict[str, int]] = {"mini": {}, "tiny": {"num_members": 1, "width": 8, "hidden": 8}}


def timing(preset: str) -> TimingObjective:
    """The timing predictor."""
    return TimingObjective(TimingPredictor(**SIZES[preset]))


def timing_scenes() -> dict[str, Any]:
    """Arguments of SceneConfig: mostly impacts, mostly clean (what the features remove need not be learnt), small
    nuisances one at a time.
    """
    kinds = {name: family.kind for name, family in FAMILIES.items()}
    impacts = [n for n in FAMILIES if kinds[n] == "strike"] + [
        "ball_bounce", "footsteps", "door_knock", "clap", "bang", "cymbal", "splash", "bell", "clock_tick"]
    agitation = ["bark", "bark", "bark", "engine_start", "whistle"]
    rest = [n for n in FAMILIES if kinds[n] in ("scrape", "texture")]
    # a family's share is proportional to its occurrences
    families = (*impacts * 5, *agitation * 5, *rest)
    return {"families": families, "silent": 0.4,
            "nuisances": NuisanceConfig(texture=0.8, photo=1.0, grain=0.6, shake=0.5, pan=0.5, zoom=0.4, cuts=0.4,
                                        blur=0.7, exposure=0.5, compression=0.6, rate=0.7, occlusion=0.4, movers=0.3)}
