"""The networks of an evaluation, loaded when first needed: the bundled ones, and the published ones found in the cache.

Each takes the sound, the pictures or the caption of one clip at a time and returns named tensors on the CPU.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from torch import Tensor

from .. import weights
from ..encoders import published
from ..errors import WeightsError
from ..media.container import sha256_of
from ..metrics.heard import accepted_places, families_heard_as
from .sides import Skipped

BUNDLED = ("scene_classifier", "recording_classifier", "gram")
ROBERTA = "roberta"  # of BERTScore; in the cache of Hugging Face
TOWERS = ("cavp", "imagebind")  # what takes both sounds and pictures
MEAN_REMOVED = ("vggish", "panns")  # their evaluation code subtracts each clip's mean
QUIETEST = 1e-4  # sounds are brought to peak 1 for the bundled networks, but silence stays silence
Features = dict[str, Tensor]
Resampler = Literal["soxr", "sinc", "kaiser"]


class Network:
    """A published network with its provenance. Raises Skipped for clips that are too short for it."""

    resampler: Resampler = "sinc"

    def __init__(self, name: str, model: Any, weights_sha256: str, licence: str, device: str = "cpu") -> None:
        self.name, self.weights_sha256, self.licence, self.device = name, weights_sha256, licence, device
        self.model = model.to(device)

    @property
    def module(self) -> Any:
        """The module that the network is defined in."""
        return sys.modules[type(self.model).__module__]

    @property
    def sample_rate(self) -> int:
        """Sample rate of its input, Hz."""
        return self.module.SAMPLE_RATE

    @property
    def fps(self) -> float | None:
        """Pictures a second of its input; None for all of a clip."""
        return self.module.FPS

    def audio_features(self, waveform: Tensor) -> Features:
        """Features (1, ...) of a sound (N,) at `sample_rate`."""
        batch = self.prepared(waveform)[None].to(self.device)
        return self.run(lambda: self._of_sound(batch))

    def video_features(self, pictures: Tensor) -> Features:
        """Features of pictures (F, 3, H, W) uint8 at `fps`."""
        return self.run(lambda: self._of_pictures(pictures))

    def text_features(self, caption: str) -> Tensor:
        """The caption's embedding (1, D)."""
        return self.run(lambda: {"embedding": self._of_text(caption)})["embedding"]

    @torch.no_grad()
    def run(self, compute: Callable[[], Features]) -> Features:
        """`compute()` without gradients, in float32 on the CPU. Raises Skipped for inputs that the network refuses."""
        try:
            return {name: values.float().cpu() for name, values in compute().items()}
        except ValueError as refused:
            raise Skipped(f"{self.name}: {refused}") from refused

    def prepared(self, waveform: Tensor) -> Tensor:
        """The waveform (N,) prepared for the network."""
        return waveform - waveform.mean() if self.name in MEAN_REMOVED else waveform

    def to_json(self) -> dict[str, str]:
        """Name, hash and licence, as the evaluation's JSON has them."""
        return {"name": self.name, "weights_sha256": self.weights_sha256, "licence": self.licence}

    def _of_sound(self, waveform: Tensor) -> Features:
        return self.model.features(waveform)

    def _of_pictures(self, pictures: Tensor) -> Features:
        return self.model.features(pictures)

    def _of_text(self, caption: str) -> Tensor:
        tokens = self.tokenizer([caption])
        inputs = tokens if isinstance(tokens, tuple) else (tokens,)
        return self.model.text_features(*(one.to(self.device) for one in inputs))["embedding"]

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The names of a tagger's classes. Raises WeightsError where it was converted without them."""
        return published.class_names(self.name)

    def places_of(self, label: str | None, expected: Sequence[str]) -> list[int]:
        """The places of the classes that are right for a sound of family `label`, of which `expected` is expected."""
        return accepted_places(expected, self.class_names)

    @cached_property
    def tokenizer(self) -> Any:
        """The network's own tokeniser."""
        return tokenizer_of(self.name)


class _Towers(Network):
    """A network with a tower for sound and one for pictures."""

    def _of_sound(self, waveform: Tensor) -> Features:
        return self.model.audio_features(waveform)

    def _of_pictures(self, pictures: Tensor) -> Features:
        return self.model.video_features(pictures)


