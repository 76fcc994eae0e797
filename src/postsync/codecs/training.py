"""Training recipes of the mel codec: a preset's name -> the untrained objective."""

from __future__ import annotations

from collections.abc import Callable

from . import presets
from .objective import MelVAEObjective, VocoderObjective

PRESETS: dict[str, Callable[[], presets.MelCodecPreset]] = {"mini": presets.mini, "tiny": presets.tiny}


def vae(preset: str) -> MelVAEObjective:
    """The mel codec's autoencoder."""
    return MelVAEObjective(PRESETS[preset]())


def vocoder(preset: str) -> VocoderObjective:
    """The mel codec's vocoder."""
    return VocoderObjective(PRESETS[preset]())
