"""The networks of an evaluation, loaded when first needed: the bundled ones, and the published ones that are here.

Each hears, sees or reads one clip at a time and gives named tensors.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .. import weights
from ..encoders import published

if TYPE_CHECKING:
    from .observation import Observation

BUNDLED = ("scene_classifier", "gram")
QUIETEST = 1e-4  # sounds are brought to peak 1 for the bundled networks, but silence stays silence


@dataclass
class Network:
    """A loaded network with what must be said of it. `prepared`: what is done to a waveform (N,) before it listens."""

    name: str
    model: Any
    weights_sha256: str
    licence: str
    device: str = "cpu"
    prepared: Callable[[Tensor], Tensor] = field(default=lambda waveform: waveform)

    @property
    def module(self) -> Any:
        """The module that the network is defined in, with its SAMPLE_RATE and FPS."""
        return sys.modules[type(self.model).__module__]

    @torch.inference_mode()
    def hear(self, clip: Observation) -> dict[str, Tensor]:
        """Features of the clip's sound."""
        waveform = self.prepared(clip.sound(self.module.SAMPLE_RATE))
        return _on_cpu(self._of_sound(waveform[None].to(self.device)))

    @torch.inference_mode()
    def see(self, clip: Observation) -> dict[str, Tensor]:
        """Features of the clip's pictures."""
        return _on_cpu(self._of_pictures(clip))

    @torch.inference_mode()
    def read(self, caption: str) -> Tensor:
        """The caption's embedding (1, D)."""
        return self.model.encode_text([caption]).float().cpu()

    def _of_sound(self, waveform: Tensor) -> dict[str, Tensor]:
        return self.model.features(waveform)

    def _of_pictures(self, clip: Observation) -> dict[str, Tensor]:
        return self.model.features(clip.pictures(self.module.FPS).to(self.device))

    def to_json(self) -> dict[str, str]:
        """Name, hash and licence, as the evaluation's JSON has them."""
        return {"name": self.name, "weights_sha256": self.weights_sha256, "licence": self.licence}


class _Classifier(Network):
    """The classifier of scene sounds."""

    def _of_sound(self, waveform: Tensor) -> dict[str, Tensor]:
        features = self.model.features(waveform)
        return {"features": features, "logits": self.model.head(features)}


class _Gram(Network):
    """The bundled GRAM towers."""

    def _of_sound(self, waveform: Tensor) -> dict[str, Tensor]:
        return {"embedding": self.model.encode_audio(waveform)}

    def _of_pictures(self, clip: Observation) -> dict[str, Tensor]:
        from ..encoders.gram import pick_frames

        pictures = clip.pictures()
        chosen = pictures[pick_frames(len(pictures), self.model.num_frames)]
        return {"embedding": self.model.encode_video(chosen[None].to(self.device).float() / 255)}


class Networks:
    """Gives networks by name, each loaded once."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self._loaded: dict[str, Network] = {}

    def missing(self, name: str) -> str | None:
        """Why the network is not here, and how to get it; None where it is."""
        return None if name in BUNDLED or published.available(name) else published.missing(name)

    def __getitem__(self, name: str) -> Network:
        if name not in self._loaded:
            self._loaded[name] = self._bundled(name) if name in BUNDLED else self._published(name)
        return self._loaded[name]

    def rates(self) -> tuple[dict[str, int], dict[str, float]]:
        """Sample rates and pictures a second that the networks used so far ask for, by network."""
        modules = {name: self._loaded[name].module for name in sorted(self._loaded)}
        return ({name: m.SAMPLE_RATE for name, m in modules.items() if hasattr(m, "SAMPLE_RATE")},
                {name: m.FPS for name, m in modules.items() if hasattr(m, "FPS")})

    def _published(self, name: str) -> Network:
        model = published.load(name).to(self.device)
        return Network(name, model, published.weights_hash(name), published.PUBLISHED[name].licence, self.device)

    def _bundled(self, name: str) -> Network:
        from ..encoders.gram import GramEncoder
        from ..generation.provenance import sha256_of
        from ..metrics.scene_classifier import SceneClassifier

        folder = weights.bundled(name)
        kind, network = (GramEncoder, _Gram) if name == "gram" else (SceneClassifier, _Classifier)
        model = kind.from_pretrained(folder).float().eval().to(self.device)
        file = next(folder.glob("*.safetensors"))
        return network(name, model, sha256_of(file), "Apache-2.0", self.device, full_scale)


def full_scale(waveform: Tensor) -> Tensor:
    """The waveform (N,) with its peak at 1, so that loudness, which has metrics of its own, does not decide."""
    return waveform / waveform.abs().amax().clamp_min(QUIETEST)


def _on_cpu(features: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: values.float().cpu() for name, values in features.items()}
