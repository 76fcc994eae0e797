"""Frozen towers that see, hear and read, and what trains those of ours."""

from ..protocols.system import Trainable
from ..protocols.train_config import TrainConfig

TRAINABLES = (
    Trainable("gram", "towers that see, hear and read in one space", "postsync.encoders.training:gram",
              TrainConfig(steps=3000, batch_size=48, lr=1.5e-3, warmup=80, weight_decay=0.03), count=2600),
    Trainable("gram_pictures", "GRAM's picture tower, further, beside the bundled towers of sound and text",
              "postsync.encoders.training:gram_pictures",
              TrainConfig(steps=8000, batch_size=48, lr=1.5e-3, warmup=100, weight_decay=0.03),
              count=6500, presets=("mini",)),
    Trainable("cavp", "CAVP: picture and sound in one space, four vectors a second", "postsync.encoders.training:cavp",
              TrainConfig(steps=3000, batch_size=24, lr=5e-4, warmup=100, weight_decay=0.03), count=2600),
)
