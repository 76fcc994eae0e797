"""The mini's token codec: residual codebooks over the latents of the mel codec.

Each latent frame, its channels and bins as one vector, is told by the nearest entry of a first codebook; what is left
of it by that of a second one; and so on (Zeghidour et al., SoundStream 2021, section III.C). Codebooks begin as
k-means of the residuals and are then trained together. Sound comes back through the mel codec's decoder and vocoder.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional

from .. import weights
from ..errors import ConditionError
from ..protocols.clip import Clip
from ..protocols.objective import Batch, ClipRequest, Objective
from ..scenes.render import NATIVE_S
from ..weights.layout import Part, readable
from .chunking import check_waveform, native_sound
from .mel_vae import MelCodec

ROUNDS = 12  # of k-means
MOST_VECTORS = 120_000  # that k-means looks at


class ResidualQuantizer(ModelMixin, ConfigMixin):
    """Vectors (..., D) <-> entries (..., K) of K codebooks, on vectors normalised value by value."""

    mean: Tensor
    std: Tensor

    @register_to_config
    def __init__(self, dim: int = 128, num_codebooks: int = 4, codebook_size: int = 1024) -> None:
        super().__init__()
        self.codebooks = nn.Parameter(torch.randn(num_codebooks, codebook_size, dim) / dim)
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))

    def encode(self, vectors: Tensor) -> Tensor:
        """Vectors (..., D) -> entries (..., K)."""
        residual, entries = (vectors - self.mean) / self.std, []
        for codebook in self.codebooks:
            entries.append(nearest(residual, codebook))
            residual = residual - codebook[entries[-1]]
        return torch.stack(entries, dim=-1)

    def decode(self, entries: Tensor) -> Tensor:
        """Entries (..., K) -> vectors (..., D); differentiable in the codebooks."""
        chosen = [codebook[entries[..., k]] for k, codebook in enumerate(self.codebooks)]
        return torch.stack(chosen).sum(0) * self.std + self.mean


class QuantizedMelCodec(Part):
    """A token codec (`protocols/codec.py`): waveforms (B, 1, N) <-> tokens (B, K, T) at the mel codec's latent rate."""

    def __init__(self, mel_codec: MelCodec, quantizer: ResidualQuantizer) -> None:
        super().__init__()
        self.mel_codec, self.quantizer = mel_codec, quantizer
        self.num_codebooks, self.codebook_size = (int(quantizer.config[name])
                                                  for name in ("num_codebooks", "codebook_size"))
        self.sampling_rate, self.channels, self.frame_rate = mel_codec.sampling_rate, 1, mel_codec.latent_rate

    @property
    def codebooks(self) -> Tensor:
        """The codebooks' vectors (K, V, D), which VATT embeds tokens with."""
        return self.quantizer.codebooks.detach()

    @torch.no_grad()
    def encode(self, waveform: Tensor) -> Tensor:
        """Waveform (B, 1, N) in -1..1 -> tokens (B, K, T). Raises ConditionError for another number of channels."""
        check_waveform(waveform, self.channels)
        return self.quantizer.encode(as_vectors(self.mel_codec.encode(waveform).mean)).mT

    @torch.no_grad()
    def decode(self, tokens: Tensor, num_samples: int | None = None) -> Tensor:
        """Tokens (B, K, T) -> waveform (B, 1, num_samples), by default all of it. Raises ConditionError for tokens out
        of range, of another number of codebooks, or too few for the samples."""
        if tokens.shape[1] != self.num_codebooks or tokens.min() < 0 or tokens.max() >= self.codebook_size:
            raise ConditionError(f"tokens of shape {tuple(tokens.shape)} from {int(tokens.min())} to "
                                 f"{int(tokens.max())}; this codec has {self.num_codebooks} codebooks of "
                                 f"{self.codebook_size}.")
        held = round(tokens.shape[-1] / self.frame_rate * self.sampling_rate)
        if num_samples is not None and num_samples > held:
            raise ConditionError(f"{tokens.shape[-1]} tokens hold {held} samples, not {num_samples}.")
        channels, _, bins = self.mel_codec.latent_shape(held)
        vectors = self.quantizer.decode(tokens.mT)
        return self.mel_codec.decode(vectors.unflatten(-1, (channels, bins)).transpose(1, 2), num_samples)

    def save_pretrained(self, folder: str | PathLike[str], **kwargs: Any) -> None:
        """Write the codebooks, and `mel_codec/` beside them."""
        self.quantizer.save_pretrained(folder)
        self.mel_codec.save_pretrained(Path(folder) / "mel_codec")

    @classmethod
    def from_pretrained(cls, folder: str | PathLike[str], *, mel_codec: MelCodec | None = None,
                        torch_dtype: torch.dtype = torch.float32, **kwargs: Any) -> QuantizedMelCodec:
        """The codebooks in `folder`, frozen, over a mel codec: the given one, that beside them, or the bundled one.

        Raises WeightsError for a folder that holds none.
        """
        if mel_codec is None:
            beside = Path(folder) / "mel_codec"
            mel_codec = MelCodec.from_pretrained(beside if beside.is_dir() else weights.bundled("mel_codec"),
                                                 torch_dtype=torch_dtype)
        with readable(folder, "readable codebooks", "name a folder that postsync train codebooks wrote."):
            quantizer = ResidualQuantizer.from_pretrained(folder, torch_dtype=torch_dtype)
        return cls(mel_codec, quantizer).eval().requires_grad_(False)


