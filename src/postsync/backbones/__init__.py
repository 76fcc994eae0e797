"""Frozen generators that several systems stand on, and the training of our own small ones."""

from ..protocols.system import Option, Trainable
from ..protocols.train_config import TrainConfig
from ..weights.hub import Download

TRAINABLES = (
    Trainable("audioldm", "AudioLDM's U-Net: sound from words alone", "postsync.backbones.objective:audioldm",
              TrainConfig(steps=10000, batch_size=16, lr=1e-3, warmup=200), count=6000,
              world="postsync.scenes.sounds:without_noise",
              parts={"start": "a trained one to start from", "codec": "a mel codec", "gram": "GRAM's towers"}),
    Trainable("animatediff", "AnimateDiff's U-Net: moving pictures from words alone",
              "postsync.backbones.animatediff:animatediff",
              TrainConfig(steps=6000, batch_size=8, lr=1e-3, warmup=100), count=3000,
              world="postsync.scenes.render:impacts",
              parts={"start": "a trained one to start from", "pictures": "a picture codec", "gram": "GRAM's towers"},
              options={"frames": Option(int, "of a sample; 1: stills, which teach what things look like, with "
                                        "--batch-size 64", 32, low=1, high=32)}),
)

DOWNLOADS = (
    Download("audioldm", "cvssp/audioldm-m-full",
             ("model_index.json", "scheduler/*", "text_encoder/*", "tokenizer/*", "unet/*", "vae/*", "vocoder/*"),
             "CC BY-NC-SA 4.0 (not for commercial use; check its page)", "mdg at the paper's size",
             "postsync generate CLIP --system mdg --preset {folder}"),
)
