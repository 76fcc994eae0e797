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

from ...backbones.animatediff import save_video_unet
from ...backbones.audioldm import folded
from ...codecs.chunking import native_sound
from ...codecs.mel_vae import MelCodec
from ...codecs.pictures import CLIP_S, FRAME_RATE, PictureCodec, even_frames
from ...diffusion.schedule import Schedule
from ...diffusion.solvers import draw_noise, frame_noise
from ...encoders.caption_vectors import CaptionVectors, draw_caption
from ...encoders.gram import GramEncoder
from ...protocols.clip import Clip, hits_at_frames
from ...protocols.objective import Batch, ClipRequest, FrameRequest, Objective
from .joint import JointUNet, State, coarsest, time_embedding
from .sequences import as_sequence


@dataclass(frozen=True)
class Draws:
    """What a training step draws for a batch, in the order sound, picture. Timesteps stay on the CPU."""

    timesteps: Tensor  # (B,), shared
    told_timesteps: tuple[Tensor, Tensor]  # (B,) each, of what the connectors are given
    noise: tuple[Tensor, Tensor]
    kept: Tensor  # (2, B), whether the connectors are given the clean estimate

    @classmethod
    def new(cls, sound: Tensor, picture: Tensor, total: int, generator: torch.Generator,
            estimate_drop: float = 0.5, shared_noise: float = 0.0) -> Draws:
        """Drawn for clean latents (B, ...); `shared_noise`: of the picture's, see `solvers.frame_noise`."""
        count = len(sound)
        times, heard, seen = torch.randint(total, (3, count), generator=generator)
        kept = torch.rand(2, count, generator=generator).to(sound.device) >= estimate_drop
        return cls(times, (heard, seen), (draw_noise(sound.shape, generator, sound),
                                          frame_noise(picture.shape, generator, shared_noise, picture)), kept)


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


def given_loss(joint: JointUNet, schedules: tuple[Schedule, Schedule], clean: tuple[Tensor, Tensor],
               words: tuple[Tensor, Tensor], draws: Draws, given: int) -> Tensor:
    """Mean squared error of the prediction for one modality, where the other one, number `given`, is told as it is
    (ours)."""
    made = 1 - given
    factor = coarsest(joint.audio_unet)
    noisy = schedules[made].add_noise(clean[made], draws.noise[made], draws.timesteps)
    known = padded(clean[given], factor if given == 0 else 1)
    states = [State(None, torch.zeros_like(draws.timesteps), words[given], torch.cat([known, known], dim=1))] * 2
    states[made] = State(padded(noisy, factor if made == 0 else 1), draws.timesteps, words[made])
    output = joint(*states)[made]
    assert output is not None
    target = schedules[made].target(clean[made], draws.noise[made], draws.timesteps)
    return functional.mse_loss(output[:, :, :noisy.shape[2]], target)


def padded(latents: Tensor, factor: int) -> Tensor:
    """Latents (B, C, F, ...) with zeros after them, so that `factor` divides F."""
    missing = -latents.shape[2] % factor
    return functional.pad(latents, (0, 0) * (latents.dim() - 3) + (0, missing))


