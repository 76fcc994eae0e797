"""CAVP: video and audio in one embedding space, four vectors a second each (contrastive audio-visual pretraining).

Source: Diff-Foley, arXiv 2306.17203; luosiallen/Diff-Foley: inference/model/cavp_model.py, cavp_modules.py. Parameters
carry the official names. The picture's trunk convolves over time, so a clip is encoded in chunks of 40 frames, as all
published features were; the sound's applies its layer `fc1` twice, as the official code does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from os import PathLike

import torch
from diffusers import ConfigMixin, ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F

from ..features.resize import resize_pictures
from ..features.spectrogram import cavp_mel
from ..weights.layout import build, readable, rename
from .panns import ConvBlock

SAMPLE_RATE = 16000
FPS = 4.0
CHUNK_FRAMES = 40  # chunk edges affect the trunk's output: keep the official number
WINDOW_STEPS = 16  # 4 s, the training length of a clip's vector


class ConvNorm(nn.Module):
    """3-D convolution without bias, batch norm, ReLU: (B, C, T, H, W) -> same layout."""

    def __init__(self, inputs: int, outputs: int, kernel: tuple[int, int, int], stride: int = 1,
                 relu: bool = True) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
        self.conv = nn.Conv3d(inputs, outputs, kernel, (1, stride, stride), padding, bias=False)
        self.bn = nn.BatchNorm3d(outputs)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return F.relu(x, inplace=not torch.is_grad_enabled()) if self.relu else x


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3, 1 x 1 with a shortcut; the first kernel of an inflated one spans three frames."""

    def __init__(self, inputs: int, width: int, stride: int, inflated: bool) -> None:
        super().__init__()
        self.conv1 = ConvNorm(inputs, width, (3 if inflated else 1, 1, 1))
        self.conv2 = ConvNorm(width, width, (1, 3, 3), stride)
        self.conv3 = ConvNorm(width, 4 * width, (1, 1, 1), relu=False)
        changes = stride != 1 or inputs != 4 * width
        self.downsample = ConvNorm(inputs, 4 * width, (1, 1, 1), stride, relu=False) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(self.conv3(self.conv2(self.conv1(x))) + shortcut)


class SlowOnly(nn.Module):
    """SlowOnly ResNet: pictures (B, 3, T, H, W) in 0..1 -> (B, T, 32 * width). Time keeps its rate."""

    def __init__(self, width: int = 64, blocks: Sequence[int] = (3, 4, 6, 3)) -> None:
        super().__init__()
        self.conv1 = ConvNorm(3, width, (1, 7, 7), stride=2)
        self.layer1 = _stage(width, width, blocks[0], stride=1, inflated=False)
        self.layer2 = _stage(4 * width, 2 * width, blocks[1], stride=2, inflated=False)
        self.layer3 = _stage(8 * width, 4 * width, blocks[2], stride=2, inflated=True)
        self.layer4 = _stage(16 * width, 8 * width, blocks[3], stride=2, inflated=True)

    def forward(self, pictures: Tensor) -> Tensor:
        x = F.max_pool3d(self.conv1(pictures), (1, 3, 3), (1, 2, 2), (0, 1, 1))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.mean((3, 4)).transpose(1, 2)


