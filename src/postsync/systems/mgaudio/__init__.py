"""MGAudio: a flow transformer guided by its own average and aligned with CAVP."""

from ...protocols.system import Trainable
from ...protocols.train_config import TrainConfig

TRAINABLES = (
    Trainable("mgaudio", "MGAudio's flow transformer, guided by its own average and aligned with CAVP",
              "postsync.systems.mgaudio.training:mgaudio",
              TrainConfig(steps=6000, batch_size=16, lr=1.5e-3, warmup=150, ema_decay=0.999), count=2600,
              presets=("mini", "paper", "paper-S", "paper-B", "paper-L", "paper-XL"),
              parts={"codec": "another codec: vae/ and vocoder/", "cavp": "another saved CAVP",
                     "video_features": "CAVP's features CLIP_ID.npz, used in place of pictures"},
              paper=TrainConfig(steps=1_100_000, batch_size=64, lr=1e-4, schedule="constant", warmup=1,
                                weight_decay=0.0, betas=(0.9, 0.999), ema_decay=0.9999, mixed_precision="bf16")),
)
