"""FoleyGRAM: GRAM-aligned encoders determine what sounds, an envelope through a control branch when (arXiv
2510.05829)."""

from __future__ import annotations

from ...protocols.system import Assembly, Option, System, Trainable
from ...protocols.train_config import TrainConfig

OPTIONS = {
    "solver": Option(str, "how each step is taken", choices=("dpmpp_2m_sde", "dpmpp_3m_sde")),
    "eta": Option(float, "share of new noise at every step: 0 none, 1 as the solver was published", low=0.0, high=1.0),
    "fader_db": Option(float, "how far a fader may move after decoding to match the envelope", low=0.0, high=60.0,
                       unit="dB"),
    "stand_in": Option(str, "what takes the place of a reference that is not given: recordings of what the words name",
                       choices=("none", "recordings")),
    "sharp_attacks": Option(bool, "whether hits rise at once, where the timing names them"),
    "picture": Option(str, "whether to condition on the picture; auto: where the weights know film, or neither words "
                      "nor a reference are given", default="auto", choices=("auto", "always", "never")),
}

SYSTEM = System(
    "foleygram", "FoleyGRAM: video-to-audio with GRAM-aligned multimodal encoders", "2510.05829", "sound",
    public="none: neither code nor trained weights were published; its backbone, Stable Audio Open 1.0, is public "
           "behind a form",
    licences="mini: Apache-2.0; Stable Audio Open 1.0: Stability AI Community License; GRAM: code MIT, its weights "
             "state no licence",
    limits="its mini follows the picture's timing and the words, and does not recognise objects in real pictures",
    pipeline="postsync.systems.foleygram.pipeline:FoleyGRAMPipeline",
    presets={"mini": "foleygram"}, parts={"codec": "mel_codec", "gram": "gram"}, options=OPTIONS,
    assembly=Assembly(
        "postsync.systems.foleygram.assembly:assemble", required=frozenset({"gram"}),
        parts={"gram": "folder of GRAM's towers",
               "control": "checkpoint of a trained branch, in the names of its official code; default: a new branch"},
        options={"depth_factor": Option(float, "share of the transformer's layers that a new branch copies", 0.2,
                                        low=0.01, high=1.0)}))

TRAINABLES = (
    Trainable("foleygram", "FoleyGRAM's diffusion transformer and its envelope branch, as one",
              "postsync.systems.foleygram.training:joint",
              TrainConfig(steps=10000, batch_size=24, lr=1e-3, warmup=200), count=6000, presets=("mini",),
              world="postsync.scenes.sounds:without_noise",
              parts={"start": "a trained pipeline to start from", "codec": "a mel codec", "gram": "GRAM's towers"}),
    Trainable("foleygram_base", "FoleyGRAM's diffusion transformer", "postsync.systems.foleygram.training:base",
              TrainConfig(steps=6000, batch_size=16, lr=2e-3, warmup=150), count=2600, presets=("mini",),
              world="postsync.scenes.sounds:without_noise",
              parts={"start": "a trained pipeline to start from", "codec": "a mel codec", "gram": "GRAM's towers"}),
    Trainable("foleygram_control", "FoleyGRAM's envelope branch, on a trained base",
              "postsync.systems.foleygram.training:control",
              TrainConfig(steps=6000, batch_size=16, lr=2e-3, warmup=50), count=2600, presets=("mini",),
              world="postsync.scenes.sounds:without_noise",
              parts={"base": "the trained pipeline to start from, an export of foleygram_base", "codec": "a mel codec",
                     "gram": "GRAM's towers"}),
)
