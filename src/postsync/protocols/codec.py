"""Codecs: sound <-> latents, or tokens. Audio is (B, C, N) in -1..1 everywhere, mono included."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


class Posterior(Protocol):
    """The result of encoding: a distribution over latents (B, channels, T, ...)."""

    @property
    def mean(self) -> Tensor:
        """Its mean."""
        ...

    @property
    def std(self) -> Tensor:
        """Its standard deviation."""
        ...

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One draw; the noise comes from `generator`, on the generator's own device."""
        ...


@runtime_checkable
class Codec(Protocol):
    """Sound <-> continuous latents."""

    @property
    def sampling_rate(self) -> int:
        """Samples a second."""
        ...

    @property
    def channels(self) -> int:
        """Channels of the waveforms in and out."""
        ...

    @property
    def latent_rate(self) -> float:
        """Latent frames a second."""
        ...

    @property
    def context_frames(self) -> int:
        """Latent frames on either side that a part of the sound depends on. A part decoded alone, with that many frames
        around it and its `first_frame`, equals that of the whole or comes close to it."""
        ...

    def latent_shape(self, num_samples: int) -> tuple[int, ...]:
        """(channels, frames, ...) of the latents of `num_samples` samples."""
        ...

    def encode(self, waveform: Tensor) -> Posterior:
        """Waveform (B, C, N) -> posterior over latents (B, *latent_shape(N))."""
        ...

    def decode(self, latents: Tensor, num_samples: int | None = None, *, first_frame: int = 0) -> Tensor:
        """Latents (B, channels, frames, ...) -> waveform (B, C, num_samples), by default all of it; differentiable.

        `first_frame`: the place of a part's first latent frame in the whole sound. A codec that adds noise gives each
        place its own.
        """
        ...


@runtime_checkable
class MelDecoder(Protocol):
    """A codec whose latents are decoded to log-mels first, at `mel_rate` frames a second."""

    @property
    def mel_rate(self) -> float:
        """Mel frames a second, a whole number of them to a latent frame."""
        ...

    def decode_mel(self, latents: Tensor) -> Tensor:
        """Latents (B, channels, frames, ...) -> log-mel (B, T, mels); differentiable."""
        ...


@runtime_checkable
class TokenCodec(Protocol):
    """Sound <-> discrete tokens in several codebooks."""

    @property
    def sampling_rate(self) -> int:
        """Samples a second."""
        ...

    @property
    def channels(self) -> int:
        """Channels of the waveforms in and out."""
        ...

    @property
    def num_codebooks(self) -> int:
        """K."""
        ...

    @property
    def codebook_size(self) -> int:
        """Tokens are 0 .. codebook_size - 1."""
        ...

    @property
    def frame_rate(self) -> float:
        """Token frames a second."""
        ...

    def encode(self, waveform: Tensor) -> Tensor:
        """Waveform (B, C, N) -> tokens (B, K, T) int64."""
        ...

    def decode(self, tokens: Tensor, num_samples: int | None = None) -> Tensor:
        """Tokens (B, K, T) -> waveform (B, C, num_samples)."""
        ...
