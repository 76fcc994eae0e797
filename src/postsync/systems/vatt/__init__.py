"""VATT: a language model says what a clip sounds like, a masked transformer makes the sound (arXiv 2411.05679)."""

from __future__ import annotations

from ...protocols.system import Assembly, Option, System, Trainable
from ...protocols.train_config import TrainConfig

OPTIONS = {
    "own_caption": Option(bool, "without a prompt: whether the sound is told by the model's own caption, or by the "
                          "neutral question alone"),
    "picture": Option(str, "whether it looks at the picture; auto: where the weights know film, or no words are given",
                      "auto", choices=("auto", "always", "never")),
    "order": Option(str, "in which tokens are filled in: free, as published, or a codebook before the next one",
                    choices=("free", "coarse_first")),
    "temperature": Option(float, "of the draws of tokens", low=0.01, high=10.0),
    "top_k": Option(int, "so many of the likeliest tokens are drawn from", low=1, high=100_000),
    "remask_temperature": Option(float, "how much chance decides which tokens are filled in first", low=0.0,
                                 high=1000.0),
}

SYSTEM = System(
    "vatt", "VATT: tell what you hear from what you see", "2411.05679", "sound and captions",
    public="published, with no licence stated",
    licences="official code: BSD-4-Clause; weights: none stated, derived from Vicuna or Gemma and AudioGen's codec "
             "(CC-BY-NC-4.0): treat as research only",
    limits="its mini says what drawn pictures sound like, not real ones, and its sound does not follow their timing",
    pipeline="postsync.systems.vatt.pipeline:VATTPipeline",
    presets={"mini": "vatt"}, parts={"codec": "codebooks", "converter": "vatt_converter", "eyes": "gram"},
    options=OPTIONS, captions=True,
    assembly=Assembly(
        "postsync.systems.vatt.checkpoint:assemble",
        parts={"llm": "folder of the language model, Vicuna-7B or Gemma-2B",
               "converter": "folder of the published VATT Converter, with pytorch_model.bin",
               "codec": "folder of AudioGen, with compression_state_dict.bin, or an EnCodec of transformers",
               "eyes": "folder of a saved EVA02-CLIP-L/14-336"},
        required=frozenset({"llm", "converter", "codec", "eyes"}),
        options={"template": Option(str, "how the language model is asked", "gemma", choices=("gemma", "vicuna")),
                 "slot_order": Option(str, "what the heads predict; official: as published", "official",
                                      choices=("official", "aligned"))}))

TRAINABLES = (
    Trainable("vatt_converter", "VATT's language model, which says what a clip that it is shown sounds like",
              "postsync.systems.vatt.training:converter",
              TrainConfig(steps=1500, batch_size=32, lr=2e-3, warmup=100, weight_decay=0.01), count=2600,
              world="postsync.scenes.sounds:without_noise",
              parts={"gram": "the towers whose pictures and words it knows"}),
    Trainable("vatt_audio", "VATT's masked transformer, which makes tokens of sound",
              "postsync.systems.vatt.training:audio",
              TrainConfig(steps=6000, batch_size=16, lr=1e-3, warmup=200, weight_decay=1e-6, betas=(0.9, 0.999)),
              count=5200, world="postsync.scenes.sounds:without_noise",
              parts={"start": "a trained pipeline to start from",
                     "converter": "the language model, an export of vatt_converter",
                     "codebooks": "the token codec, an export of codebooks",
                     "codec": "another mel codec: vae/ and vocoder/", "gram": "the towers that see"},
              options={"distribution": Option(str, "of the share of tokens that is masked", "truncated_gaussian",
                                              choices=("truncated_gaussian", "moving_gaussian", "uniform",
                                                       "arc_cosine")),
                       "pictures": Option(int, "of a part of a clip, four a second; with 4 and --batch-size 48 it "
                                          "learns sooner what it is told, with 16 how a sound goes on", 16, low=1,
                                          high=32)}),
)
