"""MDG: the volume spanned by video, audio and text embeddings steers a frozen audio diffusion model (arXiv 2509.24550).
"""

from __future__ import annotations

from ...protocols.system import Assembly, GuideEntry, Option, System, Trainable
from ...protocols.train_config import TrainConfig

SETTINGS = {
    "objective": Option(str, "what is lowered", choices=(
        "volume", "determinant_volume", "gram_determinant", "log_volume", "signed_volume", "cosine_to_audio",
        "cosine_sum", "triangle_area", "mahalanobis")),
    "step_size": Option(float, "how far a guided step moves latents of unit variance", low=0.0001, high=10.0),
    "inner_steps": Option(int, "optimiser steps at each guided step", low=1, high=20),
    "warmup": Option(float, "share of the steps before the first guided one", low=0.0, high=1.0),
    "stop": Option(float, "share of the steps after which none is guided", low=0.0, high=1.0),
    "every": Option(int, "guide only each so manyth step", low=1, high=1000),
    "order": Option(str, "paper: move the state before a step; code: after it, as published",
                    choices=("paper", "code")),
    "optimizer": Option(str, "soft_sign, or Adam as published, by which a batch differs from its sounds alone",
                        choices=("soft_sign", "adam")),
    "modalities": Option(str, "what the sound is compared with", choices=("both", "text", "video")),
    "hears": Option(str, "what GRAM hears: the waveform, or the mel before the vocoder, at a third of the cost",
                    choices=("waveform", "mel")),
    "words": Option(str, "words for the guide alone, in place of the prompt"),
}

OPTIONS = SETTINGS | {
    "guided": Option(bool, "whether the volume guide acts at all", True),
    "picture": Option(str, "whether the guide looks at the picture; auto: where the weights know film, or no words are "
                      "given", "auto", choices=("auto", "always", "never")),
}

SYSTEM = System(
    "mdg", "MDG: training-free multimodal guidance for video-to-audio", "2509.24550", "sound",
    public="needs none of its own: it guides public models (AudioLDM, GRAM)",
    licences="official code: no licence file; AudioLDM weights: non-commercial (CC-BY-NC-SA-4.0, check the card); "
             "GRAM: code MIT, its weights state no licence",
    limits="its mini follows the words and what a picture shows of them, not the picture's timing",
    pipeline="postsync.systems.mdg.pipeline:MDGPipeline",
    presets={"mini": "mdg"}, parts={"codec": "mel_codec", "gram": "gram"}, options=OPTIONS,
    assembly=Assembly(
        "postsync.systems.mdg.checkpoint:assemble",
        parts={"gram": "folder of GRAM's towers", "codec": "folder with vae/ and vocoder/; default: the checkpoint's"},
        options={"size": Option(str, "paper: AudioLDM in diffusers' layout; mini: an export of train audioldm",
                                "paper", choices=("paper", "mini"))}))

GUIDES = (
    GuideEntry("volume", "draws the sound towards words and picture in GRAM's space, by the volume that they span",
               "postsync.systems.mdg.guide:build",
               SETTINGS | {"gram": Option(str, "folder of GRAM's towers; default: the bundled ones")}),
)

TRAINABLES = (
    Trainable("mel_ear", "the map from the codec's mel to what GRAM hears, which spares guides the vocoder",
              "postsync.systems.mdg.mel_ear:mel_ear", TrainConfig(steps=1, batch_size=16, lr=1e-8), count=160,
              world="postsync.scenes.sounds:without_noise", presets=("mini",),
              parts={"codec": "another codec: vae/ and vocoder/"}),
)
