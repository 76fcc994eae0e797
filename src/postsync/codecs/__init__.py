"""Codecs: sound to latents and back."""

from ..protocols.system import Trainable
from ..protocols.train_config import TrainConfig

TRAINABLES = (
    Trainable("vae", "mel codec: log-mel <-> latents", "postsync.codecs.training:vae",
              TrainConfig(steps=6000, batch_size=16, lr=1e-3, warmup=200)),
    Trainable("vocoder", "mel codec: log-mel -> waveform", "postsync.codecs.training:vocoder",
              TrainConfig(steps=6000, batch_size=8, lr=1e-3, warmup=200)),
)