class Cnn14(nn.Module):
    """PANNs' Cnn14 resolved in time: mel (B, T, bins) in 0..1 -> (B, T // 16, embed_dim)."""

    POOLS = ((2, 2), (2, 2), (2, 2), (2, 2), (1, 2), (1, 1))  # (time, bins) after each block

    def __init__(self, widths: Sequence[int], num_mel_bins: int, embed_dim: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(num_mel_bins)
        for i, (inputs, outputs) in enumerate(zip((1, *widths), widths), start=1):
            self.add_module(f"conv_block{i}", ConvBlock(inputs, outputs))
        self.fc1 = nn.Linear(widths[-1], widths[-1])
        self.final_project = nn.Linear(widths[-1], embed_dim)

    def forward(self, mel: Tensor) -> Tensor:
        x = self.bn(mel.transpose(1, 2)[..., None])[..., 0].transpose(1, 2)[:, None]
        for i, pool in enumerate(self.POOLS, start=1):
            x = F.avg_pool2d(self.get_submodule(f"conv_block{i}")(x), pool)
            x = F.dropout(x, 0.2, self.training)
        x = x.mean(3)
        x = F.max_pool1d(x, 3, 1, 1) + F.avg_pool1d(x, 3, 1, 1)
        x = F.relu(self.fc1(F.relu(self.fc1(x.transpose(1, 2)))))
        return self.final_project(x)


class Cavp(ModelMixin, ConfigMixin):
    """Both encoders. `video_width` is the stem's, `audio_widths` those of the six blocks; the defaults are published.

    A smaller one is the same classes with other widths, blocks and image size.
    """

    config_name = "config.json"  # type: ignore[assignment]

    def __init__(self, embed_dim: int = 512, video_width: int = 64, video_blocks: Sequence[int] = (3, 4, 6, 3),
                 audio_widths: Sequence[int] = (64, 128, 256, 512, 1024, 2048), num_mel_bins: int = 128,
                 image_size: int = 224) -> None:
        super().__init__()
        self.register_to_config(embed_dim=embed_dim, video_width=video_width, video_blocks=list(video_blocks),
                                audio_widths=list(audio_widths), num_mel_bins=num_mel_bins, image_size=image_size)
        self.image_size = image_size
        self.video_encoder = SlowOnly(video_width, video_blocks)
        self.video_project_head = nn.Linear(32 * video_width, embed_dim)
        self.spec_encoder = Cnn14(audio_widths, num_mel_bins, embed_dim)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def encode_video(self, pictures: Tensor) -> Tensor:
        """Pictures (B, T, 3, H, W) in 0..1, not normalised, at 4 fps -> steps (B, T, embed_dim), of any length."""
        return self.video_project_head(self.video_encoder(pictures.transpose(1, 2)))

    def encode_audio(self, mel: Tensor) -> Tensor:
        """Mel (B, T, 128) in 0..1 at hop 250 (`cavp_mel`) -> steps (B, T // 16, embed_dim), four a second."""
        return self.spec_encoder(mel)

    @torch.no_grad()
    def video_features(self, frames: Tensor) -> dict[str, Tensor]:
        """uint8 frames (F, 3, H, W) of one clip at 4 fps -> "steps" (F, embed_dim) and "windows" (F // 16, embed_dim).

        Both of unit length; one window is 4 s. The aspect ratio is not kept. Raises ValueError without frames.
        """
        if len(frames) == 0:
            raise ValueError("a clip without frames has no features; decode it at 4 frames a second")
        size = (self.image_size, self.image_size)
        steps = [self.encode_video((resize_pictures(chunk, size).to(self.device, self.dtype) / 255)[None])[0]
                 for chunk in frames.split(CHUNK_FRAMES)]
        return _named(torch.cat(steps))

    @torch.no_grad()
    def audio_features(self, waveform: Tensor) -> dict[str, Tensor]:
        """Waveforms (B, N) at 16 kHz in -1..1 -> "steps" (B, S, embed_dim) and "windows" (B, S // 16, embed_dim).

        Both of unit length, S = N // 4000. Raises ValueError for less than one step.
        """
        if waveform.shape[-1] < SAMPLE_RATE / FPS:
            raise ValueError(f"{waveform.shape[-1]} samples are less than a quarter of a second, CAVP's one step")
        return _named(self.encode_audio(cavp_mel(waveform).to(self.dtype)))


def load_cavp(folder: str | PathLike[str]) -> Cavp:
    """The CAVP saved in `folder`, float32, in eval mode. Raises WeightsError for a folder that holds none."""
    with readable(folder, "readable CAVP", "name a folder that postsync weights convert or postsync train cavp wrote."):
        return Cavp.from_pretrained(folder).float().eval()


def pool_windows(steps: Tensor) -> Tensor:
    """Steps (..., T, E) as the encoders give them -> one unit vector per whole window of 4 s, (..., T // 16, E).

    The official model pools one window only; longer clips give several here.
    """
    whole = steps[..., : steps.shape[-2] // WINDOW_STEPS * WINDOW_STEPS, :]
    return F.normalize(whole.unflatten(-2, (-1, WINDOW_STEPS)).amax(-2), dim=-1)


def from_official(state_dict: Mapping[str, Tensor], **sizes: object) -> Cavp:
    """Diff-Foley's `cavp_epoch66.ckpt` (its `state_dict`) -> Cavp of the published or the given sizes.

    No key is skipped. Raises WeightsError for another layout.
    """
    state, _ = rename(state_dict, ((r"^module\.", ""),))
    return build(lambda: Cavp(**sizes), state, "CAVP (cavp_epoch66.ckpt)")  # type: ignore[arg-type]


def _named(steps: Tensor) -> dict[str, Tensor]:
    return {"steps": F.normalize(steps, dim=-1), "windows": pool_windows(steps)}


def _stage(inputs: int, width: int, blocks: int, stride: int, inflated: bool) -> nn.Sequential:
    layers = [Bottleneck(inputs, width, stride, inflated)]
    return nn.Sequential(*layers, *(Bottleneck(4 * width, width, 1, inflated) for _ in range(blocks - 1)))
