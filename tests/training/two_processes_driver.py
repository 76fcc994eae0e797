"""Trains a tiny MGAudio with guidance for four steps. Arguments: folder of the run, batches accumulated to a step, and,
to check that all processes go by one clock, the word "late": each process's clock is then off by an amount of its own.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from postsync.protocols.clip import Clip
from postsync.protocols.objective import Batch
from postsync.protocols.train_config import TrainConfig
from postsync.systems.mgaudio import presets
from postsync.systems.mgaudio.objective import MGAudioObjective
from postsync.training.loop import train


class Prepared(MGAudioObjective):
    """Its samples are drawn by the clip's name, without codec and encoders."""

    def prepare(self, clip: Clip) -> Batch:
        assert int(os.environ.get("RANK", "0")) == 0  # the other process reads what the first prepared
        g = torch.Generator().manual_seed(int(clip.clip_id))
        return {"latent_mean": torch.randn(8, 16, 16, generator=g), "latent_std": torch.full((8, 16, 16), 0.1),
                "video": torch.randn(2, 12, generator=g), "audio": torch.randn(2, 12, generator=g)}


if __name__ == "__main__":
    torch.manual_seed(0)
    config = TrainConfig(steps=4, batch_size=2, accumulation=int(sys.argv[2]), lr=0.01, warmup=1, ema_decay=0.9)
    if "late" in sys.argv:
        rank, clock = int(os.environ["RANK"]), time.monotonic
        time.monotonic = lambda: clock() * (1 + rank)
        config = replace(config, steps=10**6, max_minutes=0.02)
    train(Prepared(presets.tiny()), [Clip(str(i), 0.64) for i in range(6)], config, Path(sys.argv[1]), cpu=True)
