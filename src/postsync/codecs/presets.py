"""Sizes of the mel codec's parts: `mini` is bundled, `paper` is AudioLDM's, `tiny` is random and for tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from diffusers import AutoencoderKL
from torch import nn

from .mel_vae import MelCodec
from .vocoder import VocosVocoder


@dataclass(frozen=True)
class MelCodecPreset:
    """What a mel codec is built from; `vocoder` holds the arguments of `VocosVocoder`, None is AudioLDM's HiFi-GAN."""

    block_out_channels: tuple[int, ...]
    layers_per_block: int = 1
    norm_num_groups: int = 8
    mid_block_add_attention: bool = False
    patch_size: int = 1
    mel_mean: float = -6.0
    mel_std: float = 3.0
    vocoder: dict[str, Any] | None = field(default_factory=dict)
    discriminator_channels: int = 16  # of the networks that train the vocoder

    def build_vae(self) -> AutoencoderKL:
        """A randomly initialised VAE, 8 latent channels."""
        depth = len(self.block_out_channels)
        channels = self.patch_size**2
        return AutoencoderKL(
            in_channels=channels, out_channels=channels, latent_channels=8, norm_num_groups=self.norm_num_groups,
            block_out_channels=self.block_out_channels, layers_per_block=self.layers_per_block,
            down_block_types=("DownEncoderBlock2D",) * depth, up_block_types=("UpDecoderBlock2D",) * depth,
            mid_block_add_attention=self.mid_block_add_attention, scaling_factor=1.0, sample_size=1024)

    def build_vocoder(self) -> nn.Module:
        """A randomly initialised vocoder."""
        if self.vocoder is not None:
            return VocosVocoder(**self.vocoder)
        from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

        return SpeechT5HifiGan(SpeechT5HifiGanConfig(
            model_in_dim=64, sampling_rate=16000, upsample_initial_channel=1024, upsample_rates=[5, 4, 2, 2, 2],
            upsample_kernel_sizes=[16, 16, 8, 4, 4], normalize_before=False))

    def build(self) -> MelCodec:
        """A randomly initialised codec."""
        return MelCodec(self.build_vae(), self.build_vocoder(), mel_mean=self.mel_mean, mel_std=self.mel_std,
                        patch_size=self.patch_size)


def mini() -> MelCodecPreset:
    """The bundled codec: small enough to be trained on one CPU core in under an hour."""
    return MelCodecPreset(block_out_channels=(64,), patch_size=4)


def paper() -> MelCodecPreset:
    """AudioLDM's sizes (cvssp/audioldm: vae/config.json, vocoder/config.json)."""
    return MelCodecPreset(block_out_channels=(128, 256, 512), layers_per_block=2, norm_num_groups=32,
                          mid_block_add_attention=True, mel_mean=0.0, mel_std=1.0, vocoder=None)


def tiny() -> MelCodecPreset:
    """Random weights for tests."""
    return MelCodecPreset(block_out_channels=(8, 8, 8), norm_num_groups=4,
                          vocoder={"channels": 16, "hidden": 32, "num_layers": 2}, discriminator_channels=4)
