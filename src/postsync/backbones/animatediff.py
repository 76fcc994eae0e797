"""AnimateDiff (Guo et al., ICLR 2024, arXiv 2307.04725): an image U-Net with motion modules denoises a picture codec's
latents, told hidden states of words. Its training on scenes, first on stills, then on motion; and the recipe.

The parts are those of diffusers' layout: `unet/` and `scheduler/`. The mini has the same classes; its words are one
vector of GRAM's text tower.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import DDIMScheduler, UNetMotionModel
from diffusers.models.embeddings import SinusoidalPositionalEmbedding
from diffusers.utils import logging as diffusers_log
from torch import Tensor, nn
from torch.nn import functional

from .. import weights
from ..codecs.pictures import CLIP_S, FRAME_RATE, PictureCodec, even_frames, picture_codec
from ..diffusion.schedule import Schedule
from ..diffusion.solvers import frame_noise
from ..encoders.caption_vectors import CaptionVectors, draw_caption
from ..encoders.gram import GramEncoder, load_gram
from ..protocols.clip import Clip
from ..protocols.objective import Batch, ClipRequest, FrameRequest, Objective
from ..weights.layout import readable

SCHEDULE: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "linear", "clip_sample": False,
                            "set_alpha_to_one": False, "steps_offset": 1, "timestep_spacing": "linspace"}
TABLES = "pos_embed.pe"  # end of the names of tables of sines


@dataclass(frozen=True)
class AnimateDiffPreset:
    """Sizes: `unet` holds arguments of UNetMotionModel, `scheduler` of DDIMScheduler. `text_gain` multiplies the unit
    vector of the words; `shared_noise`: see `solvers.frame_noise`."""

    unet: dict[str, Any]
    scheduler: dict[str, Any] = field(default_factory=lambda: dict(SCHEDULE))
    text_gain: float = 1.0
    shared_noise: float = 0.0
    size: int = 64  # pixels a side
    condition_drop: float = 0.1  # share of training samples without words
    num_captions: int = 8  # paraphrases kept of a clip


def unet_arguments(widths: Sequence[int], attention: Sequence[bool], channels: int, text_dim: int, heads: int,
                   groups: int) -> dict[str, Any]:
    """Arguments of a UNetMotionModel with one layer a block and these widths, outermost first, that attends to words at
    the levels of `attention`."""
    down = ["CrossAttnDownBlockMotion" if here else "DownBlockMotion" for here in attention]
    up = ["CrossAttnUpBlockMotion" if here else "UpBlockMotion" for here in reversed(attention)]
    return {"in_channels": channels, "out_channels": channels, "down_block_types": down, "up_block_types": up,
            "block_out_channels": list(widths), "layers_per_block": 1, "norm_num_groups": groups,
            "cross_attention_dim": text_dim, "num_attention_heads": heads, "motion_num_attention_heads": heads,
            "motion_max_seq_length": 32}


def mini(text_dim: int = 128) -> AnimateDiffPreset:
    """The bundled size, 8 M values: four seconds of 64 x 64 at 8 fps. It predicts v, which is learnt in fewer steps
    than the noise, most of which is the same in all frames."""
    unet = unet_arguments((64, 96, 128), (False, True, True), 8, text_dim, heads=4, groups=16)
    return AnimateDiffPreset(unet, SCHEDULE | {"prediction_type": "v_prediction"}, text_gain=11.0, shared_noise=0.8)


def tiny(text_dim: int = 8) -> AnimateDiffPreset:
    """Random weights for tests: two levels, pictures of 16 x 16."""
    return AnimateDiffPreset(unet_arguments((32, 32), (False, True), 4, text_dim, heads=2, groups=4), size=16,
                             num_captions=3)


PRESETS = {"mini": mini, "tiny": tiny}


def new_unet(preset: AnimateDiffPreset) -> UNetMotionModel:
    """A U-Net whose motion modules pass pictures on, as diffusers' own do not."""
    unet = UNetMotionModel(**preset.unet)
    for name, parameter in unet.named_parameters():
        if "motion_modules" in name and ".proj_out." in name:
            nn.init.zeros_(parameter)
    return unet


