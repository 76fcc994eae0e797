"""FoleyGRAM: GRAM tokens say what sounds, the envelope says when and how loud."""

from ...protocols.system import Trainable
from ...protocols.train_config import TrainConfig

TRAINABLES = (
    Trainable("foleygram_base", "FoleyGRAM's diffusion transformer", "postsync.systems.foleygram.training:base",
              TrainConfig(steps=6000, batch_size=16, lr=2e-3, warmup=150), count=2600, presets=("mini",)),
    Trainable("foleygram_control", "FoleyGRAM's envelope branch, on a trained base",
              "postsync.systems.foleygram.training:control",
              TrainConfig(steps=6000, batch_size=16, lr=2e-3, warmup=50), count=2600, presets=("mini",),
              parts={"base": "the trained pipeline to start from, an export of foleygram_base"}),
)
