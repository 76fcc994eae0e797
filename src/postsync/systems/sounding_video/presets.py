"""Sounding Video's configurations: the published one, the mini, and one for tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...backbones import animatediff, audioldm
from ...backbones.animatediff import AnimateDiffPreset
from ...backbones.audioldm import AudioLDMPreset


@dataclass(frozen=True)
class SamplerDefaults:
    """The sampler's defaults; guidance of sound and picture. `gamma`: see `timesteps.exponents`."""

    num_inference_steps: int = 50
    guidance_scale: float = 2.5
    video_guidance_scale: float = 7.5
    gamma: float = 1.5
    overlap_s: float = 1.0  # shared by neighbouring windows of a long clip (ours)


@dataclass(frozen=True)
class SoundingVideoPreset:
    """The base models, settings of the connectors, and how the joint U-Net is sampled. `frame_rate` 8: as of the
    published weights for hits; 4: of those for landscapes."""

    audio: AudioLDMPreset
    video: AnimateDiffPreset | None  # None: from published folders alone
    connectors: Mapping[str, Any]
    sampler: SamplerDefaults = field(default_factory=SamplerDefaults)
    native_s: float = 4.0
    frame_rate: float = 8.0
    size: int = 256  # pixels a side
    reads_words: bool = False  # by GRAM's text tower


def paper() -> SoundingVideoPreset:
    """AudioLDM-m and AnimateDiff over Stable Diffusion 1.5, 467.7 M values of connectors."""
    return SoundingVideoPreset(audioldm.paper(), None, {"with_connector": (False, False, True, True)})


def mini(text_dim: int = 128) -> SoundingVideoPreset:
    """Four seconds of 64 x 64 at 8 fps with sound."""
    return SoundingVideoPreset(
        audioldm.mini(text_dim), animatediff.mini(text_dim),
        {"with_connector": (False, True, True), "connector_channel": 128, "multipliers": (1, 2)},
        SamplerDefaults(num_inference_steps=25, video_guidance_scale=4.0), size=64, reads_words=True)


def tiny(text_dim: int = 8) -> SoundingVideoPreset:
    """Random weights for tests."""
    video = animatediff.AnimateDiffPreset(
        animatediff.unet_arguments((64, 32), (False, True), 4, text_dim, heads=2, groups=4), text_gain=20.0, size=16,
        num_captions=3)
    audio = audioldm.AudioLDMPreset(
        audioldm.unet_arguments((64, 32), 1, (False, True), text_dim, channels=32, heads=2, groups=4),
        audioldm.SCHEDULE, folded_bins=4, native_frames=100, num_captions=3)
    return SoundingVideoPreset(
        audio, video,
        {"with_connector": (False, True), "connector_channel": 32, "multipliers": (1,), "num_blocks": (1,)},
        SamplerDefaults(num_inference_steps=2), size=16, reads_words=True)
