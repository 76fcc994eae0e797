"""Sounding Video: sound and picture from one sentence, by two frozen U-Nets and connectors (arXiv 2409.17550)."""

from __future__ import annotations

from ...protocols.system import Assembly, Option, System, Trainable
from ...protocols.train_config import TrainConfig

OPTIONS = {
    "gamma": Option(float, "above 1 the picture is ahead of the sound while they are made, with less noise", low=0.05,
                    high=20.0),
    "video_guidance_scale": Option(float, "how closely the picture follows the sentence", low=0.0, high=50.0),
}

SYSTEM = System(
    "sounding_video", "A simple but strong baseline for sounding video generation", "2409.17550", "video with sound",
    public="the base models (AudioLDM-M, Stable Diffusion 1.5, AnimateDiff) are public; connectors trained on Greatest "
           "Hits lie on a file share, with no licence stated",
    licences="official code: no licence file; AudioLDM weights: non-commercial (CC-BY-NC-SA-4.0, check the card); "
             "Stable Diffusion 1.5 family: CreativeML OpenRAIL-M",
    limits="its mini draws 18 kinds of things that hit, as its scenes do, 64 pixels a side; they move coarsely, and "
           "sound and picture seldom meet at the same hit",
    pipeline="postsync.systems.sounding_video.pipeline:SoundingVideoPipeline", creates=True,
    presets={"mini": "sounding_video"},
    parts={"codec": "mel_codec", "gram": "gram", "pictures": "picture_codec", "audio_unet": "mdg",
           "video_unet": "animatediff"},
    options=OPTIONS,
    assembly=Assembly(
        "postsync.systems.sounding_video.checkpoint:assemble",
        parts={"audio": "AudioLDM's folder", "video": "a folder of Stable Diffusion's family in diffusers' layout",
               "motion": "the motion adapter's folder; default: the video's U-Net has motion modules"},
        options={"size": Option(str, "paper: published base models; mini: an export of train sounding_video", "paper",
                                choices=("paper", "mini")),
                 "fps": Option(float, "pictures a second: 8 of the weights for hits, 4 of those for landscapes", 8.0,
                               low=1.0, high=60.0),
                 "head_dim": Option(int, "of the connectors' attention", 8, low=1, high=128)}))

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
                                              False),
                       "warm_up": Option(int, "first steps, in which the encoders alone learn to tell hits", 0, low=0,
                                         high=100_000),
                       "picture_given": Option(float, "share of the steps that make the sound of a given picture", 0.0,
                                               low=0.0, high=1.0),
                       "sound_given": Option(float, "share of the steps that make the picture of a given sound", 0.0,
                                             low=0.0, high=1.0)}),
)
