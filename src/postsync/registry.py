"""The only list of systems and trainables: names, where their code is, what is public. Nothing heavy is imported.

A new system is a folder under `systems/` and one entry here. Code is named "module:attribute" and imported when asked
for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from . import weights
from .errors import PostsyncError
from .protocols.train_config import TrainConfig


@dataclass(frozen=True)
class System:
    """One published system, and what is true of it today."""

    name: str
    title: str
    arxiv: str
    output: str  # what it makes
    public: str  # which weights of the paper can be had
    licences: str  # of code and weights it stands on
    pipeline: str | None = None  # "module:class" with from_pretrained(folder); None: not yet
    presets: Mapping[str, str] = field(default_factory=dict)  # preset that loads -> its folder of bundled weights
    assemble: str | None = None  # "module:function" that makes a pipeline of the paper's size of published parts

    @property
    def available(self) -> bool:
        """Whether this version of postsync runs it."""
        return self.pipeline is not None


@dataclass(frozen=True)
class Trainable:
    """Something `postsync train` trains, with the settings of its mini and, where it has one, of the paper's size."""

    name: str
    summary: str
    objective: str  # "module:function" taking a preset's name and giving the objective
    config: TrainConfig
    count: int = 2000  # scenes rendered once for the run
    scenes: Mapping[str, Any] = field(default_factory=lambda: {"duration_s": NATIVE_S})  # arguments of SceneConfig
    world: str | None = None  # "module:function" giving further arguments of SceneConfig
    presets: tuple[str, ...] = ("mini", "tiny")
    fits: bool = False  # has fit(samples), which measures the prepared features before the first step
    has_base: bool = False  # starts from a trained pipeline
    parts: tuple[str, ...] = ()  # frozen parts it stands on, for which a folder can be named
    paper: TrainConfig | None = None  # of the presets whose name starts with "paper"

    def config_of(self, preset: str) -> TrainConfig:
        """How `preset` is trained."""
        return self.paper if self.paper is not None and preset.startswith("paper") else self.config


CODEC_S = 4.1  # the codec is trained on short crops
GLANCES = 4.0  # frames a second where only a few frames of a scene are looked at: rendering them all is slow
NATIVE_S = 8.16  # native length of the mini systems: 204 latent frames at 25 a second

SYSTEMS: dict[str, System] = {s.name: s for s in (
    System(
        "foleygram", "FoleyGRAM: video-to-audio with GRAM-aligned multimodal encoders", "2510.05829", "sound",
        public="none: neither code nor trained weights were published; its backbone, Stable Audio Open 1.0, is "
               "public behind a form",
        licences="mini: Apache-2.0; Stable Audio Open 1.0: Stability AI Community License; GRAM: code MIT, its weights "
                 "carry no statement",
        pipeline="postsync.systems.foleygram.pipeline:FoleyGRAMPipeline",
        presets={"mini": "foleygram"}),
    System(
        "mdg", "MDG: training-free multimodal guidance for video-to-audio", "2509.24550", "sound",
        public="needs none of its own: it guides public models (AudioLDM, GRAM)",
        licences="official code: no licence file; AudioLDM weights: non-commercial (CC-BY-NC-SA-4.0, check the card); "
                 "GRAM: code MIT, its weights carry no statement"),
    System(
        "mgaudio", "MGAudio: model-guided dual-role alignment for video-to-audio", "2510.24103", "sound",
        public="not known: the official repository could not be read",
        licences="mini: Apache-2.0; official code and weights: not known; AudioLDM's VAE: non-commercial "
                 "(CC-BY-NC-SA-4.0, check the card)",
        pipeline="postsync.systems.mgaudio.pipeline:MGAudioPipeline",
        presets={"mini": "mgaudio"}, assemble="postsync.systems.mgaudio.checkpoint:assemble"),
    System(
        "vatt", "VATT: tell what you hear from what you see", "2411.05679", "sound and captions",
        public="published, with no licence stated",
        licences="official code: BSD-4-Clause; weights: none stated, derived from Vicuna or Gemma and AudioGen's codec "
                 "(CC-BY-NC-4.0): treat as research only"),
    System(
        "sounding_video", "A simple but strong baseline for sounding video generation", "2409.17550",
        "video with sound",
        public="the base models (AudioLDM-M, Stable Diffusion 1.5, AnimateDiff) are public; whether the trained "
               "connectors are was not verified",
        licences="official code: no licence file; AudioLDM weights: non-commercial (CC-BY-NC-SA-4.0, check the card); "
                 "Stable Diffusion 1.5 family: CreativeML OpenRAIL-M"),
)}