class HitHeads(nn.Module):
    """Says from what the encoders tell of sound and picture whether something hits at each of their steps: so that they
    learn within minutes what is worth telling (ours). Not exported."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList([nn.Linear(width, 1), nn.Linear(width, 1)])

    def forward(self, joint: JointUNet, told: tuple[Tensor, Tensor], times: tuple[Tensor, Tensor],
                hits: Tensor) -> Tensor:
        """Cross-entropy, for latents with their estimates at their timesteps, and hits (B, T) at the pictures."""
        losses, unets = [], (joint.audio_unet, joint.video_unet)
        for name, head, unet, latents, steps in zip(("audio", "video"), self.heads, unets, told, times, strict=True):
            encoder = getattr(joint.connectors, f"connector_out_{name}")
            sequence = as_sequence(encoder(latents, time_embedding(unet, steps, len(latents))))[..., 0]
            logits = head((sequence.shape[-1] ** 0.5 * sequence).mT)[..., 0]
            wanted = functional.adaptive_max_pool1d(functional.interpolate(hits[:, None], scale_factor=4.0),
                                                    logits.shape[1])[:, 0]
            losses.append(functional.binary_cross_entropy_with_logits(logits, wanted))
        return losses[0] + losses[1]


@dataclass(frozen=True)
class Schooling:
    """What the mini is taught besides the published step (ours): for the first `warm_up` steps the encoders alone learn
    to tell hits; of the others in shares one modality is given as it is, and the other one made."""

    warm_up: int = 0
    picture_given: float = 0.0
    sound_given: float = 0.0


class JointObjective(Objective):
    """The sum of both losses, 1:1. A batch holds `sound` (B, 8, F, 16) and `pictures` (B, C, T, h, w), latents, unit
    vectors `text` (B, K, D) of K captions, one of which is drawn at each step, for both, and `hits` (B, T)."""

    def __init__(self, joint: JointUNet, schedules: tuple[Schedule, Schedule], codec: MelCodec, pictures: PictureCodec,
                 gram: GramEncoder, *, gains: tuple[float, float], folded_bins: int = 1, size: int = 64,
                 condition_drop: float = 0.1, num_captions: int = 8, shared_noise: float = 0.0,
                 train_motion: bool = False, schooling: Schooling | None = None) -> None:
        """`gains`: of the words' vector, for sound and picture; `shared_noise`: of the picture's; `train_motion`: the
        motion modules are trained too, as by the published script."""
        super().__init__()
        self.joint, self.schedules, self.codec, self.pictures, self.gram = joint, schedules, codec, pictures, gram
        self.gains, self.folded_bins, self.size, self.condition_drop = gains, folded_bins, size, condition_drop
        self.shared_noise, self.schooling = shared_noise, schooling or Schooling()
        self.hit_heads = HitHeads(joint.connectors.config["connector_channel"]) if self.schooling.warm_up else None
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
                "pictures": self.pictures.encode(frames[None])[0].half(), "text": self._captions(clip, self.gram),
                "hits": hits_at_frames(clip, len(frames), FRAME_RATE)[:, 0]}

    def forward(self, batch: Batch, *, step: int, teacher: nn.Module | None = None,
                generator: torch.Generator | None = None) -> Batch:
        """`loss`, and of a published step its parts `audio` and `video`; `teacher` is not used."""
        generator = torch.Generator().manual_seed(step) if generator is None else generator
        vector = draw_caption(batch["text"].float(), generator, self.condition_drop)
        sound = folded(batch["sound"].float(), self.folded_bins)
        clean = sound, batch["pictures"].float()
        words = self.gains[0] * vector, self.gains[1] * vector[:, None]
        draws = Draws.new(*clean, self.schedules[0].total, generator, shared_noise=self.shared_noise)
        if self.hit_heads is not None and step < self.schooling.warm_up:
            return {"loss": self._told_hits(clean, draws, batch["hits"].float())}
        drawn = float(torch.rand((), generator=generator))
        if drawn < self.schooling.picture_given + self.schooling.sound_given:
            given = int(drawn < self.schooling.picture_given)
            return {"loss": given_loss(self.joint, self.schedules, clean, words, draws, given)}
        heard, seen = joint_losses(self.joint, self.schedules, clean, words, draws)
        return {"loss": heard + seen, "audio": heard.detach(), "video": seen.detach()}

    def _told_hits(self, clean: tuple[Tensor, Tensor], draws: Draws, hits: Tensor) -> Tensor:
        """The loss of a step of the warm-up: half of the samples as they are, the others at drawn levels."""
        assert self.hit_heads is not None
        told, times = [], []
        for number, (x, of) in enumerate(zip(clean, self.schedules, strict=True)):
            kept = draws.kept[number].view(-1, *[1] * (x.dim() - 1))
            noisy = of.add_noise(x, draws.noise[number], draws.told_timesteps[number])
            latents = torch.cat([torch.where(kept, x, noisy), torch.where(kept, x, torch.zeros_like(x))], dim=1)
            told.append(padded(latents, coarsest(self.joint.audio_unet) if number == 0 else 1))
            times.append(draws.told_timesteps[number] * ~draws.kept[number].cpu())
        return self.hit_heads(self.joint, (told[0], told[1]), (times[0], times[1]), hits)

    def export(self, folder: Path) -> None:
        """Write the connectors (float16), and where its motion modules were trained the picture's U-Net, under the name
        of published folders."""
        copy.deepcopy(self.joint.connectors).half().save_pretrained(folder / "connectors")
        if any(parameter.requires_grad for parameter in self.joint.video_unet.parameters()):
            save_video_unet(self.joint.video_unet, folder / "unet_v")
