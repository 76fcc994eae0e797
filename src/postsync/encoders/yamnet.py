"""YAMNet: a tagger of AudioSet on MobileNet v1, which says what a sound is heard as; for measuring.

Source: tensorflow/models (Apache-2.0): research/audioset/yamnet (yamnet.py, features.py), whose Keras file
`yamnet.h5` is converted. Its classes are named by `yamnet_class_map.csv`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from diffusers import ConfigMixin, ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F

from ..features.spectrogram import log_mel_spectrogram, yamnet
from ..weights.layout import build
from .efficientnet_lite import SameConv2d

SAMPLE_RATE = 16000
WINDOW, HOP = 96, 48  # frames of 10 ms that are heard at once, and between two windows
FEWEST_SAMPLES = 15600  # of one window; shorter sounds are padded with silence
STRONGEST = 5  # a class scores by the mean over this fraction (1/5) of the windows, where it is strongest
LAYERS = ((1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512), (1, 512), (1, 512), (1, 512), (1, 512), (1, 512),
          (2, 1024), (1, 1024))  # (stride, width) of the separable convolutions

_KEY = re.compile(r"(?:.*/)?layer(\d+)/(conv|depthwise_conv|pointwise_conv)(/bn)?/(?:[^/]*/)*"
                  r"(kernel|depthwise_kernel|beta|moving_mean|moving_variance):0")
_LOGITS = re.compile(r"(?:.*/)?(?:dense|logits)(?:_\d+)?/(kernel|bias):0")
_PARTS = {"beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


class _Convolution(nn.Module):
    """Convolution, batch norm (a shift, no scale) and ReLU."""

    def __init__(self, inputs: int, width: int, size: int, stride: int, groups: int = 1) -> None:
        super().__init__()
        self.conv = SameConv2d(inputs, width, size, stride, groups)
        self.bn = nn.BatchNorm2d(width, eps=1e-4)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class Yamnet(ModelMixin, ConfigMixin):
    """A convolution, separable ones, mean over the window, one linear layer. `layers`: (stride, width) of each."""

    config_name = "config.json"  # type: ignore[assignment]

    def __init__(self, first: int = 32, layers: Sequence[Sequence[int]] = LAYERS, classes: int = 521) -> None:
        super().__init__()
        self.register_to_config(first=first, layers=[list(layer) for layer in layers], classes=classes)
        self.stages = nn.ModuleDict({"1": nn.ModuleDict({"conv": _Convolution(1, first, 3, 2)})})
        inputs = first
        for number, (stride, width) in enumerate(layers, 2):
            self.stages[str(number)] = nn.ModuleDict({
                "depthwise_conv": _Convolution(inputs, inputs, 3, stride, groups=inputs),
                "pointwise_conv": _Convolution(inputs, width, 1, 1)})
            inputs = width
        self.logits = nn.Linear(inputs, classes)

    def forward(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        """Log-mel windows (B, 96, 64) -> embeddings (B, 1024) and logits (B, classes) before the sigmoid."""
        x = log_mel[:, None]
        for layer in self.stages.values():
            for part in layer.values():  # type: ignore[operator]
                x = part(x)
        embedding = x.mean((2, 3))
        return embedding, self.logits(embedding)

    @torch.no_grad()
    def features(self, waveform: Tensor) -> dict[str, Tensor]:
        """Waveform (B, N) at 16 kHz in -1..1 -> "scores" (B, classes) in 0..1: the mean of each class over the fifth of
        the windows where it is strongest; silence has none. Short sounds are padded with silence."""
        waveform = F.pad(waveform, (0, max(0, FEWEST_SAMPLES - waveform.shape[-1])))
        log_mel = log_mel_spectrogram(waveform, yamnet())
        log_mel = torch.cat([log_mel, log_mel[:, -1:].expand(-1, max(0, WINDOW - log_mel.shape[1]), -1)], dim=1)
        windows = log_mel.unfold(1, WINDOW, HOP).transpose(2, 3)  # (B, n, 96, 64)
        _, logits = self(windows.flatten(0, 1).to(self.dtype))
        strongest = logits.sigmoid().unflatten(0, windows.shape[:2]).sort(1, descending=True).values
        scores = strongest[:, : max(1, windows.shape[1] // STRONGEST)].mean(1)
        return {"scores": scores * (waveform.abs().amax(-1, keepdim=True) >= 1e-4)}


def from_official(state_dict: Mapping[str, Tensor]) -> Yamnet:
    """YAMNet from the tensors of `yamnet.h5` under their paths; its sizes are read from them. Raises WeightsError."""
    ours: dict[str, Tensor] = {}
    for path, value in state_dict.items():
        if found := _LOGITS.fullmatch(path):
            key, value = ("weight", value.mT.contiguous()) if found[1] == "kernel" else ("bias", value)
            ours[f"logits.{key}"] = value
        elif found := _KEY.fullmatch(path):
            number, part, norm, kind = found.groups()
            place = f"stages.{number}.{part}"
            if norm:
                ours[f"{place}.bn.{_PARTS.get(kind, kind)}"] = value
                ours[f"{place}.bn.weight"] = torch.ones_like(value)  # it has no scale
                ours[f"{place}.bn.num_batches_tracked"] = torch.zeros((), dtype=torch.int64, device=value.device)
            else:  # (height, width, in, out); depthwise (height, width, channels, 1)
                order = (2, 3, 0, 1) if kind == "depthwise_kernel" else (3, 2, 0, 1)
                ours[f"{place}.conv.weight"] = value.permute(order).contiguous()
        else:
            ours[path] = value  # named as what is too much
    return build(lambda: Yamnet(**_sizes(ours)), ours, "YAMNet")


def _sizes(state: Mapping[str, Tensor]) -> dict:
    """The arguments of `Yamnet` that tensors were made with: strides are the published ones."""
    widths = [len(state[key]) for i in range(2, 15) if (key := f"stages.{i}.pointwise_conv.conv.weight") in state]
    first = state.get("stages.1.conv.conv.weight")
    if len(widths) < len(LAYERS) or first is None or "logits.bias" not in state:
        return {}
    layers = [(stride, width) for (stride, _), width in zip(LAYERS, widths, strict=True)]
    return {"first": len(first), "layers": layers, "classes": len(state["logits.bias"])}
