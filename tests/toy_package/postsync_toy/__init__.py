"""A system that somebody else wrote: noise of a learnt colour that follows the envelope. Found by its entry point."""

from __future__ import annotations

from pathlib import Path

from postsync.protocols.system import GuideEntry, Option, System, Trainable
from postsync.protocols.train_config import TrainConfig

SYSTEM = System(
    "toy", "Toy: coloured noise", "none", "sound", public="all", licences="Apache-2.0",
    limits="it makes noise and nothing else", pipeline="postsync_toy.pipeline:ToyPipeline",
    presets={"mini": str(Path(__file__).parent / "weights")},
    options={"tilt": Option(float, "how much brighter than what was learnt", 0.0, low=-24, high=24, unit="dB")})

TRAINABLES = (
    Trainable("toy_colour", "Toy's colour", "postsync_toy.objective:colour",
              TrainConfig(steps=20, batch_size=2, lr=0.1, warmup=1, ema_decay=0.5), count=4, presets=("mini",),
              options={"bands": Option(int, "bands of the spectrum", 8, low=2, high=64)}),
)

GUIDES = (
    GuideEntry("quiet", "makes less of everything", "postsync_toy.guide:Quiet",
               options={"strength": Option(float, "part taken away at each step", 0.5, low=0, high=1)}),
)
