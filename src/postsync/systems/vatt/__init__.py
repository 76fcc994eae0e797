"""VATT: a language model says what a clip sounds like, a masked transformer makes the sound (arXiv 2411.05679)."""

from __future__ import annotations

from ...protocols.system import System, Trainable
from ...protocols.train_config import TrainConfig

SYSTEM = System(
    "vatt", "VATT: tell what you hear from what you see", "2411.05679", "sound and captions",
    public="published, with no licence stated",
    licences="official code: BSD-4-Clause; weights: none stated, derived from Vicuna or Gemma and AudioGen's codec "
             "(CC-BY-NC-4.0): treat as research only")

TRAINABLES = (
    Trainable("vatt_converter", "VATT's language model, which says what a clip that it is shown sounds like",
              "postsync.systems.vatt.training:converter",
              TrainConfig(steps=3000, batch_size=32, lr=2e-3, warmup=100, weight_decay=0.01), count=2600,
              parts={"gram": "the towers whose pictures and words it knows"}),
    Trainable("vatt_audio", "VATT's masked transformer, which makes tokens of sound",
              "postsync.systems.vatt.training:audio",
              TrainConfig(steps=6000, batch_size=16, lr=1e-3, warmup=200, weight_decay=1e-6, betas=(0.9, 0.999)),
              count=5200, world="postsync.scenes.sounds:without_noise",
              parts={"converter": "the language model, an export of vatt_converter",
                     "codebooks": "the token codec, an export of codebooks",
                     "codec": "another mel codec: vae/ and vocoder/", "gram": "the towers that see"}),
)