TRAINABLES: dict[str, Trainable] = {t.name: t for t in (
    Trainable("vae", "mel codec: log-mel <-> latents", "postsync.training.recipes:vae",
              TrainConfig(steps=6000, batch_size=16, lr=1e-3, warmup=200), scenes={"duration_s": CODEC_S}),
    Trainable("vocoder", "mel codec: log-mel -> waveform", "postsync.training.recipes:vocoder",
              TrainConfig(steps=6000, batch_size=8, lr=1e-3, warmup=200), scenes={"duration_s": CODEC_S}),
    Trainable("gram", "towers that see, hear and read in one space", "postsync.training.recipes:gram",
              TrainConfig(steps=3000, batch_size=48, lr=1.5e-3, warmup=80, weight_decay=0.03),
              count=2600, scenes={"duration_s": NATIVE_S, "fps": GLANCES}),
    Trainable("gram_pictures", "GRAM's picture tower, further, beside the bundled towers of sound and text",
              "postsync.training.recipes:gram_pictures",
              TrainConfig(steps=8000, batch_size=48, lr=1.5e-3, warmup=100, weight_decay=0.03),
              count=6500, scenes={"duration_s": NATIVE_S, "fps": GLANCES}, presets=("mini",)),
    Trainable("scene_classifier", "names the family of a sound (for measuring)",
              "postsync.training.recipes:scene_classifier",
              TrainConfig(steps=800, batch_size=32, lr=2e-3, warmup=100, ema_decay=0.99), count=2600),
    Trainable("timing", "when the picture sounds: motion -> loudness and onsets", "postsync.training.recipes:timing",
              TrainConfig(steps=1000, batch_size=16, lr=2e-3, warmup=50, weight_decay=0.02, ema_decay=0.99),
              count=2000, scenes={"duration_s": 4.0, "size": 96}, world="postsync.training.recipes:timing_scenes"),
    Trainable("foleygram_base", "FoleyGRAM's diffusion transformer", "postsync.training.recipes:foleygram_base",
              TrainConfig(steps=6000, batch_size=16, lr=2e-3, warmup=150), count=2600,
              scenes={"duration_s": NATIVE_S, "fps": GLANCES}, presets=("mini",), fits=True),
    Trainable("foleygram_control", "FoleyGRAM's envelope branch, on a trained base",
              "postsync.training.recipes:foleygram_control",
              TrainConfig(steps=6000, batch_size=16, lr=2e-3, warmup=50), count=2600,
              scenes={"duration_s": NATIVE_S, "fps": GLANCES}, presets=("mini",), has_base=True),
    Trainable("cavp", "CAVP: picture and sound in one space, four vectors a second", "postsync.training.recipes:cavp",
              TrainConfig(steps=3000, batch_size=24, lr=5e-4, warmup=100, weight_decay=0.03), count=2600,
              scenes={"duration_s": NATIVE_S, "fps": GLANCES}),
    Trainable("mgaudio", "MGAudio's flow transformer, guided by its own average and aligned with CAVP",
              "postsync.training.recipes:mgaudio",
              TrainConfig(steps=6000, batch_size=16, lr=1.5e-3, warmup=150, ema_decay=0.999), count=2600,
              scenes={"duration_s": NATIVE_S, "fps": GLANCES}, parts=("codec", "cavp", "video_features"),
              presets=("mini", "paper", "paper-S", "paper-B", "paper-L", "paper-XL"),
              paper=TrainConfig(steps=1_100_000, batch_size=64, lr=1e-4, schedule="constant", warmup=1,
                                weight_decay=0.0, betas=(0.9, 0.999), ema_decay=0.9999, mixed_precision="bf16")),
)}


