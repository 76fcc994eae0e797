"""Metrics, one file a family: each a plain function beside a mergeable torchmetrics class built on it."""

from ..protocols.system import Trainable
from ..protocols.train_config import TrainConfig

TRAINABLES = (
    Trainable("scene_classifier", "classifier of a sound's family, for evaluation",
              "postsync.metrics.scene_classifier:scene_classifier",
              TrainConfig(steps=800, batch_size=32, lr=2e-3, warmup=100, ema_decay=0.99), count=2600),
)
