"""The mel codec: waveform -> AudioLDM log-mel -> AutoencoderKL latents, and back through a vocoder.

The layout is AudioLDM's (Liu et al., 2023, section 3; diffusers' folder layout `vae/` and `vocoder/`). Its own weights
and the mini's load behind one contract (`protocols/codec.py`).
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import AutoencoderKL, ConfigMixin, ModelMixin
from diffusers.models.resnet import ResnetBlock2D
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from ..errors import WeightsError
from ..features.spectrogram import audioldm_log_mel
from .chunking import LatentPosterior, check_waveform, in_chunks, recomputing
from .long_decoder import decode_in_chunks, supports_chunking
from .vocoder import ConvNeXtBlock, VocosVocoder

NUM_MELS = 64
HOP_LENGTH = 160
VAE_CONTEXT = 64  # latent frames: enough for norms over a part to be near those over the whole


class MelCodec(ModelMixin, ConfigMixin):
    """Sound <-> latents of unit variance, (B, 8, T/4, 16) at 25 frames a second for 16 kHz mono.

    `mel_mean` and `mel_std` normalise the log-mel for the VAE (AudioLDM: 0 and 1). `patch_size` folds that many mel
    frames and bins into the VAE's channels (AudioLDM: 1), a large saving on a CPU. `chunk_frames` bounds the mel frames
    that are decoded at once. `checkpointing` saves memory where gradients are needed: activations inside the
    blocks are recomputed instead of kept; it is on for AudioLDM's own, as loaded.
    """

    config_name = "codec.json"
    channels = 1  # of the waveforms in and out

    def __init__(self, vae: AutoencoderKL, vocoder: nn.Module, *, sampling_rate: int = 16000, mel_mean: float = 0.0,
                 mel_std: float = 1.0, patch_size: int = 1, chunk_frames: int = 2048,
                 checkpointing: bool = False) -> None:
        super().__init__()
        self.register_to_config(sampling_rate=sampling_rate, mel_mean=mel_mean, mel_std=mel_std, patch_size=patch_size)
        self.vae, self.vocoder = vae, vocoder
        self.chunk_frames, self.checkpointing = chunk_frames, checkpointing
        self.ratio = patch_size * 2 ** (len(vae.config.block_out_channels) - 1)

    @property
    def sampling_rate(self) -> int:
        """Samples a second of the waveforms in and out."""
        return self.config.sampling_rate

    @property
    def latent_rate(self) -> float:
        """Latent frames a second."""
        return self.sampling_rate / (HOP_LENGTH * self.ratio)

    @property
    def mel_rate(self) -> float:
        """Mel frames a second."""
        return self.sampling_rate / HOP_LENGTH

    @property
    def context_frames(self) -> int:
        """Latent frames of context of a part. The VAE's norms cover all frames, so a part is only close to that of the
        whole; the phases of its tones may differ."""
        return max(-(-getattr(self.vocoder, "local_margin", 64) // self.ratio), VAE_CONTEXT)

    @property
    def _vocoder_margin(self) -> int:
        """Mel frames of context of the vocoder."""
        return getattr(self.vocoder, "chunk_margin", 64)

    def latent_shape(self, num_samples: int) -> tuple[int, int, int]:
        """(channels, frames, bins) of the latents of `num_samples` samples."""
        frames = -(-num_samples // (HOP_LENGTH * self.ratio))
        return self.vae.config.latent_channels, frames, NUM_MELS // self.ratio

    def log_mel(self, waveform: Tensor) -> Tensor:
        """(B, N) in -1..1 -> (B, T, 64) natural-log mel, T = 4 ceil(N / 640): the end is padded with silence."""
        _, frames, _ = self.latent_shape(waveform.shape[-1])
        total = frames * self.ratio
        padded = functional.pad(waveform, (0, total * HOP_LENGTH - waveform.shape[-1]))
        return audioldm_log_mel(padded)[:, :total]

    def encode_mel(self, log_mel: Tensor) -> LatentPosterior:
        """(B, T, 64), T a multiple of 4 -> posterior over scaled latents."""
        x = ((log_mel - self.config.mel_mean) / self.config.mel_std)[:, None]
        p = self.config.patch_size
        x = rearrange(x, "b 1 (t p) (f q) -> b (p q) t f", p=p, q=p)
        posterior = self.vae.encode(x.to(self.vae.dtype)).latent_dist
        scale = self.vae.config.scaling_factor
        return LatentPosterior(posterior.mean * scale, posterior.std * scale)

    def decode_mel(self, latents: Tensor) -> Tensor:
        """Scaled latents (B, 8, L, 16) -> log-mel (B, 4 L, 64).

        Beyond `chunk_frames` the VAE works in chunks, with the same result (in one pass where gradients are needed).
        With attention in the middle (AudioLDM's own) the chunks overlap and are cross-faded: close to one pass, not
        equal.
        """
        length = max(self.chunk_frames // self.ratio, 8)
        if latents.shape[2] <= length:
            return self._decode_chunk(latents)
        if supports_chunking(self.vae.decoder):
            return self._decode_chunk(latents, None if torch.is_grad_enabled() and latents.requires_grad else length)
        overlap = length // 8
        starts = range(0, latents.shape[2] - overlap, length - overlap)
        ramp = torch.linspace(0, 1, overlap * self.ratio, device=latents.device)[:, None]
        log_mel = self._decode_chunk(latents[:, :, :length])
        for start in starts[1:]:
            piece = self._decode_chunk(latents[:, :, start : start + length])
            faded = torch.lerp(log_mel[:, -len(ramp) :], piece[:, : len(ramp)], ramp)
            log_mel = torch.cat([log_mel[:, : -len(ramp)], faded, piece[:, len(ramp) :]], dim=1)
        return log_mel

    def _decode_chunk(self, latents: Tensor, length: int | None = None) -> Tensor:
        """`decode_mel` in one pass, or `length` latent frames at a time."""
        p = self.config.patch_size
        z = (latents / self.vae.config.scaling_factor).to(self.vae.dtype)
        if length is None:
            with self._recomputing(self.vae.decoder, (ResnetBlock2D,), z):
                x = self.vae.decode(z).sample
        else:
            z = z if self.vae.post_quant_conv is None else self.vae.post_quant_conv(z)
            x = decode_in_chunks(self.vae.decoder, z, length)
        x = rearrange(x, "b (p q) t f -> b 1 (t p) (f q)", p=p, q=p)
        wide = torch.promote_types(x.dtype, torch.float32)
        return x[:, 0].to(wide) * self.config.mel_std + self.config.mel_mean

    def _recomputing(self, module: nn.Module, kinds: tuple[type[nn.Module], ...],
                     x: Tensor) -> AbstractContextManager[None]:
        """Checkpointing of `module`'s blocks, where it is asked for and `x` needs gradients."""
        needed = self.checkpointing and torch.is_grad_enabled() and x.requires_grad
        return recomputing(module, kinds) if needed else nullcontext()

    def vocode(self, log_mel: Tensor, first_frame: int = 0) -> Tensor:
        """Log-mel (B, T, 64) -> waveform (B, 160 T), in chunks whose overlap exceeds the vocoder's receptive field.

        `first_frame`: the place of the first mel frame in the whole sound, on which the vocoder's noise depends.
        """
        ours = isinstance(self.vocoder, VocosVocoder)
        blocks: type[nn.Module] = ConvNeXtBlock
        if not ours:  # SpeechT5HifiGan's
            blocks = type(cast(nn.ModuleList, self.vocoder.resblocks)[0])

        def layer(part: Tensor, start: int) -> Tensor:
            place = (first_frame + start,) if ours else ()
            with self._recomputing(self.vocoder, (blocks,), part):
                return self.vocoder(part, *place)

        return in_chunks(layer, log_mel, self.chunk_frames, self._vocoder_margin, dim=1, steps=(1, HOP_LENGTH))

    def encode(self, waveform: Tensor) -> LatentPosterior:
        """Waveform (B, 1, N) in -1..1 at `sampling_rate` -> posterior over scaled latents (B, 8, ceil(N / 640), 16).

        Raises ConditionError for another number of channels.
        """
        check_waveform(waveform, self.channels)
        return self.encode_mel(self.log_mel(waveform[:, 0]))

    def decode(self, latents: Tensor, num_samples: int | None = None, *, first_frame: int = 0) -> Tensor:
        """Scaled latents (B, 8, L, 16) -> waveform (B, 1, num_samples), by default 640 L samples; differentiable.
        `first_frame`: see `Codec`.

        Raises ValueError where the latents hold fewer than `num_samples` samples.
        """
        available = latents.shape[2] * self.ratio * HOP_LENGTH
        num_samples = available if num_samples is None else num_samples
        if num_samples > available:
            raise ValueError(f"{latents.shape[2]} latent frames hold {available} samples, not {num_samples}; "
                             f"use latents of shape {self.latent_shape(num_samples)}")
        latents = latents.to(next(self.parameters()).dtype)
        return self.vocode(self.decode_mel(latents), first_frame * self.ratio)[:, None, :num_samples]

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """Writes `codec.json`, `vae/` and `vocoder/` (safetensors)."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        self.save_config(folder)
        self.vae.save_pretrained(folder / "vae")
        self.vocoder.save_pretrained(folder / "vocoder")  # type: ignore[operator]

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, *, torch_dtype: torch.dtype = torch.float32,
                        vocoder: bool = True, **kwargs: Any) -> MelCodec:
        """Loads a folder with `vae/` and `vocoder/`: ours, or AudioLDM's in the diffusers layout.

        `vocoder` False: without one, so that latents can be made and read as log-mels. Raises WeightsError where a part
        is missing or of an unknown class.
        """
        folder = Path(pretrained_model_name_or_path)
        for part in ("vae", "vocoder") if vocoder else ("vae",):
            if not (folder / part / "config.json").is_file():
                raise WeightsError(f"{folder} has no '{part}/config.json'; a mel codec is a folder with vae/ and "
                                   "vocoder/ in the diffusers layout")
        vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch_dtype)
        settings = {}
        if (folder / cls.config_name).is_file():
            stored = json.loads((folder / cls.config_name).read_text())
            settings = {k: v for k, v in stored.items() if not k.startswith("_")}
        voice = _load_vocoder(folder / "vocoder", torch_dtype) if vocoder else nn.Identity()
        large = vocoder and not isinstance(voice, VocosVocoder)  # AudioLDM's: gigabytes of activations in 10 s
        return cls(vae, voice, checkpointing=large, **settings).eval()


def _load_vocoder(folder: Path, torch_dtype: torch.dtype) -> nn.Module:
    """The vocoder in `folder`, by the class its config names."""
    config = json.loads((folder / "config.json").read_text())
    name = config.get("_class_name") or (config.get("architectures") or ["unknown"])[0]
    if name == "VocosVocoder":
        try:
            return VocosVocoder.from_pretrained(folder, torch_dtype=torch_dtype)
        except (RuntimeError, ValueError) as error:  # of other shapes
            raise WeightsError(f"{folder}: these weights do not fit this version's vocoder, which predicts no phases; "
                               "train it again with postsync train vocoder.") from error
    if name == "SpeechT5HifiGan":
        from transformers import SpeechT5HifiGan

        return SpeechT5HifiGan.from_pretrained(folder, torch_dtype=torch_dtype)
    raise WeightsError(f"{folder}/config.json names the vocoder class '{name}'; "
                       "known are VocosVocoder and SpeechT5HifiGan")
