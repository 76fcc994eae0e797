"""Stable Audio's codec: a waveform, stereo at 44.1 kHz as published, <-> latents by convolutions over time.

Source: Evans et al. 2024, "Stable Audio Open"; Stability-AI/stable-audio-tools `models/autoencoders.py` (MIT, read, not
copied). The network is diffusers' `AutoencoderOobleck`, whose folder layout is read and written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import ceil, prod
from pathlib import Path
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin
from diffusers.models.autoencoders.autoencoder_oobleck import AutoencoderOobleck
from diffusers.models.modeling_utils import ModelMixin as ModelMixin  # diffusers looks for it in the class's module
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional

from ..errors import ConditionError, WeightsError
from .chunking import LatentPosterior, check_waveform, in_chunks

RESIDUAL_REACH = 3 * (1 + 3 + 9)
"""Values on either side that the three residual units of a block depend on: kernel 7, dilations 1, 3 and 9."""


class OobleckCodec(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Sound <-> latents (B, 64, T), a frame for 2048 samples at the published sizes.

    `chunk_frames` bounds the latent frames that are processed at once, in both directions. Chunks overlap by more than
    the network's receptive field, so they equal one pass but for rounding (about 1e-6). `checkpointing` saves
    memory where gradients are needed: activations of one chunk at a time, recomputed.
    """

    def __init__(self, vae: AutoencoderOobleck, *, chunk_frames: int = 128, checkpointing: bool = False) -> None:
        """Raises ConditionError for odd strides, whose latent frames are not whole numbers of samples."""
        super().__init__()
        self.vae, self.chunk_frames, self.checkpointing = vae, chunk_frames, checkpointing
        self.strides = tuple(vae.config["downsampling_ratios"])
        if any(stride % 2 for stride in self.strides):
            raise ConditionError(f"strides {self.strides}: this codec needs even strides.")
        self.hop_length = prod(self.strides)

    @property
    def sampling_rate(self) -> int:
        """Samples a second of the waveforms in and out."""
        return self.vae.config["sampling_rate"]

    @property
    def channels(self) -> int:
        """Channels of the waveforms in and out."""
        return self.vae.config["audio_channels"]

    @property
    def latent_rate(self) -> float:
        """Latent frames a second."""
        return self.sampling_rate / self.hop_length

    @property
    def context_frames(self) -> int:
        """Latent frames on either side of a part that encoder or decoder depend on."""
        taken, given = 1, 3  # reach of the encoder's last and of the decoder's last convolution, in their own values
        for stride in reversed(self.strides):
            taken = taken * stride + 2 * stride + RESIDUAL_REACH
        for stride in self.strides:
            given = ceil((given + RESIDUAL_REACH) / stride) + 1
        return max(ceil((taken + 3) / self.hop_length), given + 3)

    def latent_shape(self, num_samples: int) -> tuple[int, int]:
        """(channels, frames) of the latents of `num_samples` samples."""
        return self.vae.config["decoder_input_channels"], -(-num_samples // self.hop_length)

    def encode(self, waveform: Tensor) -> LatentPosterior:
        """Waveform (B, C, N) in -1..1, padded with silence to whole frames -> posterior over latents.

        Raises ConditionError for another number of channels.
        """
        check_waveform(waveform, self.channels)
        missing = -waveform.shape[-1] % self.hop_length
        padded = functional.pad(waveform, (0, missing)).to(self.vae.dtype)
        found = in_chunks(lambda part, _: self.vae.encoder(part), padded, self.chunk_frames, self.context_frames, dim=2,
                          steps=(self.hop_length, 1), checkpointing=self.checkpointing)
        mean, scale = found.chunk(2, dim=1)
        return LatentPosterior(mean, functional.softplus(scale) + 1e-4)

    def decode(self, latents: Tensor, num_samples: int | None = None, *, first_frame: int = 0) -> Tensor:
        """Latents (B, channels, T) -> waveform (B, C, num_samples) float32, by default of all frames; differentiable.
        `first_frame` changes nothing: no noise is added.

        Raises ValueError where the latents hold fewer than `num_samples` samples.
        """
        available = latents.shape[2] * self.hop_length
        num_samples = available if num_samples is None else num_samples
        if num_samples > available:
            raise ValueError(f"{latents.shape[2]} latent frames hold {available} samples, not {num_samples}; "
                             f"use latents of shape {self.latent_shape(num_samples)}")
        waveform = in_chunks(lambda part, _: self.vae.decoder(part), latents.to(self.vae.dtype), self.chunk_frames,
                             self.context_frames, dim=2, steps=(1, self.hop_length), checkpointing=self.checkpointing)
        return waveform[..., :num_samples].float()

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """Writes the folder of an `AutoencoderOobleck`."""
        self.vae.save_pretrained(save_directory, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, *, torch_dtype: torch.dtype = torch.float32,
                        **kwargs: Any) -> OobleckCodec:
        """Loads the folder of an `AutoencoderOobleck`, such as `vae/` of Stable Audio Open in the diffusers layout.

        Raises WeightsError where there is none.
        """
        try:
            vae = AutoencoderOobleck.from_pretrained(pretrained_model_name_or_path, torch_dtype=torch_dtype)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise WeightsError(f"{pretrained_model_name_or_path} holds no readable AutoencoderOobleck "
                               f"({' '.join(str(error).split())[:200]}); name a folder in the diffusers layout."
                               ) from error
        return cls(vae).eval()


def stable_audio_open() -> OobleckCodec:
    """Random weights in the published size: 64 latent channels, 21.5 frames a second, 156 M values."""
    return OobleckCodec(AutoencoderOobleck())


def tiny(channels: int = 2, sampling_rate: int = 16000) -> OobleckCodec:
    """Random weights for tests: 4 latent channels, a frame for 64 samples."""
    return OobleckCodec(AutoencoderOobleck(
        encoder_hidden_size=8, downsampling_ratios=[2, 4, 8], channel_multiples=[1, 2, 4], decoder_channels=8,
        decoder_input_channels=4, audio_channels=channels, sampling_rate=sampling_rate))


def from_official(state: Mapping[str, Tensor], *, sampling_rate: int = 44100) -> OobleckCodec:
    """The codec of a state dict of stable-audio-tools (`encoder.layers...`, `decoder.layers...`), sizes as found in it.

    Every key is used. Raises WeightsError where one is missing, unknown or of another size.
    """
    vae = AutoencoderOobleck(**_sizes(state), sampling_rate=sampling_rate)
    ours = official_to_diffusers(state)
    wanted = {key: tuple(value.shape) for key, value in vae.state_dict().items()}
    if wrong := sorted(key for key in wanted.keys() | ours.keys()
                       if key not in ours or wanted.get(key) != tuple(ours[key].shape)):
        raise WeightsError(f"{len(wrong)} tensors do not fit an Oobleck codec, '{wrong[0]}' first; is this another "
                           "model's checkpoint?")
    vae.load_state_dict(ours)
    return OobleckCodec(vae).eval()


def official_to_diffusers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names and shapes of stable-audio-tools -> those of `AutoencoderOobleck`. Raises WeightsError for unknown keys."""
    depth = _depth(state)
    result: dict[str, Tensor] = {}
    for key, value in state.items():
        match = re.fullmatch(r"(encoder|decoder)\.layers\.(\d+)\.(.+)", key)
        name = _diffusers_name(match[1], int(match[2]), match[3], depth) if match else None
        if name is None or name in result:
            raise WeightsError(f"key '{key}' belongs to no Oobleck codec; is this another model's checkpoint?")
        result[name] = value.reshape(1, -1, 1) if name.endswith((".alpha", ".beta")) else value
    return result


def _diffusers_name(side: str, layer: int, rest: str, depth: int) -> str | None:
    """Official layers of a side: a convolution, `depth` blocks, an activation, a convolution."""
    outer = {0: "conv1", depth + 1: "snake1", depth + 2: "conv2"}
    if layer in outer:
        return f"{side}.{outer[layer]}.{rest}"
    inner = re.fullmatch(r"layers\.(\d+)\.(.+)", rest)
    if inner is None or layer > depth + 2:
        return None
    place, name = int(inner[1]), inner[2]
    first_unit = 0 if side == "encoder" else 2  # the decoder's blocks change the rate first, the encoder's last
    block = f"{side}.block.{layer - 1}"
    if (place - first_unit) in range(3):
        parts = {"0": "snake1", "1": "conv1", "2": "snake2", "3": "conv2"}
        unit = re.fullmatch(r"layers\.([0-3])\.(.+)", name)
        return unit and f"{block}.res_unit{place - first_unit + 1}.{parts[unit[1]]}.{unit[2]}"
    ends = {3: "snake1", 4: "conv1"} if side == "encoder" else {0: "snake1", 1: "conv_t1"}
    return f"{block}.{ends[place]}.{name}" if place in ends else None


def _depth(state: Mapping[str, Tensor]) -> int:
    """Number of blocks on each side."""
    layers = {int(found[1]) for key in state if (found := re.match(r"encoder\.layers\.(\d+)\.", key))}
    if len(layers) < 4:
        raise WeightsError("this state dict holds no encoder of an Oobleck codec; is this another model's checkpoint?")
    return max(layers) - 2


def _sizes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Arguments of `AutoencoderOobleck` for a state dict of stable-audio-tools."""
    depth = _depth(state)
    try:
        strides = [state[f"encoder.layers.{i}.layers.4.weight_v"].shape[-1] // 2 for i in range(1, depth + 1)]
        widths = [state[f"encoder.layers.{i}.layers.4.weight_v"].shape[0] for i in range(1, depth + 1)]
        base, audio_channels, _ = state["encoder.layers.0.weight_v"].shape
        latents = state["decoder.layers.0.weight_v"].shape[1]
        decoder_base = state[f"decoder.layers.{depth + 2}.weight_v"].shape[1]
    except KeyError as error:
        raise WeightsError(f"key {error} is missing from this Oobleck codec; download the checkpoint again.") from error
    return {"encoder_hidden_size": base, "downsampling_ratios": strides,
            "channel_multiples": [width // base for width in widths], "decoder_channels": decoder_base,
            "decoder_input_channels": latents, "audio_channels": audio_channels}
