"""The codec's latents as the transformer's sequence: folded to (B, channels, T) and normalised per channel."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from einops import rearrange
from torch import Tensor


class LatentLayout(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Folds (B, channels, T, bins) to (B, channels * bins, T) and back; `bins` None leaves (B, channels, T) as it is.

    `mean` and `std` (of every folded channel) are buffers, 0 and 1 until `fit`. Stable Audio's latents need neither.
    """

    mean: Tensor
    std: Tensor

    @register_to_config
    def __init__(self, channels: int = 64, bins: int | None = None) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels * (bins or 1)))
        self.register_buffer("std", torch.ones(channels * (bins or 1)))

    @torch.no_grad()
    def fit(self, latents: Iterable[Tensor]) -> None:
        """Measure mean and standard deviation of every channel over `latents`, each one sample as the codec gives it.

        Raises ValueError where there is nothing to measure.
        """
        count, total, squares = 0, torch.zeros_like(self.mean).double(), torch.zeros_like(self.mean).double()
        for sample in latents:
            values = self._sequence(sample[None].double())[0]
            count += values.shape[1]
            total = total + values.sum(1)
            squares = squares + (values**2).sum(1)
        if count == 0:
            raise ValueError("no latents to measure; give `fit` at least one sample")
        mean = total / count
        self.mean.copy_(mean)
        self.std.copy_((squares / count - mean**2).clamp(min=1e-6).sqrt())

    def fold(self, latents: Tensor) -> Tensor:
        """Codec latents -> normalised sequence (B, C, T)."""
        return (self._sequence(latents) - self.mean[:, None]) / self.std[:, None]

    def unfold(self, sequence: Tensor) -> Tensor:
        """Normalised sequence (B, C, T) -> codec latents; differentiable."""
        values = sequence * self.std[:, None] + self.mean[:, None]
        return values if self.config["bins"] is None else rearrange(values, "b (c f) t -> b c t f",
                                                                    f=self.config["bins"])

    def _sequence(self, latents: Tensor) -> Tensor:
        return latents if self.config["bins"] is None else rearrange(latents, "b c t f -> b (c f) t")
