"""Training of the connectors: both U-Nets' predictions for one clip at one noise level, each told of the other modality
at a level of its own.

Source: arXiv 2409.17550; `SonyResearch/SVG_baseline` (read, not copied), section 7.2 of our notes. Captions are dropped
in a share of the samples; the published script, one clip a process, never drops one.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...backbones.audioldm import folded
from ...codecs.chunking import native_sound
from ...codecs.mel_vae import MelCodec
from ...codecs.pictures import CLIP_S, FRAME_RATE, PictureCodec, even_frames
from ...diffusion.schedule import Schedule
from ...diffusion.solvers import draw_noise
from ...encoders.caption_vectors import CaptionVectors, draw_caption
from ...encoders.gram import GramEncoder
from ...protocols.clip import Clip
from ...protocols.objective import Batch, ClipRequest, FrameRequest, Objective
from .joint import JointUNet, State, coarsest


@dataclass(frozen=True)
class Draws:
    """What a training step draws for a batch, in the order sound, picture. Timesteps stay on the CPU."""

    timesteps: Tensor  # (B,), shared
    told_timesteps: tuple[Tensor, Tensor]  # (B,) each, of what the connectors are given
    noise: tuple[Tensor, Tensor]
    kept: Tensor  # (2, B), whether the connectors are given the clean estimate

    @classmethod
    def new(cls, sound: Tensor, picture: Tensor, total: int, generator: torch.Generator,
            estimate_drop: float = 0.5) -> Draws:
        """Drawn for clean latents (B, ...)."""
        count = len(sound)
        times, heard, seen = torch.randint(total, (3, count), generator=generator)
        kept = torch.rand(2, count, generator=generator).to(sound.device) >= estimate_drop
        return cls(times, (heard, seen), (draw_noise(sound.shape, generator, sound),
                                          draw_noise(picture.shape, generator, picture)), kept)


def joint_losses(joint: JointUNet, schedules: tuple[Schedule, Schedule], clean: tuple[Tensor, Tensor],
                 words: tuple[Tensor, Tensor], draws: Draws) -> tuple[Tensor, Tensor]:
    """Mean squared errors of both predictions, for clean latents of sound (B, C, F, M) and picture (B, C, T, H, W).

    A first pass, without gradients and without an estimate, gives the clean estimate that the connectors are given
    beside noisy latents of another level, for a share of the samples (self-conditioning). Sound is padded, after it was
    noised, to what the U-Net's levels divide.
    """
    factor = coarsest(joint.audio_unet)
    noisy = [padded(of.add_noise(x, noise, draws.timesteps), factor if k == 0 else 1) for k, (of, x, noise) in
             enumerate(zip(schedules, clean, draws.noise, strict=True))]
    told = [padded(of.add_noise(x, noise, times), factor if k == 0 else 1) for k, (of, x, noise, times) in
            enumerate(zip(schedules, clean, draws.noise, draws.told_timesteps, strict=True))]

    def states(estimates: list[Tensor], told_timesteps: tuple[Tensor | None, Tensor | None]) -> list[State]:
        return [State(x, draws.timesteps, word, torch.cat([other, estimate], dim=1), times) for
                x, word, other, estimate, times in zip(noisy, words, told, estimates, told_timesteps, strict=True)]

    with torch.no_grad():
        first: Any = joint(*states([torch.zeros_like(x) for x in noisy], (None, None)))
        estimates = [of.clean_estimate(x, output, draws.timesteps) * kept.view(-1, *[1] * (x.dim() - 1))
                     for of, x, output, kept in zip(schedules, noisy, first, draws.kept, strict=True)]
    outputs: Any = joint(*states(estimates, draws.told_timesteps))
    heard, seen = (functional.mse_loss(output[:, :, :x.shape[2]], of.target(x, noise, draws.timesteps)) for
                   output, of, x, noise in zip(outputs, schedules, clean, draws.noise, strict=True))
    return heard, seen


def padded(latents: Tensor, factor: int) -> Tensor:
    """Latents (B, C, F, ...) with zeros after them, so that `factor` divides F."""
    missing = -latents.shape[2] % factor
    return functional.pad(latents, (0, 0) * (latents.dim() - 3) + (0, missing))


class JointObjective(Objective):
    """The sum of both losses, 1:1. A batch holds `sound` (B, 8, F, 16) and `pictures` (B, C, T, h, w), latents, and
    unit vectors `text` (B, K, D) of K captions, one of which is drawn at each step, for both."""

    def __init__(self, joint: JointUNet, schedules: tuple[Schedule, Schedule], codec: MelCodec, pictures: PictureCodec,
                 gram: GramEncoder, *, gains: tuple[float, float], folded_bins: int = 1, size: int = 64,
                 condition_drop: float = 0.1, num_captions: int = 8, train_motion: bool = False) -> None:
        """`gains`: of the words' vector, for sound and picture; `train_motion`: the motion modules are trained too, as
        by the published script."""
        super().__init__()
        self.joint, self.schedules, self.codec, self.pictures, self.gram = joint, schedules, codec, pictures, gram
        self.gains, self.folded_bins, self.size, self.condition_drop = gains, folded_bins, size, condition_drop
        self._captions = CaptionVectors(num_captions)
        for module in self.frozen():
            module.requires_grad_(False).eval()
        for name, parameter in joint.video_unet.named_parameters():
            parameter.requires_grad_(train_motion and "motion_modules" in name)

    @property
    def wants(self) -> ClipRequest:
        """Sound and pictures."""
        return ClipRequest(FrameRequest(self.size, FRAME_RATE), self.codec.sampling_rate, CLIP_S)

    def frozen(self) -> list[nn.Module]:
        """Both U-Nets, both codecs, and the words."""
        return [self.joint.audio_unet, self.joint.video_unet, self.codec, self.pictures, self.gram]

    def preparation(self) -> tuple[dict[str, Any], dict[str, nn.Module]]:
        """Codecs and words; the U-Nets play no part in it."""
        return ({"num_captions": self._captions.count},
                {"codec": self.codec, "pictures": self.pictures, "gram": self.gram})

    @torch.no_grad()
    def prepare(self, clip: Clip) -> Batch:
        """One training sample. Raises ConditionError for a clip without pictures, or without sound at the codec's rate.
        """
        sound = native_sound(clip, self.codec, round(CLIP_S * self.codec.latent_rate))
        frames = even_frames(clip, CLIP_S, FRAME_RATE).float() / 255
        return {"sound": self.codec.encode(sound[None]).mean[0].half(),
                "pictures": self.pictures.encode(frames[None])[0].half(), "text": self._captions(clip, self.gram)}

    def forward(self, batch: Batch, *, step: int, teacher: nn.Module | None = None,
                generator: torch.Generator | None = None) -> Batch:
        """`loss`, and its parts `audio` and `video`; `teacher` is not used."""
        generator = torch.Generator().manual_seed(step) if generator is None else generator
        vector = draw_caption(batch["text"].float(), generator, self.condition_drop)
        sound = folded(batch["sound"].float(), self.folded_bins)
        clean = sound, batch["pictures"].float()
        words = self.gains[0] * vector, self.gains[1] * vector[:, None]
        heard, seen = joint_losses(self.joint, self.schedules, clean, words,
                                   Draws.new(*clean, self.schedules[0].total, generator))
        return {"loss": heard + seen, "audio": heard.detach(), "video": seen.detach()}

    def export(self, folder: Path) -> None:
        """Write the connectors (float16), and the motion modules where they were trained."""
        copy.deepcopy(self.joint.connectors).half().save_pretrained(folder / "connectors")
        if any(parameter.requires_grad for parameter in self.joint.video_unet.parameters()):
            copy.deepcopy(self.joint.video_unet).half().save_pretrained(folder / "video_unet")
