"""MGAudio's configurations: the four published sizes, the mini, and one for tests.

Where the paper and its public summary are silent, a field is marked "(inferred)" and its default follows the code the
method descends from: SiT, REPA, VMG, MDSGen. Change the field, not the code, when the authors' choice becomes known.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ...diffusion.solvers import FlowSolverName

Granularity = Literal["tokens", "time", "global"]
AlignEncoder = Literal["cavp", "clap", "gram"]
SizeName = Literal["S", "B", "L", "XL"]


@dataclass(frozen=True)
class SamplerDefaults:
    """The sampler's defaults."""

    num_inference_steps: int = 50
    guidance_scale: float = 1.45
    guidance_interval: tuple[float, float] = (0.0, 1.0)  # times guided, both ends included
    solver: FlowSolverName = "euler"  # (inferred)
    window_overlap: int = 0  # latent frames shared by neighbouring windows of a long clip (ours)


@dataclass(frozen=True)
class GuidanceTraining:
    """Audio model guidance: the target is shifted by the condition's effect on a teacher's prediction."""

    weight: float = 0.45  # w (inferred: VMG's total scale of 1.45 less 1)
    t_high: float = 0.75  # guided below this time (inferred)
    start_step: int = 100_000  # plain steps first; negative: never guided (inferred)
    condition_drop: float = 0.1  # psi, share of samples without condition, never guided (inferred)


@dataclass(frozen=True)
class AlignmentTraining:
    """The second role of CAVP: token states are aligned with its features of the sound."""

    weight: float = 0.5  # lambda of the paper; 0 switches it off
    mode: Granularity = "tokens"  # the range of the cosine's average (inferred)
    encoder: AlignEncoder = "cavp"


@dataclass(frozen=True)
class TrainingDefaults:
    """Processing of a training sample."""

    sample_posterior: bool = True  # draw latents from the codec's posterior, not its mean (inferred)
    waveform_peak: float | None = 0.5  # AudioLDM's level before its codec; None keeps it (inferred)
    cached_s: float = 8.16  # of each clip; longer than the native length: random crops of it (inferred: none)
    weight_decay: float = 0.0  # (inferred)


@dataclass(frozen=True)
class MGAudioPreset:
    """Sizes of all parts. `transformer` holds constructor arguments of `FBDT`."""

    transformer: dict[str, Any]
    native_frames: int = 204  # latent frames the model is trained on: 8.16 s
    latent_scale: float | None = None  # of the codec's latents; None: its own `scaling_factor` (inferred)
    sees_film: bool = True  # the video encoder knows real pictures
    sampler: SamplerDefaults = field(default_factory=SamplerDefaults)
    guidance: GuidanceTraining = field(default_factory=GuidanceTraining)
    alignment: AlignmentTraining = field(default_factory=AlignmentTraining)
    training: TrainingDefaults = field(default_factory=TrainingDefaults)


CAVP_WIDTH = 512  # values of a vector of the published CAVP
SIZES: dict[str, dict[str, int]] = {  # the block aligned, encoder_depth, is inferred
    "S": {"hidden_size": 384, "depth": 12, "num_heads": 6, "encoder_depth": 4},
    "B": {"hidden_size": 768, "depth": 12, "num_heads": 12, "encoder_depth": 4},
    "L": {"hidden_size": 1024, "depth": 24, "num_heads": 16, "encoder_depth": 8},
    "XL": {"hidden_size": 1152, "depth": 28, "num_heads": 16, "encoder_depth": 8},
}


def paper(size: SizeName = "B") -> MGAudioPreset:
    """33.0, 130.6, 458.2 or 675.2 M values on 8.16 s of AudioLDM's latents and CAVP's features."""
    return MGAudioPreset(transformer=dict(SIZES[size]), sampler=SamplerDefaults(window_overlap=52))


def mini(feature_dim: int = 128) -> MGAudioPreset:
    """The bundled size: 102 tokens of two latent frames and all bins, 5.2 M values without the projector.

    Tokens of half the band would have to learn that its halves sound together. `feature_dim`: width of the mini CAVP.
    Guidance starts after 2,000 steps, not after 100,000: the training has only a few thousand.
    """
    return MGAudioPreset(
        transformer={"patch_size": (2, 16), "hidden_size": 256, "depth": 4, "num_heads": 4, "encoder_depth": 2,
                     "feature_dim": feature_dim, "align_dim": feature_dim, "projector_dim": 512},
        sees_film=False, sampler=SamplerDefaults(num_inference_steps=25, guidance_scale=2.0, window_overlap=52),
        guidance=GuidanceTraining(start_step=2000), training=TrainingDefaults(waveform_peak=1.0))


def tiny(feature_dim: int = 12) -> MGAudioPreset:
    """Random weights for tests: two blocks, 16 latent frames (0.64 s) and two frames of the picture."""
    return replace(
        mini(feature_dim), native_frames=16,
        transformer={"latent_frames": 16, "patch_size": (2, 8), "hidden_size": 32, "depth": 2, "num_heads": 2,
                     "encoder_depth": 1, "feature_dim": feature_dim, "num_features": 2, "align_dim": feature_dim,
                     "projector_dim": 16},
        sampler=SamplerDefaults(num_inference_steps=3, guidance_scale=2.0, window_overlap=4),
        guidance=GuidanceTraining(start_step=2), training=TrainingDefaults(waveform_peak=1.0, cached_s=0.64))