class _Classifier(Network):
    """A bundled classifier of sounds, of scenes or of recordings, whose classes are families."""

    resampler = "soxr"

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        return self.model.families

    def places_of(self, label: str | None, expected: Sequence[str]) -> list[int]:
        own = (label,) if label in self.class_names else families_heard_as(expected, self.class_names)
        return [self.class_names.index(family) for family in own]

    def prepared(self, waveform: Tensor) -> Tensor:
        return full_scale(waveform)

    def _of_sound(self, waveform: Tensor) -> Features:
        features = self.model.features(waveform)
        logits = self.model.head(features)
        return {"features": features, "logits": logits, "scores": logits.softmax(-1)}


class _Gram(Network):
    """The bundled GRAM towers."""

    resampler = "soxr"
    fps = None

    def prepared(self, waveform: Tensor) -> Tensor:
        return full_scale(waveform)

    def _of_sound(self, waveform: Tensor) -> Features:
        return {"embedding": self.model.encode_audio(waveform)}

    def _of_pictures(self, pictures: Tensor) -> Features:
        from ..encoders.gram import pick_frames

        chosen = pictures[pick_frames(len(pictures), self.model.num_frames)]
        return {"embedding": self.model.encode_video(chosen[None].to(self.device).float() / 255)}

    def _of_text(self, caption: str) -> Tensor:
        return self.model.encode_text([caption])


class Networks:
    """Networks by name, each loaded once. `parts`: folders that replace the bundled ones, by name."""

    def __init__(self, device: str = "cpu", parts: Mapping[str, Path] | None = None) -> None:
        self.device, self.parts = device, parts or {}
        self._loaded: dict[str, Network] = {}

    def missing(self, name: str, with_tokenizer: bool = False) -> str | None:
        """Why the network (with its tokeniser, if requested) is unavailable, and what to do; None where it is
        available.

        Loads it, so that damaged weights are reported before the work.
        """
        if name not in (*BUNDLED, ROBERTA) and not published.available(name):
            return published.missing(name)
        try:
            _ = self[name]
            if with_tokenizer and name not in (*BUNDLED, ROBERTA):
                tokenizer_of(name)
        except WeightsError as error:
            return str(error)
        return None

    def __getitem__(self, name: str) -> Network:
        if name not in self._loaded:
            self._loaded[name] = (self._bundled(name) if name in BUNDLED else self._roberta() if name == ROBERTA
                                  else self._published(name))
        return self._loaded[name]

    def rates(self) -> tuple[dict[str, int], dict[str, float]]:
        """Sample rates and pictures a second of the networks used so far, by network."""
        modules = {name: self._loaded[name].module for name in sorted(self._loaded)}
        return ({name: m.SAMPLE_RATE for name, m in modules.items() if hasattr(m, "SAMPLE_RATE")},
                {name: m.FPS for name, m in modules.items() if hasattr(m, "FPS")})

    def _published(self, name: str) -> Network:
        kind = _Towers if name in TOWERS else Network
        return kind(name, published.load(name), published.weights_hash(name), published.PUBLISHED[name].licence,
                    self.device)

    def _bundled(self, name: str) -> Network:
        from ..encoders.gram import GramEncoder
        from ..metrics.scene_classifier import SceneClassifier

        folder = self.parts[name] if name in self.parts else weights.bundled(name)
        kind, network = (GramEncoder, _Gram) if name == "gram" else (SceneClassifier, _Classifier)
        try:
            model = kind.from_pretrained(folder).float().eval()
        except (OSError, ValueError, RuntimeError, TypeError, SafetensorError) as error:
            raise WeightsError(f"{folder} holds no readable {name} ({' '.join(str(error).split())[:200]}); name a "
                               f"folder that postsync train {name} exported.") from error
        return network(name, model, sha256_of(next(folder.glob("*.safetensors"))), "Apache-2.0", self.device)

    def _roberta(self) -> Network:
        from ..metrics.captions import load_roberta, roberta_folder

        folder = roberta_folder()
        model, tokenizer = load_roberta(folder)
        weights_file = next(file for pattern in ("*.safetensors", "*.bin") for file in folder.glob(pattern))
        network = Network(ROBERTA, model, sha256_of(weights_file), "MIT", self.device)
        network.tokenizer = tokenizer
        return network


def tokenizer_of(name: str) -> Any:
    """The tokeniser of CLAP or ImageBind, whose vocabulary is stored beside the converted weights.

    Raises WeightsError where it is not.
    """
    from ..encoders.byte_pairs import ClipTokenizer, RobertaTokenizer

    return (ClipTokenizer if name == "imagebind" else RobertaTokenizer)(published.cache_folder(name))


def full_scale(waveform: Tensor) -> Tensor:
    """The waveform (N,) with its peak at 1, so that loudness, which has its own metrics, has no influence."""
    return waveform / waveform.abs().amax().clamp_min(QUIETEST)
