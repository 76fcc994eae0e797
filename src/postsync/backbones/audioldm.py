"""AudioLDM (Liu et al., ICML 2023, arXiv 2301.12503): a U-Net denoises a mel codec's latents, told one vector of words.

The parts are those of diffusers' layout: `unet/`, `scheduler/`, and for the published sizes `text_encoder/` and
`tokenizer/` (CLAP). The deprecated pipeline is not used. The mini has the same classes; its words are read by GRAM's
text tower, and neighbouring bins of its latents are folded into channels, which halves the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from ..diffusion.guidance import classifier_free_guidance
from ..diffusion.schedule import Schedule
from ..encoders.gram import GramEncoder
from ..errors import WeightsError


@dataclass(frozen=True)
class AudioLDMPreset:
    """Sizes: `unet` holds arguments of UNet2DConditionModel, `scheduler` of DDIMScheduler. `folded_bins`: neighbouring
    bins of the latents that are folded into channels. `text_gain` multiplies the unit vector of the words."""

    unet: dict[str, Any]
    scheduler: dict[str, Any] = field(default_factory=dict)
    folded_bins: int = 1
    text_gain: float = 1.0
    native_frames: int = 250  # latent frames it is trained on
    crop_frames: int = 0  # length of the crops of most training steps, 0 for none
    crop_share: float = 0.75
    condition_drop: float = 0.1  # share of training samples without words
    num_captions: int = 8  # paraphrases kept of a clip


SCHEDULE: dict[str, Any] = {"beta_start": 0.0015, "beta_end": 0.0195, "beta_schedule": "scaled_linear",
                            "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}


def unet_arguments(widths: Sequence[int], layers: int, attention: Sequence[bool], text_dim: int, channels: int = 8,
                   heads: int = 8, groups: int = 32) -> dict[str, Any]:
    """Arguments of an AudioLDM U-Net with these widths, from the outermost level on, and attention at these levels.

    Source: `scripts/convert_original_audioldm_to_diffusers.py` in huggingface/diffusers.
    """
    down = ["CrossAttnDownBlock2D" if here else "DownBlock2D" for here in attention]
    up = ["CrossAttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attention)]
    return {"in_channels": channels, "out_channels": channels, "down_block_types": down, "up_block_types": up,
            "block_out_channels": list(widths), "cross_attention_dim": list(widths), "layers_per_block": layers,
            "norm_num_groups": groups, "attention_head_dim": heads, "class_embed_type": "simple_projection",
            "projection_class_embeddings_input_dim": text_dim, "class_embeddings_concat": True}


def paper() -> AudioLDMPreset:
    """AudioLDM-m: 416 M values, 10 s."""
    widths = (192, 384, 576, 960)
    return AudioLDMPreset(unet_arguments(widths, 2, (False, True, True, True), 512), SCHEDULE)


def mini(text_dim: int = 128) -> AudioLDMPreset:
    """The bundled size, 7.3 M values on 8.16 s of the mel codec's latents, folded to (32, 204, 4); it predicts v, which
    is learnt in fewer steps than the noise."""
    unet = unet_arguments((64, 96, 160), 1, (False, False, True), text_dim, channels=32, heads=4, groups=16)
    return AudioLDMPreset(unet, SCHEDULE | {"prediction_type": "v_prediction"}, folded_bins=4, text_gain=45.0,
                          native_frames=204, crop_frames=102, crop_share=0.9)


def tiny(text_dim: int = 8) -> AudioLDMPreset:
    """Random weights for tests: two levels, 16 latent frames."""
    unet = unet_arguments((16, 32), 1, (False, True), text_dim, channels=32, heads=2, groups=4)
    return AudioLDMPreset(unet, SCHEDULE, folded_bins=4, native_frames=16, num_captions=3)


class ReadsWords(Protocol):
    """Gives a vector for the words of each sound; None: no words, the unconditional half of guidance."""

    def __call__(self, words: Sequence[str | None]) -> Tensor: ...


class GramWords:
    """GRAM's unit vectors (B, D) times a gain; zeros without words."""

    def __init__(self, gram: GramEncoder, gain: float = 1.0) -> None:
        self.gram, self.gain = gram, gain

    def __call__(self, words: Sequence[str | None]) -> Tensor:
        told = self.gain * self.gram.encode_text([text or "" for text in words])
        return told * torch.tensor([[bool(text)] for text in words], device=told.device)


class ClapWords:
    """CLAP's unit vectors (B, 512), as AudioLDM takes them; no words are the empty text, padded to the vector's own
    length, a slip of the published pipeline that its results depend on."""

    def __init__(self, text_encoder: Any, tokenizer: Any) -> None:
        self.text_encoder, self.tokenizer = text_encoder, tokenizer

    @torch.no_grad()
    def __call__(self, words: Sequence[str | None]) -> Tensor:
        return torch.cat([self._one(text) for text in words])

    def _one(self, text: str | None) -> Tensor:
        length = self.tokenizer.model_max_length if text else self.text_encoder.config.projection_dim
        inputs = self.tokenizer(text or "", padding="max_length", max_length=length, truncation=True,
                                return_tensors="pt").to(self.text_encoder.device)
        vector = self.text_encoder(inputs.input_ids, attention_mask=inputs.attention_mask).text_embeds
        return functional.normalize(vector, dim=-1)


