"""Picture codecs: pictures <-> latents, frame by frame.

An `AutoencoderKL` of diffusers, as Stable Diffusion's, or for the mini an `AutoencoderDC` (Chen et al. 2024, arXiv
2410.10733): residual blocks around moves of space into channels, which learn in minutes.
"""

from __future__ import annotations

import copy
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderDC, AutoencoderKL
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from ..errors import ConditionError, WeightsError
from ..protocols.clip import Clip, frames_at
from ..protocols.objective import Batch, ClipRequest, FrameRequest, Objective
from ..weights.layout import Part, is_saved, readable

CLIP_S = 4.0
FRAME_RATE = 8.0
SIZE = 64  # pixels a side of the mini's pictures
AT_ONCE = 64  # frames that go through the network together


class PictureCodec(Part):
    """Pictures (B, T, 3, H, W) in 0..1 <-> latents (B, C, T, h, w) of about unit variance, through a `vae`."""

    def __init__(self, vae: AutoencoderKL | AutoencoderDC) -> None:
        super().__init__()
        self.vae = vae

    @property
    def latent_channels(self) -> int:
        """Channels of the latents."""
        return int(self.vae.config["latent_channels"])

    @property
    def factor(self) -> int:
        """Pixels a side of a place in the latents."""
        name = "block_out_channels" if isinstance(self.vae, AutoencoderKL) else "encoder_block_out_channels"
        return int(2 ** (len(self.vae.config[name]) - 1))

    def encode(self, frames: Tensor) -> Tensor:
        """The mean of a variational codec's posterior. Raises ConditionError for sides that do not divide."""
        if frames.dim() != 5 or frames.shape[2] != 3 or any(side % self.factor for side in frames.shape[-2:]):
            raise ConditionError(f"pictures of shape {tuple(frames.shape)} cannot be encoded; they are (B, T, 3, H, W) "
                                 f"with sides that {self.factor} divides.")
        pixels = 2 * rearrange(frames, "b t c h w -> (b t) c h w").to(self.dtype) - 1
        latents = torch.cat([self._latents(part) for part in pixels.split(AT_ONCE)])
        return rearrange(self._scale * latents, "(b t) c h w -> b c t h w", b=len(frames))

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, C, T, h, w) -> pictures in 0..1."""
        frames = rearrange(latents, "b c t h w -> (b t) c h w").to(self.dtype) / self._scale
        pixels = torch.cat([self.vae.decode(part, return_dict=False)[0] for part in frames.split(AT_ONCE)])
        return rearrange((pixels / 2 + 0.5).clamp(0, 1), "(b t) c h w -> b t c h w", b=len(latents))

    @property
    def _scale(self) -> float:
        return float(self.vae.config["scaling_factor"])

    def _latents(self, pixels: Tensor) -> Tensor:
        out = self.vae.encode(pixels)
        return out.latent_dist.mean if isinstance(self.vae, AutoencoderKL) else out.latent

    def save_pretrained(self, folder: str | PathLike[str], **kwargs: Any) -> None:
        """As diffusers saves the network."""
        self.vae.save_pretrained(folder, **kwargs)

    @classmethod
    def from_pretrained(cls, folder: str | PathLike[str], *, torch_dtype: torch.dtype = torch.float32,
                        **kwargs: Any) -> PictureCodec:
        """The codec in a folder that diffusers wrote, frozen. Raises WeightsError for another folder."""
        for kind in (AutoencoderKL, AutoencoderDC):
            if is_saved(Path(folder), kind.__name__):
                with readable(folder, f"readable {kind.__name__}", "save or download it again."):
                    vae = kind.from_pretrained(folder, torch_dtype=torch_dtype)
                return cls(vae).eval().requires_grad_(False)
        raise WeightsError(f"{folder}: holds no codec of pictures; name a folder with an AutoencoderKL or one that "
                           "postsync train picture_codec wrote.")


def psnr(made: Tensor, real: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of pictures in 0..1."""
    return -10 * functional.mse_loss(made, real).clamp_min(1e-10).log10()


