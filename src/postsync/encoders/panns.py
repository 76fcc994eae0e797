"""PANNs' Cnn14 at 16 kHz: a tagger of AudioSet, whose features and classes FD, IS and KL use.

Source: Kong et al., arXiv 1912.10211; qiuqiangkong/audioset_tagging_cnn (MIT): pytorch/models.py, whose keys these are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from diffusers import ConfigMixin, ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import WeightsError
from ..features.spectrogram import mel_filters, panns, panns_log_mel
from ..weights.layout import build, rename

SAMPLE_RATE = 16000
MEL_BINS = 64
FEWEST_SAMPLES = 31 * 160  # 32 frames, halved five times

RENAMED = ((r"^module\.", ""), (r"^conv_block(\d+)\.", r"blocks.\1."))
IGNORED = (
    (r"(module\.)?spectrogram_extractor\.", "the STFT as convolutions; features/spectrogram.py computes it"),
    (r"(module\.)?logmel_extractor\.", "the mel filters, checked against features/spectrogram.py"),
)
_FILTERS = "logmel_extractor.melW"


class ConvBlock(nn.Module):
    """Two 3 x 3 convolutions with batch norm and ReLU: (B, C, T, M) -> (B, width, T, M)."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class Cnn14(ModelMixin, ConfigMixin):
    """Six blocks of convolutions, mean over frequency, maximum + mean over time, two linear layers."""

    config_name = "config.json"  # type: ignore[assignment]

    def __init__(self, widths: Sequence[int] = (64, 128, 256, 512, 1024, 2048), classes: int = 527) -> None:
        super().__init__()
        self.register_to_config(widths=list(widths), classes=classes)
        self.bn0 = nn.BatchNorm2d(MEL_BINS)
        self.blocks = nn.ModuleDict({str(i): ConvBlock(inputs, width) for i, (inputs, width)
                                     in enumerate(zip((1, *widths[:-1]), widths, strict=True), 1)})
        self.fc1 = nn.Linear(widths[-1], widths[-1])
        self.fc_audioset = nn.Linear(widths[-1], classes)

    def forward(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        """Log-mel (B, T, 64) in dB, T of 32 or more -> features (B, 2048) and logits (B, 527) before the sigmoid."""
        x = self.bn0(log_mel.transpose(1, 2)[..., None])  # the bins are the channels of this norm
        x = x.permute(0, 3, 2, 1)
        for name, block in self.blocks.items():
            x = block(x)
            if name != str(len(self.blocks)):
                x = F.avg_pool2d(x, 2)
        x = x.mean(3)
        features = F.relu(self.fc1(x.amax(2) + x.mean(2)))
        return features, self.fc_audioset(features)

    @torch.no_grad()
    def features(self, waveform: Tensor) -> dict[str, Tensor]:
        """Waveform (B, N) at 16 kHz in -1..1 -> "embedding" (B, 2048) and "logits" (B, 527), one row a waveform.

        Raises ValueError for less than 0.31 s.
        """
        if waveform.shape[-1] < FEWEST_SAMPLES:
            raise ValueError(f"waveform has {waveform.shape[-1]} samples, Cnn14 needs {FEWEST_SAMPLES}; pad it")
        embedding, logits = self(panns_log_mel(waveform).to(self.dtype))
        return {"embedding": embedding, "logits": logits}


def from_official(state_dict: Mapping[str, Tensor]) -> Cnn14:
    """Cnn14 from the `model` of `Cnn14_16k_mAP=0.438.pth`; its sizes are read from it.

    Raises WeightsError for another network, or one trained on another front end (the 32 kHz Cnn14).
    """
    ours, ignored = rename(state_dict, RENAMED, IGNORED)
    for key in ignored:
        if key.removeprefix("module.") == _FILTERS:
            _check_filters(state_dict[key])
    return build(lambda: Cnn14(**_sizes(ours)), ours, "PANNs' Cnn14 at 16 kHz")


def _check_filters(stored: Tensor) -> None:
    """The front end does not show in the names or shapes of the layers: only the stored filters distinguish the
    rates."""
    filters = mel_filters(panns()).T
    same = stored.shape == filters.shape
    if not same or not (stored.is_meta or torch.allclose(stored.double(), filters, atol=1e-5)):
        raise WeightsError("this Cnn14 was trained on another front end (the 32 kHz one?); Cnn14_16k is needed.")


def _sizes(state: Mapping[str, Tensor]) -> dict:
    """The arguments of `Cnn14` that a state dict was made with; none where it is another network's."""
    widths = [len(state[key]) for i in range(1, 7) if (key := f"blocks.{i}.conv1.weight") in state]
    if len(widths) < 6 or "fc_audioset.bias" not in state:
        return {}
    return {"widths": widths, "classes": len(state["fc_audioset.bias"])}
