"""Frozen generators that several systems stand on, and the training of our own small ones."""

from ..protocols.system import Trainable
from ..protocols.train_config import TrainConfig

TRAINABLES = (
    Trainable("audioldm", "AudioLDM's U-Net: sound from words alone", "postsync.backbones.objective:audioldm",
              TrainConfig(steps=10000, batch_size=16, lr=1e-3, warmup=200), count=6000,
              world="postsync.backbones.objective:scenes",
              parts={"start": "a trained one to start from", "codec": "a mel codec", "gram": "GRAM's towers"}),
)