def residual_network(widths: tuple[int, ...], layers: tuple[int, ...], latent_channels: int) -> AutoencoderDC:
    """A new `AutoencoderDC` without attention; `layers`: residual blocks at each width."""
    count = len(widths)
    side = {f"{name}_{key}": value for name in ("encoder", "decoder") for key, value in
            (("block_types", ("ResBlock",) * count), ("block_out_channels", widths), ("layers_per_block", layers),
             ("qkv_multiscales", ((),) * count))}
    return AutoencoderDC(latent_channels=latent_channels, downsample_block_type="pixel_unshuffle",
                         upsample_block_type="pixel_shuffle", **side)


class PictureCodecObjective(Objective):
    """Squared error of pixels and of their differences. A batch holds `frames` (B, T, 3, H, W) uint8, of which some
    are drawn at each step.

    Latents are noised a little, so that near ones mean near pictures, and the loss keeps them small; their scale is
    measured along the way, and published as the codec's.
    """

    rms: Tensor

    def __init__(self, vae: AutoencoderDC, *, size: int = SIZE, drawn: int = 2, noise: float = 0.05) -> None:
        """`drawn`: frames of each clip at a step; `noise`: of the latents, as a share of their deviation."""
        super().__init__()
        self.codec, self.size, self.drawn, self.noise = PictureCodec(vae), size, drawn, noise
        self.register_buffer("rms", torch.ones(()))

    @property
    def wants(self) -> ClipRequest:
        """Pictures alone."""
        return ClipRequest(FrameRequest(self.size, FRAME_RATE), None, CLIP_S)

    def preparation(self) -> tuple[dict[str, Any], dict[str, nn.Module]]:
        """The network plays no part in it."""
        return {"size": self.size}, {}

    def prepare(self, clip: Clip) -> Batch:
        """A clip's pictures. Raises ConditionError for a clip without."""
        return {"frames": even_frames(clip, CLIP_S, FRAME_RATE)}

    def forward(self, batch: Batch, *, step: int, teacher: nn.Module | None = None,
                generator: torch.Generator | None = None) -> Batch:
        """`loss`, and `psnr` in dB."""
        generator = torch.Generator().manual_seed(step) if generator is None else generator
        given = batch["frames"]
        places = torch.randint(given.shape[1], (len(given), self.drawn), generator=generator).to(given.device)
        real = given[torch.arange(len(given), device=given.device)[:, None], places].flatten(0, 1).float() / 255
        latents = self.codec._latents(2 * real - 1)
        rms = latents.detach().square().mean().sqrt()
        if self.training:
            self.rms.lerp_(rms, 0.02)
            noise = torch.randn(latents.shape, generator=generator).to(latents)
        else:
            noise = torch.zeros_like(latents)
        made = self.codec.vae.decode(latents + self.noise * rms * noise, return_dict=False)[0] / 2 + 0.5
        edges = sum(functional.l1_loss(made.diff(dim=dim), real.diff(dim=dim)) for dim in (-1, -2))
        loss = functional.mse_loss(made, real) + 0.02 * edges + 1e-6 * latents.square().mean()
        return {"loss": loss, "psnr": psnr(made.detach().clamp(0, 1), real)}

    def export(self, folder: Path) -> None:
        """Write the network as float16, with the scale of its latents."""
        vae = copy.deepcopy(self.codec.vae).half()
        vae.register_to_config(scaling_factor=1 / float(self.rms))
        vae.save_pretrained(folder)


def even_frames(clip: Clip, duration_s: float, fps: float) -> Tensor:
    """A clip's pictures (T, 3, H, W), so many a second. Raises ConditionError for a clip without pictures."""
    if clip.frames is None or clip.times is None:
        raise ConditionError(f"clip {clip.clip_id} has no pictures; drop it.")
    return frames_at(clip.frames, clip.times, torch.arange(round(duration_s * fps)) / fps)


def picture_codec(preset: str) -> PictureCodecObjective:
    """The untrained codec of a preset: the mini's makes (8, 8, 8) of a picture of 64 x 64."""
    if preset == "tiny":
        return PictureCodecObjective(residual_network((8, 8), (0, 1), 4), size=16)
    return PictureCodecObjective(residual_network((24, 48, 96, 128), (0, 1, 1, 2), 8))
