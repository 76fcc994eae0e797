"""MGAudio: a flow transformer trained by model guidance and aligned with CAVP (arXiv 2510.24103)."""

from __future__ import annotations

from ...protocols.system import Assembly, Option, System, Trainable
from ...protocols.train_config import TrainConfig

OPTIONS = {
    "solver": Option(str, "how each step is taken", choices=("euler", "heun", "euler_maruyama")),
}

SYSTEM = System(
    "mgaudio", "MGAudio: model-guided dual-role alignment for video-to-audio", "2510.24103", "sound",
    public="not known: the official repository could not be read",
    licences="mini: Apache-2.0; official code and weights: not known; AudioLDM's VAE: non-commercial (CC-BY-NC-SA-4.0, "
             "check the card)",
    limits="its mini follows the picture alone, and guesses among its families for real pictures",
    pipeline="postsync.systems.mgaudio.pipeline:MGAudioPipeline",
    presets={"mini": "mgaudio"}, parts={"codec": "mel_codec", "cavp": "cavp"}, options=OPTIONS,
    assembly=Assembly(
        "postsync.systems.mgaudio.checkpoint:assemble",
        parts={"codec": "folder with vae/ and vocoder/, such as AudioLDM's",
               "cavp": "folder of CAVP; default: the converted published one"}, required=frozenset({"codec"}),
        options={"size": Option(str, "the paper's size", "B", choices=("S", "B", "L", "XL")),
                 "sign": Option(str, "what it predicts: velocity (noise - clean) or paper (clean - noise)", "velocity",
                                choices=("velocity", "paper")),
                 "latent_scale": Option(float, "of the latents it was trained on; default: the codec's", low=1e-9)}))

TRAINABLES = (
    Trainable("mgaudio", "MGAudio's flow transformer, guided by its own average and aligned with CAVP",
              "postsync.systems.mgaudio.training:mgaudio",
              TrainConfig(steps=6000, batch_size=16, lr=1.5e-3, warmup=150, ema_decay=0.999), count=2600,
              world="postsync.scenes.sounds:without_noise",
              presets=("mini", "paper", "paper-S", "paper-B", "paper-L", "paper-XL"),
              parts={"start": "a trained pipeline to start from", "codec": "another codec: vae/ and vocoder/",
                     "cavp": "another saved CAVP",
                     "video_features": "CAVP's features CLIP_ID.npz, used in place of pictures"},
              paper=TrainConfig(steps=1_100_000, batch_size=64, lr=1e-4, schedule="constant", warmup=1,
                                weight_decay=0.0, betas=(0.9, 0.999), ema_decay=0.9999, mixed_precision="bf16")),
)