def system(name: str) -> System:
    """The system `name`; raises PostsyncError naming those that exist."""
    if name not in SYSTEMS:
        raise PostsyncError(f"no system '{name}'; the systems are: {', '.join(SYSTEMS)}.")
    return SYSTEMS[name]


def trainable(name: str) -> Trainable:
    """The trainable `name`; raises PostsyncError naming those that exist."""
    if name not in TRAINABLES:
        raise PostsyncError(f"nothing to train is called '{name}'; there are: {', '.join(TRAINABLES)}.")
    return TRAINABLES[name]


def load_pipeline(name: str, preset: str = "mini", **options: Any) -> Any:
    """The pipeline of system `name`, on the CPU. `preset`: a preset's name or a saved pipeline's folder.

    `options` go to the pipeline's `from_pretrained` (such as `torch_dtype`, float32 where it is not given).

    Raises PostsyncError where the system or preset does not exist or is not available yet, WeightsError where the
    bundled weights are absent.
    """
    entry = system(name)
    if entry.pipeline is None:
        ready = ", ".join(s.name for s in SYSTEMS.values() if s.available)
        raise PostsyncError(f"{name} (arXiv {entry.arxiv}) is not available in this version yet; use {ready}.")
    if preset in entry.presets:
        folder = weights.bundled(entry.presets[preset])
    elif (index := Path(preset) / "model_index.json").is_file():
        folder, kind = Path(preset), entry.pipeline.split(":")[1]
        if f'"{kind}"' not in index.read_text(encoding="utf-8"):
            raise PostsyncError(f"{preset} is the folder of another system's pipeline, not of {kind}; name the system "
                                "that made it.")
    else:
        raise PostsyncError(f"{name} has no preset '{preset}', nor is that the folder of a saved pipeline; there is: "
                            f"{', '.join(entry.presets)}.")
    return resolve(entry.pipeline).from_pretrained(folder, **options)


def load_objective(name: str, preset: str = "mini", base: Path | None = None,
                   parts: Mapping[str, Path | None] | None = None) -> Any:
    """The objective of trainable `name` in the sizes of `preset`, untrained.

    `base`: folder of the trained pipeline it starts from, where it starts from one (default: the bundled). `parts`:
    folders of the frozen parts it stands on, by name (None: the bundled one). Raises PostsyncError for unknown names,
    and for a folder that has no use or holds something else.
    """
    entry = trainable(name)
    if preset not in entry.presets:
        raise PostsyncError(f"{name} has no preset '{preset}' to train; there is: {', '.join(entry.presets)}.")
    named = {part: folder for part, folder in (parts or {}).items() if folder is not None}
    if useless := sorted(named.keys() - set(entry.parts)):
        raise PostsyncError(f"{name} can be given no {' or '.join(useless)}; leave that option away.")
    if absent := [f"{part} {folder}" for part, folder in named.items() if not folder.is_dir()]:
        raise PostsyncError(f"{', '.join(absent)}: there is no such folder; name one that holds it.")
    if base is not None and not (base / "model_index.json").is_file():
        raise PostsyncError(f"{base} holds no saved pipeline; name the export folder of a trained base.")
    if entry.has_base:
        return resolve(entry.objective)(preset, base)
    if base is not None:
        raise PostsyncError(f"{name} starts from nothing trained; leave --base away.")
    return resolve(entry.objective)(preset, **named)


def resolve(path: str) -> Any:
    """The object at "module:attribute"."""
    module, attribute = path.split(":")
    return getattr(import_module(module), attribute)
