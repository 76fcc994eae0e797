"""Metrics, one file a family: each a plain function beside a mergeable torchmetrics class built on it."""

from ..protocols.system import Trainable
from ..protocols.train_config import TrainConfig

TRAINABLES = (
    Trainable("scene_classifier", "classifier of a sound's family, for evaluation",
              "postsync.metrics.scene_classifier:scene_classifier",
              TrainConfig(steps=800, batch_size=32, lr=2e-3, warmup=100, ema_decay=0.99), count=2600),
    Trainable("recording_classifier", "classifier of a sound's family that has heard recordings alone, for evaluation",
              "postsync.metrics.scene_classifier:recording_classifier",
              TrainConfig(steps=1500, batch_size=32, lr=2e-3, warmup=100, weight_decay=0.05, ema_decay=0.99),
              count=5200, world="postsync.metrics.scene_classifier:recordings_alone"),
    Trainable("hit_reader", "reader of hits in pictures of scenes, 8 a second, for evaluation",
              "postsync.metrics.hit_reader:hit_reader",
              TrainConfig(steps=1500, batch_size=16, lr=2e-3, warmup=50, ema_decay=0.99), count=1200,
              world="postsync.scenes.render:impacts", presets=("mini",)),
)
