"""PaSST-S: a transformer over the spectrogram of 10 s, whose features and AudioSet classes FD and KL use.

Source: Koutini et al., arXiv 2110.05069; kkoutini/passt_hear21: hear21passt/models/passt.py, whose keys these are
(architecture passt_s_swa_p16_128_ap476). No patches are dropped: that is for training.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from diffusers import ConfigMixin, ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F

from ..features.spectrogram import passt_mel
from ..weights.layout import build, rename
from .vit import Block, positions

SAMPLE_RATE = 32000
NUM_SAMPLES = 320000  # 10 s, the length it was trained on
HEAD_WIDTH = 64

RENAMED = ((r"^module\.", ""), (r"^patch_embed\.proj\.", "patch_embed."))
IGNORED = ((r"(module\.)?head_dist\.", "a second head of classes, which the forward pass never reads"),)


class Passt(ModelMixin, ConfigMixin):
    """Patches of a mel spectrogram with positions in frequency and time, two tokens before them, and blocks.

    `rows`, `columns`: number of patches in frequency and, at most, in time; `patch`, `stride`: in bins and frames.
    """

    config_name = "config.json"  # type: ignore[assignment]

    def __init__(self, width: int = 768, depth: int = 12, heads: int = 12, classes: int = 527, patch: int = 16,
                 stride: int = 10, rows: int = 12, columns: int = 99) -> None:
        super().__init__()
        self.register_to_config(width=width, depth=depth, heads=heads, classes=classes, patch=patch, stride=stride,
                                rows=rows, columns=columns)
        self.patch_embed = nn.Conv2d(1, width, patch, stride)
        self.cls_token, self.dist_token = positions(1, 1, width), positions(1, 1, width)
        self.new_pos_embed = positions(1, 2, width)
        self.freq_new_pos_embed = positions(1, width, rows, 1)
        self.time_new_pos_embed = positions(1, width, 1, columns)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, 1e-6)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes))

    def tokens(self, mel: Tensor) -> Tensor:
        """Scaled mel (B, 1, bins, frames) -> (B, 2 + rows * columns, width), the input of the first block.

        Fewer columns take the first positions. Raises ValueError for more columns than there are positions.
        """
        patches = self.patch_embed(mel)
        columns, known = patches.shape[-1], self.time_new_pos_embed.shape[-1]
        if columns > known:
            raise ValueError(f"the spectrogram gives {columns} columns of patches, PaSST knows {known}; cut it to 10 s")
        patches = patches + self.time_new_pos_embed[..., :columns] + self.freq_new_pos_embed
        first = torch.cat([self.cls_token, self.dist_token], dim=1) + self.new_pos_embed
        return torch.cat([first.expand(len(mel), -1, -1), patches.flatten(2).transpose(1, 2)], dim=1)

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Scaled mel (B, 1, bins, frames) -> embedding (B, 768) and logits (B, 527)."""
        x = self.tokens(mel)
        for block in self.blocks:
            x = block(x)
        embedding = self.norm(x)[:, :2].mean(1)
        return embedding, self.head(embedding)

    @torch.no_grad()
    def features(self, waveform: Tensor) -> dict[str, Tensor]:
        """Waveform (B, N) at 32 kHz in -1..1 -> "embedding" (B, 768) and "logits" (B, 527), one row a waveform.

        It is cut, or continued with silence, to 10 s.
        """
        waveform = F.pad(waveform[:, :NUM_SAMPLES], (0, max(0, NUM_SAMPLES - waveform.shape[-1])))
        embedding, logits = self(passt_mel(waveform)[:, None].to(self.dtype))
        return {"embedding": embedding, "logits": logits}


def from_official(state_dict: Mapping[str, Tensor], heads: int | None = None, stride: int = 10) -> Passt:
    """PaSST from the state dict of `passt-s-f128-p16-s10-ap.476-swa.pt`; its sizes are read from it.

    Not in the state dict: `heads` (default: 64 wide each) and the `stride` of the patches. Raises WeightsError for
    another network.
    """
    ours, _ = rename(state_dict, RENAMED, IGNORED)
    return build(lambda: Passt(**_sizes(ours, heads, stride)), ours, "PaSST-S")


def _sizes(state: Mapping[str, Tensor], heads: int | None, stride: int) -> dict:
    """The arguments of `Passt` that a state dict was made with; none where it is another network's."""
    wanted = {"patch_embed.weight", "freq_new_pos_embed", "time_new_pos_embed", "head.1.weight"}
    if not wanted <= state.keys() or any(state[key].dim() < 2 for key in wanted):
        return {}
    classes, width = state["head.1.weight"].shape
    depth = len({key.split(".")[1] for key in state if key.startswith("blocks.")})
    return {"width": width, "depth": depth, "heads": heads or max(1, width // HEAD_WIDTH), "classes": classes,
            "patch": state["patch_embed.weight"].shape[-1], "stride": stride,
            "rows": state["freq_new_pos_embed"].shape[2], "columns": state["time_new_pos_embed"].shape[3]}
