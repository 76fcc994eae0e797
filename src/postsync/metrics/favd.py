"""FAVD: the Frechet distance of clips seen and heard at once, row by row of 0.96 s (metrics.md section 11).

I3D sums its rgb and its flow stream; without flow, or with another flow than PWC-Net's, the result bears another name.
In video-to-audio both sets share their pictures, so only the sound and its relation to the picture tell.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .frechet import FrechetDistance

I3D_WIDTH = 1024
VGGISH_WIDTH = 128


def favd_rows(i3d: Tensor, vggish: Tensor) -> Tensor:
    """Rows of one clip, (min(n, m), 1152), from I3D (n, 1024) and VGGish (m, 128); the longer is cut to the shorter.

    A clip of less than a second has none. Raises ValueError for what are not rows.
    """
    if i3d.dim() != 2 or vggish.dim() != 2:
        raise ValueError(f"features of {tuple(i3d.shape)} and {tuple(vggish.shape)}; give rows of I3D and of VGGish")
    length = min(len(i3d), len(vggish))
    return torch.cat([i3d[:length].double(), vggish[:length].double()], 1)


class FAVD(FrechetDistance):
    """Frechet distance over the joint rows of all clips, ddof 1."""

    def __init__(self, num_features: int = I3D_WIDTH + VGGISH_WIDTH) -> None:
        super().__init__(num_features)

    def add_clip(self, i3d: Tensor, vggish: Tensor, real: bool) -> int:
        """Add one clip, I3D (n, 1024) and VGGish (m, 128), and return how many rows it gave."""
        rows = favd_rows(i3d, vggish)
        self.update(rows, real=real)
        return len(rows)
