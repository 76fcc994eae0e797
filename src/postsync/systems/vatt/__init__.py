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
)
