"""When does the picture sound? Motion readers, with and without weights."""

from ..protocols.system import Trainable
from ..protocols.train_config import TrainConfig

TRAINABLES = (
    Trainable("timing", "when the picture sounds: motion -> loudness and onsets", "postsync.timing.objective:timing",
              TrainConfig(steps=1000, batch_size=16, lr=2e-3, warmup=50, weight_decay=0.02, ema_decay=0.99),
              world="postsync.timing.objective:timing_scenes",
              parts={"beside": "a trained predictor whose members join the new ones in the export"}),
)