def as_vectors(latents: Tensor) -> Tensor:
    """Latents (B, channels, T, bins) -> (B, T, channels * bins)."""
    return latents.transpose(1, 2).flatten(2)


class ResidualCodesObjective(Objective):
    """Mean squared error of normalised latents after all codebooks. A batch holds `vectors` (B, T, D)."""

    def __init__(self, mel_codec: MelCodec, num_codebooks: int = 4, codebook_size: int = 1024) -> None:
        super().__init__()
        self.mel_codec = mel_codec.requires_grad_(False).eval()
        channels, _, bins = mel_codec.latent_shape(1)
        self.quantizer = ResidualQuantizer(channels * bins, num_codebooks, codebook_size)

    @property
    def wants(self) -> ClipRequest:
        """Sound alone."""
        return ClipRequest(None, self.mel_codec.sampling_rate, NATIVE_S)

    def frozen(self) -> list[nn.Module]:
        """The mel codec."""
        return [self.mel_codec]

    def preparation(self) -> tuple[dict[str, object], dict[str, nn.Module]]:
        """The codebooks play no part in it."""
        return {}, {"mel_codec": self.mel_codec}

    @torch.no_grad()
    def prepare(self, clip: Clip) -> Batch:
        """Latents of a clip's sound as vectors. Raises ConditionError for a clip without sound at the codec's rate."""
        frames = round(NATIVE_S * self.mel_codec.latent_rate)
        sound = native_sound(clip, self.mel_codec, frames)
        return {"vectors": as_vectors(self.mel_codec.encode(sound[None]).mean)[0].half()}

    @torch.no_grad()
    def fit(self, samples: Iterable[Batch]) -> None:
        """Mean and deviation of all vectors, and codebooks by k-means of what those before leave."""
        vectors = torch.cat([sample["vectors"].float() for sample in samples])
        generator = torch.Generator().manual_seed(0)
        chosen = vectors[torch.randperm(len(vectors), generator=generator)[:MOST_VECTORS]]
        self.quantizer.mean.copy_(vectors.mean(0))
        self.quantizer.std.copy_(vectors.std(0).clamp_min(1e-3))
        residual = (chosen - self.quantizer.mean) / self.quantizer.std
        for codebook in self.quantizer.codebooks:
            codebook.copy_(k_means(residual, len(codebook), generator))
            residual = residual - codebook[nearest(residual, codebook)]

    def forward(self, batch: Batch, *, step: int, teacher: nn.Module | None = None,
                generator: torch.Generator | None = None) -> Batch:
        """`loss`: the mean squared error, with the first so many codebooks as are drawn for each vector, so that each
        codebook stays the best after those before it."""
        vectors = (batch["vectors"].float() - self.quantizer.mean) / self.quantizer.std
        entries, count = self.quantizer.encode(batch["vectors"].float()), len(self.quantizer.codebooks)
        used = torch.randint(1, count + 1, entries.shape[:-1], generator=generator).to(vectors.device)
        told = torch.stack([codebook[entries[..., k]] * (used > k)[..., None]
                            for k, codebook in enumerate(self.quantizer.codebooks)]).sum(0)
        return {"loss": functional.mse_loss(told, vectors)}

    def export(self, folder: Path) -> None:
        """Write the codebooks as float16."""
        copy.deepcopy(self.quantizer).half().save_pretrained(folder)


def nearest(vectors: Tensor, codebook: Tensor) -> Tensor:
    """Vectors (..., D) -> the number of the nearest entry (V, D), (...)."""
    return (vectors @ codebook.mT - codebook.square().sum(-1) / 2).argmax(-1)


def k_means(vectors: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """(N, D) -> `size` centres (size, D); an empty one is put on a drawn vector."""
    drawn = torch.randint(len(vectors), (size,), generator=generator)
    centres = vectors[torch.randperm(len(vectors), generator=generator)[:size]] if len(vectors) >= size else (
        vectors[drawn] + 1e-3 * torch.randn(size, vectors.shape[1], generator=generator))
    for _ in range(ROUNDS):
        owner = torch.cat([nearest(part, centres) for part in vectors.split(8192)])
        counts = torch.bincount(owner, minlength=size)
        sums = torch.zeros_like(centres).index_add_(0, owner, vectors)
        fresh = vectors[torch.randint(len(vectors), (size,), generator=generator)]
        centres = torch.where(counts[:, None] > 0, sums / counts.clamp_min(1)[:, None], fresh)
    return centres


def codebooks(preset: str, codec: Path | None = None) -> ResidualCodesObjective:
    """The untrained codebooks over the mel codec in the folder `codec`, by default the bundled one."""
    mel_codec = MelCodec.from_pretrained(codec or weights.bundled("mel_codec"))
    return ResidualCodesObjective(mel_codec, **({"codebook_size": 16} if preset == "tiny" else {}))
