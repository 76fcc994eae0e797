"""FoleyGRAM's configurations: the published size, the one whose weights are in the package, and one for tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt
from typing import Any, Literal

from ...diffusion.solvers import SolverName


@dataclass(frozen=True)
class SamplerDefaults:
    """The sampler's defaults."""

    num_inference_steps: int = 150
    guidance_scale: float = 2.0
    guidance_interval: tuple[float, float] = (0.0, 1.0)  # times, 0 clean to 1 noise, between which to guide
    control_scale: float = 1.0
    sigma_min: float = 0.3
    sigma_max: float = 500.0
    solver: SolverName = "dpmpp_3m_sde"
    eta: float = 1.0
    window_overlap: int = 0  # latent frames shared by neighbouring windows
    guide_envelope: bool = False  # the unconditional half has no envelope either: guidance sharpens the timing too
    fader_db: float = 0.0  # how far a fader may move after decoding to match the envelope; 0: the paper's model alone
    stand_in: Literal["none", "recordings"] = "none"  # encoders/stand_ins.py: for a missing reference
    sharp_attacks: bool = False  # let hits rise at once (features/attacks.py); False: the paper's model alone


@dataclass(frozen=True)
class TrainingDefaults:
    """Dropout probabilities of a training sample's conditions, and what the control stage trains."""

    token_drop: float = 0.1  # all tokens at once, for classifier-free guidance
    video_drop: float = 0.1
    audio_drop: float = 0.3
    text_drop: float = 0.1
    envelope_drop: float = 0.2  # the "no control" code instead of the envelope
    envelope_perturbed: float = 0.5  # share of envelopes perturbed like predicted ones
    crop_frames: int = 0  # length of the crops of most steps, 0 for none: short ones allow more steps an hour
    crop_share: float = 0.75  # of the steps; the others see the native length
    time_mean: float = 0.0  # of the normal number whose sigmoid is the time: above 0, more noise
    uniform_time: float = 0.0  # share of times drawn uniformly instead of logit-normally
    silence_weight: float = 1.0  # in the loss, of frames in which the given envelope is silent
    train_projections: bool = True  # of the conditioner, in the control stage
    num_captions: int = 8  # paraphrases kept of a clip, one drawn at each step


@dataclass(frozen=True)
class FoleyGRAMPreset:
    """Sizes of all parts. `dit`, `conditioner` and `layout` are constructor arguments of the classes of that name."""

    dit: dict[str, Any]
    conditioner: dict[str, Any]
    layout: dict[str, Any]
    native_frames: int  # latent frames the model is trained on
    control_encoder: Literal["vae", "frames"]
    control_depth_factor: float
    sees_film: bool = True  # the video tower knows real pictures
    envelope_values: int = 4
    envelope_mu: float = 255.0
    sampler: SamplerDefaults = field(default_factory=SamplerDefaults)
    training: TrainingDefaults = field(default_factory=TrainingDefaults)


def paper() -> FoleyGRAMPreset:
    """Stable Audio Open 1.0 with GRAM's three tokens and a branch of four layers; 10 s clips (215 latents)."""
    return FoleyGRAMPreset(
        dit={}, conditioner={}, layout={"channels": 64}, native_frames=215, control_encoder="vae",
        control_depth_factor=0.2, sampler=SamplerDefaults(window_overlap=54))


def mini(gram_dim: int = 128) -> FoleyGRAMPreset:
    """The bundled model: 8.16 s of the mel codec's latents, (8, 204, 16) folded to (128, 204); 5.3 M values.

    adaLN, pooled tokens, embeddings far above unit scale and times of much noise, where the content is decided, because
    it trains for a few thousand steps, not a million.
    """
    return FoleyGRAMPreset(
        dit={"io_channels": 128, "embed_dim": 192, "depth": 6, "num_heads": 3, "cond_token_dim": 64,
             "global_cond_dim": 128, "ff_mult": 8 / 3, "global_cond_type": "adaLN", "pooled_cond": True},
        conditioner={"gram_dim": gram_dim, "cond_token_dim": 64, "number_dim": 64,
                     "embedding_gain": 8 * sqrt(gram_dim)},
        layout={"channels": 8, "bins": 16}, native_frames=204, control_encoder="frames", control_depth_factor=0.34,
        sees_film=False,
        sampler=SamplerDefaults(num_inference_steps=12, guidance_scale=2.5, eta=0.0, sigma_min=0.03, sigma_max=100.0,
                                window_overlap=51, guide_envelope=True, fader_db=18.0, stand_in="recordings",
                                sharp_attacks=True),
        training=TrainingDefaults(video_drop=0.7, audio_drop=0.7, envelope_drop=0.1, envelope_perturbed=0.3,
                                  crop_frames=68, crop_share=0.9, time_mean=1.0, uniform_time=0.3, silence_weight=0.2,
                                  train_projections=False))


def tiny(gram_dim: int = 8) -> FoleyGRAMPreset:
    """Random weights for tests: two layers, 16 latent frames."""
    return FoleyGRAMPreset(
        dit={"io_channels": 128, "embed_dim": 64, "depth": 2, "num_heads": 1, "cond_token_dim": 64,
             "global_cond_dim": 16, "ff_mult": 1.0, "global_cond_type": "adaLN", "pooled_cond": True},
        conditioner={"gram_dim": gram_dim, "cond_token_dim": 64, "number_dim": 8, "embedding_gain": sqrt(gram_dim)},
        layout={"channels": 8, "bins": 16}, native_frames=16, control_encoder="frames", control_depth_factor=0.5,
        sampler=SamplerDefaults(num_inference_steps=3, sigma_min=0.1, sigma_max=80.0, window_overlap=4),
        training=TrainingDefaults(train_projections=False, num_captions=3))
