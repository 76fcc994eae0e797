"""Video-Foley's Video2RMS: features of 10 s of pictures and optical flow -> classes of loudness, 125 a second.

Source: arXiv 2408.11915, jnwnlee/video-foley `model.py`; keys as published. Its features are BN-Inception's of RGB and
of flow, 2 x 1024 at 30 frames a second; classes are those of `features/mu_law.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from diffusers import ConfigMixin, ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ConditionError
from ..features.mu_law import decode, mu_law_edges
from ..weights.layout import build, rename

FPS, RMS_RATE = 30.0, 125.0

RENAMED = ((r"^module\.", ""), (r"^encoder\.", ""), (r"^convolutions\.(\d+)\.0\.conv\.", r"convolutions.\1.0."),
           (r"^BiLSTM_projs\.0\.", "over_time."), (r"^BiLSTM_projs\.1\.", "classes."), (r"^BiLSTM\.", "lstm."),
           (r"^onset_head\.", "onsets."))


class Video2RMS(ModelMixin, ConfigMixin):
    """Convolutions over time, a bidirectional LSTM, then linear maps over time and over features.

    The map over time ties it to clips of `video_samples` frames. `onset_head`: with a logit of an onset a frame.
    """

    config_name = "config.json"  # type: ignore[assignment]

    def __init__(self, embedding_dim: int = 2048, video_samples: int = 300, rms_samples: int = 1250,
                 num_classes: int = 64, kernel_size: int = 5, num_convolutions: int = 3, num_lstm: int = 2,
                 onset_head: bool = False) -> None:
        super().__init__()
        self.register_to_config(embedding_dim=embedding_dim, video_samples=video_samples, rms_samples=rms_samples,
                                num_classes=num_classes, kernel_size=kernel_size, num_convolutions=num_convolutions,
                                num_lstm=num_lstm, onset_head=onset_head)
        hidden = embedding_dim // 4
        self.convolutions = nn.ModuleList(
            nn.Sequential(nn.Conv1d(embedding_dim, embedding_dim, kernel_size, padding=kernel_size // 2),
                          nn.BatchNorm1d(embedding_dim), nn.ReLU(), nn.Dropout(0.5)) for _ in range(num_convolutions))
        self.lstm = nn.LSTM(embedding_dim, hidden, num_lstm, batch_first=True, bidirectional=True)
        self.over_time = nn.Linear(video_samples, rms_samples)
        self.classes = nn.Linear(2 * hidden, num_classes)
        self.onsets = nn.ModuleList([nn.Linear(video_samples, video_samples), nn.Linear(2 * hidden, 1)]
                                        ) if onset_head else None

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features (B, video_samples, D) -> logits (B, num_classes, rms_samples), 0 and above, and onset logits
        (B, video_samples, 1) where there is a head. Raises ConditionError for another number of frames."""
        if features.shape[1:] != (self.config["video_samples"], self.config["embedding_dim"]):
            raise ConditionError(f"this Video2RMS takes features (B, {self.config['video_samples']}, "
                                 f"{self.config['embedding_dim']}), not {tuple(features.shape)}.")
        x = features.transpose(1, 2)
        for layer in self.convolutions:
            x = layer(x)
        x, _ = self.lstm(x.transpose(1, 2))
        over_time = self.over_time(x.transpose(1, 2)).transpose(1, 2)
        logits = F.relu(self.classes(over_time)).transpose(1, 2)
        if self.onsets is None:
            return logits, None
        return logits, self.onsets[1](self.onsets[0](x.transpose(1, 2)).transpose(1, 2))

    @torch.no_grad()
    def rms(self, features: Tensor, midpoint: bool = False) -> Tensor:
        """Features -> RMS (B, rms_samples) in 0..1 at 125 Hz, of the likeliest classes. `midpoint`: see `decode`."""
        classes = self(features)[0].argmax(1)
        return decode(classes, mu_law_edges(self.config["num_classes"]), midpoint)


def from_official(state_dict: Mapping[str, Tensor]) -> Video2RMS:
    """The network from a published state dict; its sizes are read from it. Raises WeightsError."""
    ours, _ = rename(state_dict, RENAMED)
    return build(lambda: Video2RMS(**_sizes(ours)), ours, "Video2RMS")


def _sizes(state: Mapping[str, Tensor]) -> dict:
    """The arguments of `Video2RMS` that a state dict was made with; none where it is another network's."""
    if not {"convolutions.0.0.weight", "over_time.weight", "classes.bias"} <= state.keys():
        return {}
    kernel, over_time = state["convolutions.0.0.weight"], state["over_time.weight"]
    return {"embedding_dim": kernel.shape[0], "kernel_size": kernel.shape[2], "video_samples": over_time.shape[1],
            "rms_samples": over_time.shape[0], "num_classes": len(state["classes.bias"]),
            "num_convolutions": sum(key.endswith(".0.weight") and key.startswith("convolutions.") for key in state),
            "num_lstm": sum(key.startswith("lstm.weight_hh") and "reverse" not in key for key in state),
            "onset_head": "onsets.0.weight" in state}
