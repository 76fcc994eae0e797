"""SyncFusion's onset network: an R(2+1)D-18 that keeps time, frames in, onset logits out.

Source: arXiv 2310.15247, mcomunita/syncfusion `main/onset_net.py` (the same network as CondFoleyGen's and
FoleyCrafter's detectors); keys as published. Frames are 15 a second, 112 x 112, normalised as ImageNet's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from diffusers import ConfigMixin, ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F

from ..weights.layout import build, rename

FPS, SIZE = 15.0, 112
THRESHOLD = 0.5  # of the probability
REACH = 5  # frames on either side of an onset in which there is no other

RENAMED = ((r"^(module|model)\.(?=net\.|fc\.)", ""), (r"^net\.model\.", ""))


class Conv2Plus1D(nn.Sequential):
    """A convolution over space, then one over time, which is never strided."""

    def __init__(self, inputs: int, width: int, middle: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv3d(inputs, middle, (1, 3, 3), stride=(1, stride, stride), padding=(0, 1, 1), bias=False),
            nn.BatchNorm3d(middle), nn.ReLU(),
            nn.Conv3d(middle, width, (3, 1, 1), padding=(1, 0, 0), bias=False))


class ResidualBlock(nn.Module):
    """Two such convolutions and a shortcut: (B, C, T, H, W) -> (B, width, T, H / stride, W / stride)."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        middle = inputs * width * 27 // (inputs * 9 + 3 * width)  # as many weights as a full 3 x 3 x 3 convolution
        self.conv1 = nn.Sequential(Conv2Plus1D(inputs, width, middle, stride), nn.BatchNorm3d(width), nn.ReLU())
        self.conv2 = nn.Sequential(Conv2Plus1D(width, width, middle), nn.BatchNorm3d(width))
        self.downsample = None if stride == 1 and inputs == width else nn.Sequential(
            nn.Conv3d(inputs, width, 1, stride=(1, stride, stride), bias=False), nn.BatchNorm3d(width))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(self.conv2(self.conv1(x)) + shortcut)


class OnsetNet(ModelMixin, ConfigMixin):
    """Frames -> one logit a frame; any number of frames of any size."""

    config_name = "config.json"  # type: ignore[assignment]

    def __init__(self, widths: Sequence[int] = (64, 128, 256, 512), hidden: int = 128) -> None:
        super().__init__()
        self.register_to_config(widths=list(widths), hidden=hidden)
        middle = 45
        self.stem = nn.Sequential(
            nn.Conv3d(3, middle, (1, 7, 7), stride=(1, 2, 2), padding=(0, 3, 3), bias=False), nn.BatchNorm3d(middle),
            nn.ReLU(), nn.Conv3d(middle, widths[0], (3, 1, 1), padding=(1, 0, 0), bias=False),
            nn.BatchNorm3d(widths[0]), nn.ReLU())
        for number, (inputs, width) in enumerate(zip((widths[0], *widths[:-1]), widths, strict=True), 1):
            blocks = ResidualBlock(inputs, width, 1 if number == 1 else 2), ResidualBlock(width, width, 1)
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        self.fc = nn.Sequential(nn.Linear(widths[-1], hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def features(self, frames: Tensor) -> Tensor:
        """Normalised frames (B, 3, T, H, W) -> (B, C, T), the mean over space."""
        x = self.stem(frames)
        for number in range(1, 5):
            x = self.get_submodule(f"layer{number}")(x)
        return x.mean((3, 4))

    def forward(self, frames: Tensor) -> Tensor:
        """Normalised frames (B, 3, T, H, W) -> logits (B, T)."""
        return self.fc(self.features(frames).transpose(1, 2))[..., 0]


def onsets(logits: Tensor, fps: float = FPS, threshold: float = THRESHOLD) -> Tensor:
    """Times (K,) float64 ascending seconds of the onsets in logits (T,), as CondFoleyGen picks them: the most probable
    frame, then the next one that is no nearer than five frames, while they exceed the threshold."""
    probability = logits.detach().float().sigmoid().clone()
    found: list[int] = []
    while len(probability) and float(probability.max()) > threshold:
        frame = int(probability.argmax())
        found.append(frame)
        probability[max(frame - REACH, 0):frame + REACH + 1] = 0
    return torch.tensor(sorted(found), dtype=torch.float64) / fps


def from_official(state_dict: Mapping[str, Tensor]) -> OnsetNet:
    """The network from a published state dict; its widths are read from it. Raises WeightsError."""
    ours, _ = rename(state_dict, RENAMED)
    return build(lambda: OnsetNet(**_sizes(ours)), ours, "SyncFusion's onset network")


def _sizes(state: Mapping[str, Tensor]) -> dict:
    """The arguments of `OnsetNet` that a state dict was made with; none where it is another network's."""
    widths = [len(state[key]) for i in range(1, 5) if (key := f"layer{i}.1.conv2.1.weight") in state]
    if len(widths) < 4 or "fc.0.bias" not in state:
        return {}
    return {"widths": widths, "hidden": len(state["fc.0.bias"])}
