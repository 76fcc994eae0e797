"""The networks of an evaluation, loaded when first needed: the bundled ones, and the published ones that are here.

Each hears, sees or reads one clip at a time and gives named tensors on the CPU.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .. import weights
from ..encoders import published
from ..errors import WeightsError
from ..media.container import sha256_of
from .sides import LeftOut

if TYPE_CHECKING:
    from .observation import Observation, Resampler

BUNDLED = ("scene_classifier", "gram")
READER = "roberta"  # of BERTScore; in the cache of Hugging Face
MEAN_REMOVED = ("vggish", "panns")  # their evaluation code takes the mean off each clip
QUIETEST = 1e-4  # sounds are brought to peak 1 for the bundled networks, but silence stays silence
Features = dict[str, Tensor]


class Network:
    """A published network with what must be said of it. Raises LeftOut for clips that are too short for it."""

    resampler: Resampler = "sinc"

    def __init__(self, name: str, model: Any, weights_sha256: str, licence: str, device: str = "cpu") -> None:
        self.name, self.weights_sha256, self.licence, self.device = name, weights_sha256, licence, device
        self.model = model.to(device)

    @property
    def module(self) -> Any:
        """The module that the network is defined in, with its SAMPLE_RATE and FPS."""
        return sys.modules[type(self.model).__module__]

    def hear(self, clip: Observation) -> Features:
        """Features (1, ...) of the clip's sound."""
        waveform = self.prepared(clip.sound(self.module.SAMPLE_RATE, self.resampler))[None].to(self.device)
        return self.run(lambda: self._of_sound(waveform))

    def see(self, clip: Observation) -> Features:
        """Features of the clip's pictures."""
        return self.run(lambda: self._of_pictures(clip))

    def read(self, caption: str) -> Tensor:
        """The caption's embedding (1, D)."""
        return self.run(lambda: {"embedding": self._of_words(caption)})["embedding"]

    @torch.inference_mode()
    def run(self, compute: Callable[[], Features]) -> Features:
        """`compute()` without gradients, in float32 on the CPU; what the network refuses is left out."""
        try:
            return {name: values.float().cpu() for name, values in compute().items()}
        except ValueError as refused:
            raise LeftOut(f"{self.name}: {refused}") from refused

    def prepared(self, waveform: Tensor) -> Tensor:
        """The waveform (N,) as the network is given it."""
        return waveform - waveform.mean() if self.name in MEAN_REMOVED else waveform

    def to_json(self) -> dict[str, str]:
        """Name, hash and licence, as the evaluation's JSON has them."""
        return {"name": self.name, "weights_sha256": self.weights_sha256, "licence": self.licence}

    def _of_sound(self, waveform: Tensor) -> Features:
        return (self.model.audio_features if hasattr(self.model, "audio_features") else self.model.features)(waveform)

    def _of_pictures(self, clip: Observation) -> Features:
        of = self.model.video_features if hasattr(self.model, "video_features") else self.model.features
        return of(clip.pictures(self.module.FPS))

    def _of_words(self, caption: str) -> Tensor:
        tokens = self.tokenizer([caption])
        inputs = tokens if isinstance(tokens, tuple) else (tokens,)
        return self.model.text_features(*(one.to(self.device) for one in inputs))["embedding"]

    @cached_property
    def tokenizer(self) -> Any:
        """What cuts captions into the network's tokens."""
        return tokenizer_of(self.name)


class _Classifier(Network):
    """The classifier of scene sounds."""

    resampler = "soxr"

    def prepared(self, waveform: Tensor) -> Tensor:
        return full_scale(waveform)

    def _of_sound(self, waveform: Tensor) -> Features:
        features = self.model.features(waveform)
        return {"features": features, "logits": self.model.head(features)}


class _Gram(Network):
    """The bundled GRAM towers."""

    resampler = "soxr"

    def prepared(self, waveform: Tensor) -> Tensor:
        return full_scale(waveform)

    def _of_sound(self, waveform: Tensor) -> Features:
        return {"embedding": self.model.encode_audio(waveform)}

    def _of_pictures(self, clip: Observation) -> Features:
        from ..encoders.gram import pick_frames

        pictures = clip.pictures()
        chosen = pictures[pick_frames(len(pictures), self.model.num_frames)]
        return {"embedding": self.model.encode_video(chosen[None].to(self.device).float() / 255)}

    def _of_words(self, caption: str) -> Tensor:
        return self.model.encode_text([caption])


class _Reader(Network):
    """A network of transformers with its own tokeniser."""

    def __init__(self, name: str, model: Any, weights_sha256: str, licence: str, device: str, tokenizer: Any) -> None:
        super().__init__(name, model, weights_sha256, licence, device)
        self.tokenizer = tokenizer


class Networks:
    """Gives networks by name, each loaded once."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self._loaded: dict[str, Network] = {}

    def missing(self, name: str, reads: bool = False) -> str | None:
        """Why the network cannot be had (or, if it `reads`, its vocabulary), and what to do; None where it can.

        Loads it, so that damaged weights are told before the work.
        """
        if name not in (*BUNDLED, READER) and not published.available(name):
            return published.missing(name)
        try:
            _ = self[name]
            if reads and name not in (*BUNDLED, READER):
                tokenizer_of(name)
        except WeightsError as error:
            return str(error)
        return None

    def __getitem__(self, name: str) -> Network:
        if name not in self._loaded:
            self._loaded[name] = self._bundled(name) if name in BUNDLED else self._reader() if name == READER else (
                Network(name, published.load(name), published.weights_hash(name), published.PUBLISHED[name].licence,
                        self.device))
        return self._loaded[name]

    def rates(self) -> tuple[dict[str, int], dict[str, float]]:
        """Sample rates and pictures a second that the networks used so far ask for, by network."""
        modules = {name: self._loaded[name].module for name in sorted(self._loaded)}
        return ({name: m.SAMPLE_RATE for name, m in modules.items() if hasattr(m, "SAMPLE_RATE")},
                {name: m.FPS for name, m in modules.items() if hasattr(m, "FPS")})

    def _bundled(self, name: str) -> Network:
        from ..encoders.gram import GramEncoder
        from ..metrics.scene_classifier import SceneClassifier

        folder = weights.bundled(name)
        kind, network = (GramEncoder, _Gram) if name == "gram" else (SceneClassifier, _Classifier)
        model = kind.from_pretrained(folder).float().eval()
        return network(name, model, sha256_of(next(folder.glob("*.safetensors"))), "Apache-2.0", self.device)

    def _reader(self) -> Network:
        from ..generation.provenance import sha256_of
        from ..metrics.bert_score import load_network, network_folder

        folder = network_folder()
        model, tokenizer = load_network(folder)
        weights_file = next(file for pattern in ("*.safetensors", "*.bin") for file in folder.glob(pattern))
        return _Reader(READER, model, sha256_of(weights_file), "MIT", self.device, tokenizer)


def tokenizer_of(name: str) -> Any:
    """What cuts captions into tokens for CLAP or ImageBind: its vocabulary lies beside the converted weights.

    Raises WeightsError where it does not.
    """
    from ..encoders.byte_pairs import ClipTokenizer, RobertaTokenizer

    return (ClipTokenizer if name == "imagebind" else RobertaTokenizer)(published.cache_folder(name))


def full_scale(waveform: Tensor) -> Tensor:
    """The waveform (N,) with its peak at 1, so that loudness, which has metrics of its own, does not decide."""
    return waveform / waveform.abs().amax().clamp_min(QUIETEST)
