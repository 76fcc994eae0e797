"""What the codecs share: their posterior, input checks, and chunked processing of long signals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from ..errors import ConditionError
from ..protocols.clip import Clip
from ..protocols.codec import Codec


@dataclass(frozen=True)
class LatentPosterior:
    """Diagonal Gaussian over latents; `mean` and `std` (B, channels, T, ...)."""

    mean: Tensor
    std: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One draw, shaped as `mean`; the noise comes from `generator` on its own device."""
        device = generator.device if generator is not None else self.mean.device
        noise = torch.randn(self.mean.shape, generator=generator, device=device, dtype=self.mean.dtype)
        return self.mean + self.std * noise.to(self.mean.device)


def check_waveform(waveform: Tensor, channels: int) -> None:
    """Raise ConditionError for what is not (B, channels, N)."""
    if waveform.dim() != 3 or waveform.shape[1] != channels:
        raise ConditionError(f"this codec takes waveforms (B, {channels}, N), not {tuple(waveform.shape)}; mix or "
                             "repeat the channels first.")


def with_channels(waveform: Tensor, channels: int) -> Tensor:
    """Waveform (C, N) -> (channels, N): unchanged, or mixed down and repeated in every channel."""
    if len(waveform) == channels:
        return waveform
    return waveform.mean(0, keepdim=True).expand(channels, -1)


def native_sound(clip: Clip, codec: Codec, frames: int) -> Tensor:
    """A training clip's sound (C, N), cut or padded with silence to `frames` latent frames, its peak at 1.

    Raises ConditionError for a clip without sound at the codec's rate.
    """
    if clip.waveform is None or clip.sample_rate != codec.sampling_rate:
        raise ConditionError(f"clip {clip.clip_id} has no sound at {codec.sampling_rate} Hz; resample it first.")
    samples = round(frames / codec.latent_rate * codec.sampling_rate)
    sound = with_channels(clip.waveform.float(), codec.channels)[:, :samples]
    sound = functional.pad(sound, (0, samples - sound.shape[1]))
    return sound / sound.abs().max().clamp(min=1e-4)


def in_chunks(layer: Callable[[Tensor, int], Tensor], x: Tensor, size: int, margin: int, *, dim: int,
              steps: tuple[int, int], checkpointing: bool = False) -> Tensor:
    """`layer(x, 0)`, `size` frames of dimension `dim` at a time, each with `margin` frames around it; the layer is also
    given the number of a chunk's first frame.

    `steps`: values of a frame in `dim` of x, and in the last dimension of the result. Equal to one pass but for
    rounding where the layer looks no further than the margin. Differentiable; with `checkpointing` activations are
    computed again for the gradients instead of kept, so that memory holds those of one chunk.
    """
    taken, given = steps
    num_frames = x.shape[dim] // taken
    again = checkpointing and torch.is_grad_enabled() and x.requires_grad
    pieces = []
    for start in range(0, num_frames, size):
        left, end = max(start - margin, 0), min(start + size, num_frames)
        part = x.narrow(dim, left * taken, (min(end + margin, num_frames) - left) * taken)
        made = checkpoint(layer, part, left, use_reentrant=False) if again else layer(part, left)
        pieces.append(made[..., (start - left) * given : (end - left) * given])
    return torch.cat(pieces, dim=-1)


@contextmanager
def recomputing(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> Iterator[None]:
    """Inside the block, activations within submodules of these kinds are computed again for gradients instead of kept:
    memory holds those of one submodule, and what passes between them."""
    parts = [part for part in module.modules() if isinstance(part, kinds)]
    for part in parts:
        part.forward = partial(checkpoint, part.forward, use_reentrant=False)
    try:
        yield
    finally:
        for part in parts:
            del part.forward  # the class's own is seen again
