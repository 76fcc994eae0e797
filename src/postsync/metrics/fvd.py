"""FVD: the Frechet distance of 16-frame pieces of video, as I3D's 400 Kinetics logits, with the population covariance.

Published code takes the first 2048 videos of a set, the piece of a real one at a random place and that of a generated
one at its start, and leaves out what is shorter (universome/stylegan-v `fvd2048_16f`, metrics.md section 12).
"""

from __future__ import annotations

import torch

from .frechet import FrechetDistance

NUM_FRAMES = 16
NUM_LOGITS = 400


def first_frame(num_frames: int, generator: torch.Generator | None = None, length: int = NUM_FRAMES) -> int | None:
    """Where the piece of a video of `num_frames` starts: drawn from `generator`, 0 without one, None if too short.

    Give a seeded generator for real videos and none for generated ones to follow the published rule.
    """
    if num_frames < length:
        return None
    if generator is None:
        return 0
    return int(torch.randint(num_frames - length + 1, (), generator=generator))


class FVD(FrechetDistance):
    """Frechet distance of I3D logits (n, 400), one row a clip, ddof 0."""

    def __init__(self) -> None:
        super().__init__(NUM_LOGITS, ddof=0)
