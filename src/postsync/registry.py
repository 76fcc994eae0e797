"""The list of systems and trainables: names, where their code is, what is public. Nothing heavy is imported.

A new system is a folder under `systems/` and one entry here. Code is named "module:attribute" and imported when asked
for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import weights
from .errors import PostsyncError
from .protocols.system import Trainable, checked_options

if TYPE_CHECKING:
    from .protocols.objective import Objective


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


MODULES = ("postsync.codecs", "postsync.encoders", "postsync.metrics", "postsync.timing",
           "postsync.systems.foleygram", "postsync.systems.mgaudio")  # those that list TRAINABLES

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
        presets={"mini": "mgaudio"}, assemble="postsync.systems.mgaudio.official:assemble"),
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

TRAINABLES: dict[str, Trainable] = {t.name: t for name in MODULES for t in import_module(name).TRAINABLES}


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


def load_objective(name: str, preset: str = "mini", parts: Mapping[str, Path] | None = None,
                   options: Mapping[str, Any] | None = None) -> Objective:
    """The objective of trainable `name` in the sizes of `preset`, untrained.

    `parts`: folders of trained parts it stands on, by name; those not named are the bundled ones. `options`: values, or
    their texts, of the trainable's own options. Raises PostsyncError for unknown names and values, and for a folder
    that holds something else.
    """
    entry = trainable(name)
    if preset not in entry.presets:
        raise PostsyncError(f"{name} has no preset '{preset}' to train; there is: {', '.join(entry.presets)}.")
    named = dict(parts or {})
    if unknown := sorted(named.keys() - entry.parts.keys()):
        there = f"its parts are {', '.join(entry.parts)}" if entry.parts else "it has none that can be named"
        raise PostsyncError(f"{name} has no part {', '.join(unknown)}; {there}.")
    if absent := [f"{part} {folder}" for part, folder in named.items() if not folder.is_dir()]:
        raise PostsyncError(f"{', '.join(absent)}: there is no such folder; name one that holds it.")
    return resolve(entry.objective)(preset, **named, **checked_options(options or {}, entry.options, name))


def resolve(path: str) -> Any:
    """The object at "module:attribute"."""
    module, attribute = path.split(":")
    return getattr(import_module(module), attribute)
