"""Training of an AudioLDM U-Net on scenes and recordings, from words alone; and its recipe."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .. import weights
from ..codecs.chunking import native_sound
from ..codecs.mel_vae import MelCodec
from ..diffusion.schedule import Schedule
from ..diffusion.solvers import draw_noise
from ..encoders.caption_vectors import CaptionVectors, draw_caption
from ..encoders.gram import GramEncoder
from ..errors import PostsyncError
from ..protocols.clip import Clip
from ..protocols.objective import Batch, ClipRequest, Objective
from . import audioldm as sizes
from .audioldm import AudioLDM, AudioLDMPreset, Denoiser, load_unet

PRESETS = {"mini": sizes.mini, "tiny": sizes.tiny}


class AudioLDMObjective(Objective):
    """Mean squared error of the prediction at drawn timesteps.

    A batch holds `latents` (B, 8, T, 16) of the peak-normalised sound and unit vectors `text` (B, K, D) of K captions,
    one of which is drawn at each step.
    """

    def __init__(self, preset: AudioLDMPreset, *, codec: MelCodec | None = None,
                 gram: GramEncoder | None = None) -> None:
        """`codec` and `gram` serve `prepare`."""
        super().__init__()
        self.preset = preset
        model = AudioLDM(preset)
        self.unet, self.scheduler = model.unet, model.scheduler
        self.codec, self.gram = codec, gram
        self._captions = CaptionVectors(preset.num_captions)
        for module in self.frozen():
            module.requires_grad_(False).eval()

    @property
    def wants(self) -> ClipRequest:
        """Sound at the codec's rate, of the native length."""
        rate, latent_rate = (16000, 25.0) if self.codec is None else (self.codec.sampling_rate, self.codec.latent_rate)
        return ClipRequest(None, rate, self.preset.native_frames / latent_rate)

    def forward(self, batch: Batch, *, step: int, teacher: nn.Module | None = None,
                generator: torch.Generator | None = None) -> Batch:
        """The loss; `teacher` is not used. Without a generator the draws are those of the seed `step`."""
        generator = torch.Generator().manual_seed(step) if generator is None else generator
        clean, words = self._crop(batch["latents"].float(), generator), self._words(batch["text"].float(), generator)
        steps = torch.randint(self.scheduler.config["num_train_timesteps"], (len(clean),), generator=generator)
        noise = draw_noise(clean.shape, generator, clean)
        schedule, denoiser = Schedule(self.scheduler), Denoiser(self.unet, self.scheduler, self.preset.folded_bins)
        predicted = denoiser(schedule.add_noise(clean, noise, steps), steps.to(clean.device), words)
        target = schedule.target(clean, noise, steps)
        return {"loss": functional.mse_loss(predicted, target)}

    def frozen(self) -> list[nn.Module]:
        """Parts kept in eval mode, without gradients."""
        return [part for part in (self.codec, self.gram) if part is not None]

    def preparation(self) -> tuple[dict[str, Any], dict[str, nn.Module]]:
        """All that `prepare` depends on besides the clip, which excludes the U-Net and its schedule."""
        parts = {"codec": self.codec, "gram": self.gram}
        return ({"native_frames": self.preset.native_frames, "num_captions": self.preset.num_captions},
                {name: part for name, part in parts.items() if part is not None})

    @torch.no_grad()
    def prepare(self, clip: Clip) -> Batch:
        """One training sample (see the class) of a clip, cut or padded with silence to the native length.

        Raises PostsyncError if codec or GRAM are missing, ConditionError for a clip without sound at the codec's rate.
        """
        codec, gram = self.codec, self.gram
        if codec is None or gram is None:
            raise PostsyncError("preparing clips needs the codec and GRAM's towers; give both to AudioLDMObjective.")
        sound = native_sound(clip, codec, self.preset.native_frames)
        return {"latents": codec.encode(sound[None]).mean[0].half(), "text": self._captions(clip, gram)}

    def export(self, folder: Path) -> None:
        """Write `unet/` (float16) and `scheduler/`, as diffusers lays them out."""
        copy.deepcopy(self.unet).half().save_pretrained(folder / "unet")
        self.scheduler.save_pretrained(folder / "scheduler")

    def _words(self, text: Tensor, generator: torch.Generator) -> Tensor:
        """One caption's vector (B, D) of each sample, with the gain; zeros for a share."""
        return self.preset.text_gain * draw_caption(text, generator, self.preset.condition_drop)

    def _crop(self, latents: Tensor, generator: torch.Generator) -> Tensor:
        """In a share of the steps, the same random crop of all samples."""
        frames = self.preset.crop_frames
        drawn, place = torch.rand(2, generator=generator).tolist()
        if not frames or drawn >= self.preset.crop_share:
            return latents
        start = int(place * (latents.shape[2] - frames + 1))
        return latents[:, :, start:start + frames]


def audioldm(preset: str, start: Path | None = None, codec: Path | None = None,
             gram: Path | None = None) -> AudioLDMObjective:
    """The U-Net: from scratch, or from the one in the folder `start`. `codec`, `gram`: folders of trained ones, by
    default the bundled. Raises WeightsError for a start of another model or size."""
    encoder = GramEncoder.from_pretrained(gram or weights.bundled("gram"))
    objective = AudioLDMObjective(PRESETS[preset](text_dim=encoder.embedding_dim), gram=encoder,
                                  codec=MelCodec.from_pretrained(codec or weights.bundled("mel_codec")))
    if start is not None:
        objective.unet.load_state_dict(load_unet(start)[0].state_dict())
    return objective