def folded(latents: Tensor, bins: int) -> Tensor:
    """The codec's latents (B, C, T, F) -> (B, C bins, T, F / bins), as the U-Net takes them."""
    return rearrange(latents, "b c t (f q) -> b (c q) t f", q=bins)


def unfolded(latents: Tensor, bins: int) -> Tensor:
    """The reverse of `folded`."""
    return rearrange(latents, "b (c q) t f -> b c t (f q)", q=bins)


class Denoiser:
    """The U-Net on the codec's own latents (B, 8, T, 16): folded, told the words, with classifier-free guidance."""

    def __init__(self, unet: UNet2DConditionModel, scheduler: DDIMScheduler, folded_bins: int = 1) -> None:
        self.unet, self.scheduler, self.folded_bins = unet, scheduler, folded_bins
        self.parameterization = Schedule(scheduler).parameterization

    def __call__(self, latents: Tensor, timestep: Tensor | int, words: Tensor) -> Tensor:
        """The prediction (B, 8, T, 16) for states at `timestep`, 0..999, of one or (B,) samples."""
        x = folded(latents, self.folded_bins).to(self.unet.dtype)
        output = self.unet(x, timestep, encoder_hidden_states=None, class_labels=words.to(x)).sample
        return unfolded(output, self.folded_bins)

    def guided(self, latents: Tensor, timestep: int, words: Tensor, without: Tensor, scale: float) -> Tensor:
        """The same with guidance; both halves in one batch, the second only where it counts."""
        if scale == 1:
            return self(latents, timestep, words)
        both = self(latents.repeat(2, 1, 1, 1), timestep, torch.cat([without, words]))
        unconditional, conditional = both.chunk(2)
        return classifier_free_guidance(conditional, unconditional, scale)

    def levels(self, timesteps: Tensor) -> tuple[list[float], list[float]]:
        """alpha and sigma at each of the sampler's timesteps (S,), and at the end: S + 1 of each."""
        abar = self.scheduler.alphas_cumprod
        last = int(timesteps[-1]) - self.scheduler.config["num_train_timesteps"] // len(timesteps)
        end = abar[last] if last >= 0 else self.scheduler.final_alpha_cumprod
        squares = torch.cat([abar[timesteps.cpu()], end.reshape(1)]).double()
        return squares.sqrt().tolist(), (1 - squares).sqrt().tolist()


def load_unet(folder: Path, torch_dtype: torch.dtype = torch.float32) -> tuple[UNet2DConditionModel, DDIMScheduler]:
    """`unet/` and `scheduler/` of a folder in diffusers' layout. Raises WeightsError where it holds another model."""
    try:
        unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet", torch_dtype=torch_dtype)
        scheduler = DDIMScheduler.from_pretrained(folder, subfolder="scheduler")
    except (OSError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{folder}: holds no AudioLDM ({' '.join(str(error).split())[:200]}); name a folder with "
                           "unet/ and scheduler/.") from error
    if unet.config["class_embed_type"] != "simple_projection":
        raise WeightsError(f"{folder}: its U-Net takes no vector of words, so it is not AudioLDM's.")
    return cast(UNet2DConditionModel, unet), cast(DDIMScheduler, scheduler)


def is_published(folder: Path) -> bool:
    """Whether `folder` is laid out as AudioLDM's published ones are, with CLAP, VAE and vocoder."""
    parts = ("unet", "scheduler", "text_encoder", "tokenizer", "vae", "vocoder")
    return all((folder / part).is_dir() for part in parts)


def load_words(folder: Path, torch_dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """CLAP's `text_encoder` and `tokenizer` of an AudioLDM's folder. Raises WeightsError for another model."""
    from transformers import AutoTokenizer, ClapTextModelWithProjection

    try:
        encoder = ClapTextModelWithProjection.from_pretrained(folder / "text_encoder", local_files_only=True,
                                                              dtype=torch_dtype)
        tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise WeightsError(f"{folder}: its text_encoder/ or tokenizer/ cannot be read "
                           f"({' '.join(str(error).split())[:200]}); download them again.") from error
    return {"text_encoder": encoder.eval(), "tokenizer": tokenizer}


class AudioLDM(nn.Module):
    """U-Net and schedule of a preset, untrained."""

    def __init__(self, preset: AudioLDMPreset) -> None:
        super().__init__()
        self.unet = UNet2DConditionModel(**preset.unet)
        self.scheduler = DDIMScheduler(**preset.scheduler)
