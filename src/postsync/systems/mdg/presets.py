"""MDG's configurations: the published one, the mini, and one for tests."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ...backbones import audioldm
from ...backbones.audioldm import AudioLDMPreset


@dataclass(frozen=True)
class SamplerDefaults:
    """The sampler's defaults. `guide`: settings of the volume guide; None: none guides."""

    num_inference_steps: int = 30
    guidance_scale: float = 2.5
    window_overlap: int = 0  # latent frames shared by neighbouring windows of a long clip (ours)
    guide: dict[str, Any] | None = field(default_factory=dict)


@dataclass(frozen=True)
class MDGPreset:
    """The backbone, how it is sampled and guided, and whether GRAM's video tower knows film."""

    backbone: AudioLDMPreset
    sampler: SamplerDefaults
    sees_film: bool = True


def paper() -> MDGPreset:
    """AudioLDM-m under the guide as published: 30 steps, eta 0.1, a fresh Adam, 20 % warm-up, to the last step."""
    guide = {"order": "code", "optimizer": "adam", "step_size": 0.1, "warmup": 0.2, "stop": 1.0, "full_scale": False}
    return MDGPreset(audioldm.paper(), SamplerDefaults(window_overlap=62, guide=guide))


def paper_with_bundled_gram() -> MDGPreset:
    """The published backbone, guided by the bundled towers as the mini is (ours)."""
    return replace(paper(), sampler=SamplerDefaults(window_overlap=62, guide=mini().sampler.guide), sees_film=False)


def mini(text_dim: int = 128) -> MDGPreset:
    """The bundled backbone under a gentler guide than the published one (`docs/mdg.md`)."""
    return MDGPreset(audioldm.mini(text_dim), SamplerDefaults(window_overlap=51, guide={"step_size": 0.03}),
                     sees_film=False)


def tiny(text_dim: int = 8) -> MDGPreset:
    """Random weights for tests."""
    return MDGPreset(audioldm.tiny(text_dim), SamplerDefaults(num_inference_steps=4, window_overlap=4,
                                                              guide={"warmup": 0.0, "stop": 1.0}), sees_film=False)
