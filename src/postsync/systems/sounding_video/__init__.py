"""Sounding Video: sound and picture from one sentence, by two frozen U-Nets and connectors (arXiv 2409.17550)."""

from __future__ import annotations

from ...protocols.system import Option, System, Trainable
from ...protocols.train_config import TrainConfig

OPTIONS = {
    "gamma": Option(float, "above 1 the picture is ahead of the sound while they are made, with less noise", low=0.05,
                    high=20.0),
    "video_guidance_scale": Option(float, "how closely the picture follows the sentence", low=0.0, high=50.0),
}

SYSTEM = System(
    "sounding_video", "A simple but strong baseline for sounding video generation", "2409.17550", "video with sound",
    public="the base models (AudioLDM-M, Stable Diffusion 1.5, AnimateDiff) are public; whether the trained "
           "connectors are was not verified",
    licences="official code: no licence file; AudioLDM weights: non-commercial (CC-BY-NC-SA-4.0, check the card); "
             "Stable Diffusion 1.5 family: CreativeML OpenRAIL-M")

TRAINABLES = (
    Trainable("sounding_video", "Sounding Video's connectors, between two trained U-Nets",
              "postsync.systems.sounding_video.training:connectors",
              TrainConfig(steps=4000, batch_size=4, lr=3e-4, warmup=100), count=3000,
              world="postsync.scenes.render:impacts",
              parts={"audio": "an export of train audioldm", "video": "an export of train animatediff",
                     "start": "trained connectors to start from", "codec": "a mel codec",
                     "pictures": "a picture codec", "gram": "GRAM's towers"},
              options={"connector_type": Option(str, "additive: CMC-PE; attn: cross-attention, the ablation",
                                                "additive", choices=("additive", "attn")),
                       "train_motion": Option(bool, "the motion modules are trained too, as by the published script",
                                              False)}),
)