class AnimateDiffObjective(Objective):
    """Mean squared error of the prediction at drawn timesteps.

    A batch holds `pictures` (B, C, T, h, w), latents, and unit vectors `text` (B, K, D) of K captions, one of which is
    drawn at each step. Of stills (`frames` 1) one is drawn of each clip, and the motion modules are left as they are.
    """

    def __init__(self, preset: AnimateDiffPreset, codec: PictureCodec, gram: GramEncoder, *, frames: int = 32) -> None:
        super().__init__()
        self.preset, self.frames = preset, frames
        self.unet, self.scheduler = new_unet(preset), DDIMScheduler(**preset.scheduler)
        self.codec, self.gram = codec, gram
        self._captions = CaptionVectors(preset.num_captions)
        for module in self.frozen():
            module.requires_grad_(False).eval()
        for name, parameter in self.unet.named_parameters():
            parameter.requires_grad_(frames > 1 or "motion_modules" not in name)

    @property
    def wants(self) -> ClipRequest:
        """Pictures alone."""
        return ClipRequest(FrameRequest(self.preset.size, FRAME_RATE), None, CLIP_S)

    def frozen(self) -> list[nn.Module]:
        """Codec and words."""
        return [self.codec, self.gram]

    def preparation(self) -> tuple[dict[str, Any], dict[str, nn.Module]]:
        """Codec and words; the U-Net plays no part in it."""
        return {"num_captions": self.preset.num_captions}, {"codec": self.codec, "gram": self.gram}

    @torch.no_grad()
    def prepare(self, clip: Clip) -> Batch:
        """One training sample. Raises ConditionError for a clip without pictures or words."""
        frames = even_frames(clip, CLIP_S, FRAME_RATE).float() / 255
        return {"pictures": self.codec.encode(frames[None])[0].half(), "text": self._captions(clip, self.gram)}

    def forward(self, batch: Batch, *, step: int, teacher: nn.Module | None = None,
                generator: torch.Generator | None = None) -> Batch:
        """`loss`; `teacher` is not used. Without a generator the draws are those of the seed `step`."""
        generator = torch.Generator().manual_seed(step) if generator is None else generator
        clean = self._drawn(batch["pictures"].float(), generator)
        words = self.preset.text_gain * draw_caption(batch["text"].float(), generator, self.preset.condition_drop)
        told = words[:, None].repeat_interleave(clean.shape[2], dim=0)
        schedule = Schedule(self.scheduler)
        steps = torch.randint(schedule.total, (len(clean),), generator=generator)
        noise = frame_noise(clean.shape, generator, self.preset.shared_noise if self.frames > 1 else 0.0, clean)
        made = self.unet(schedule.add_noise(clean, noise, steps), steps.to(clean.device), told).sample
        return {"loss": functional.mse_loss(made, schedule.target(clean, noise, steps))}

    def _drawn(self, latents: Tensor, generator: torch.Generator) -> Tensor:
        """`frames` of each clip that follow each other."""
        last = latents.shape[2] - self.frames
        first = torch.randint(last + 1, (len(latents), 1), generator=generator).to(latents.device)
        places = first + torch.arange(self.frames, device=latents.device)
        rows = torch.arange(len(latents), device=latents.device)[:, None]
        return latents.transpose(1, 2)[rows, places].transpose(1, 2)

    def export(self, folder: Path) -> None:
        """Write `unet/` (float16) and `scheduler/`, as diffusers lays them out."""
        save_video_unet(self.unet, folder / "unet")
        self.scheduler.save_pretrained(folder / "scheduler")


def save_video_unet(unet: UNetMotionModel, folder: Path) -> None:
    """Write a U-Net as float16, as diffusers does, without the tables of sines that it computes."""
    kept = copy.deepcopy(unet).half()
    for module in kept.modules():
        if isinstance(module, SinusoidalPositionalEmbedding):
            module._non_persistent_buffers_set.add("pe")
    kept.save_pretrained(folder)


def load_video_unet(folder: Path, torch_dtype: torch.dtype = torch.float32) -> tuple[UNetMotionModel, DDIMScheduler]:
    """`unet/` and `scheduler/` of a folder in diffusers' layout. Raises WeightsError where it holds another model."""
    with readable(folder, "U-Net with motion modules", "name a folder with unet/ and scheduler/ as diffusers saves "
                  "them."), errors_alone():
        unet, found = UNetMotionModel.from_pretrained(folder, subfolder="unet", torch_dtype=torch_dtype,
                                                      output_loading_info=True)
        scheduler = DDIMScheduler.from_pretrained(folder, subfolder="scheduler")
        if absent := [key for key in found["missing_keys"] if not key.endswith(TABLES)]:
            raise KeyError(absent[0])
    return cast(UNetMotionModel, unet), cast(DDIMScheduler, scheduler)


@contextmanager
def errors_alone() -> Iterator[None]:
    """Within the block diffusers does not warn, as it does of every table that a file leaves out."""
    verbosity = diffusers_log.get_verbosity()
    diffusers_log.set_verbosity_error()
    try:
        yield
    finally:
        diffusers_log.set_verbosity(verbosity)


def animatediff(preset: str, start: Path | None = None, pictures: Path | None = None, gram: Path | None = None,
                frames: int = 32) -> AnimateDiffObjective:
    """The U-Net: from scratch, or from the one in the folder `start`. `pictures`, `gram`: folders of the picture
    codec and of GRAM's towers. `frames`: of a sample; 1: stills. Raises WeightsError for a start of another model or
    size."""
    encoder = load_gram(gram or weights.bundled("gram"))
    sizes = PRESETS[preset](text_dim=encoder.embedding_dim)
    if preset == "tiny":
        codec = picture_codec("tiny").codec
    else:
        codec = PictureCodec.from_pretrained(pictures or weights.bundled("picture_codec"))
    objective = AnimateDiffObjective(sizes, codec, encoder, frames=frames)
    if start is not None:
        state = load_video_unet(start)[0].state_dict()
        with readable(start, "U-Net of this preset", "name one that was trained at the same sizes."):
            objective.unet.load_state_dict(state)
    return objective
