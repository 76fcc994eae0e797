"""VGGish: 128 numbers for each 0.96 s of sound, the space of FAD.

Source: Hershey et al., arXiv 1609.09430; weights and layout: harritaylor/torchvggish (Apache-2.0), whose keys these
are. Without PCA and quantisation, as all published FAD values are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from diffusers import ConfigMixin, ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F

from ..features.spectrogram import vggish_examples
from ..weights.layout import build, rename

SAMPLE_RATE = 16000
EXAMPLE_S = 0.96  # one row of features
POOLED = (1, 1, 2, 2)  # convolutions of equal width before each of the four poolings

RENAMED = ((r"^module\.", ""), (r"^features\.", "convolutions."))
IGNORED = ((r"(module\.)?pproc\.", "PCA and quantisation, which FAD does not apply"),)


class Vggish(ModelMixin, ConfigMixin):
    """Six convolutions, three linear layers. `widths`: of the stages; `hidden`, `outputs`: of the linear layers."""

    config_name = "config.json"  # type: ignore[assignment]

    def __init__(self, widths: Sequence[int] = (64, 128, 256, 512), hidden: int = 4096, outputs: int = 128) -> None:
        super().__init__()
        self.register_to_config(widths=list(widths), hidden=hidden, outputs=outputs)
        layers: list[nn.Module] = []
        channels = 1
        for width, count in zip(widths, POOLED, strict=True):
            for _ in range(count):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.convolutions = nn.Sequential(*layers)
        linears = [nn.Linear(a, b) for a, b in pairwise((24 * channels, hidden, hidden, outputs))]
        self.embeddings = nn.Sequential(linears[0], nn.ReLU(), linears[1], nn.ReLU(), linears[2])

    def forward(self, examples: Tensor) -> Tensor:
        """Log-mel examples (B, 96, 64) -> (B, 128) before the last ReLU, the convention of FAD."""
        hidden = self.convolutions(examples[:, None])
        return self.embeddings(hidden.permute(0, 2, 3, 1).flatten(1))  # (time, mel, channel), TensorFlow's order

    @torch.no_grad()
    def features(self, waveform: Tensor) -> dict[str, Tensor]:
        """Waveform (B, N) at 16 kHz in -1..1 -> "embedding" (B, n, 128) for FAD, "activation", its ReLU, for FAVD.

        n counts whole 0.96 s; it is 0 below 0.975 s. Raises ValueError for less than 400 samples.
        """
        examples = vggish_examples(waveform)
        rows = self(examples.flatten(0, 1).to(self.dtype)).unflatten(0, examples.shape[:2])
        return {"embedding": rows, "activation": F.relu(rows)}


def from_official(state_dict: Mapping[str, Tensor]) -> Vggish:
    """VGGish from the state dict of `vggish-10086976.pth`; its sizes are read from it. Raises WeightsError."""
    ours, _ = rename(state_dict, RENAMED, IGNORED)
    return build(lambda: Vggish(**_sizes(ours)), ours, "VGGish")


def _sizes(state: Mapping[str, Tensor]) -> dict:
    """The arguments of `Vggish` that a state dict was made with; none where it is another network's."""
    widths = [len(state[key]) for i in (0, 3, 8, 13) if (key := f"convolutions.{i}.weight") in state]
    last = state.get("embeddings.4.weight")
    if len(widths) < len(POOLED) or last is None or last.dim() != 2:
        return {}
    return {"widths": widths, "hidden": last.shape[1], "outputs": last.shape[0]}
