"""A small convolutional network that names the family of a sound, and the objective that trains it.

It evaluates generated sounds: whether a sound generated from a caption belongs to the caption's family, and how far
generated sounds are from real ones in its feature space. The scene classifier was trained on scenes with synthesised
and recorded sounds; it is unreliable on other recordings. The recording classifier has heard recordings alone, so that
what it says of drawn sounds, and of those that a system generates, is independent of the drawing.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ConditionError
from ..features.spectrogram import audioldm_log_mel
from ..protocols.clip import Clip
from ..protocols.objective import Batch, ClipRequest, Objective
from ..scenes.families import FAMILIES, KNOWN
from ..scenes.render import NATIVE_S
from ..scenes.sounds import SoundConfig
from .accumulators import ClipMean

SAMPLE_RATE = 16000
_MEL_MEAN, _MEL_SCALE = -6.0, 3.0
_FEWEST_FRAMES = 32


class SceneClassifier(ModelMixin, ConfigMixin):
    """Log-mel -> four convolutions -> mean and maximum over time and frequency -> family.

    `families` defaults to all families of the scenes, in their order.
    """

    config_name = "config.json"  # type: ignore[assignment]

    def __init__(self, families: Sequence[str] = tuple(FAMILIES), channels: Sequence[int] = (48, 64, 96, 160)) -> None:
        super().__init__()
        self.register_to_config(families=list(families), channels=list(channels))
        self.families = tuple(families)
        self.num_features = 2 * channels[-1]
        layers: list[nn.Module] = [nn.Conv2d(2, channels[0], 7, stride=4, padding=3), _norm(channels[0]), nn.ReLU()]
        for previous, width in pairwise(channels):
            layers += [nn.MaxPool2d(2), nn.Conv2d(previous, width, 3, padding=1), _norm(width), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(self.num_features, len(self.families))

    def forward(self, log_mel: Tensor) -> Tensor:
        """AudioLDM log-mel (B, T, 64) -> logits (B, families)."""
        return self.head(self.dropout(self.mel_features(log_mel)))

    def mel_features(self, log_mel: Tensor) -> Tensor:
        """AudioLDM log-mel (B, T, 64) -> (B, num_features); sounds shorter than 0.32 s are padded with silence."""
        log_mel = F.pad(log_mel, (0, 0, 0, max(0, _FEWEST_FRAMES - log_mel.shape[1])), value=math.log(1e-5))
        # convolutions are translation-invariant, but a sound's pitch matters: the bin is the second channel
        pitch = torch.linspace(-1, 1, log_mel.shape[-1], device=log_mel.device).expand_as(log_mel)
        hidden = self.layers(torch.stack([(log_mel - _MEL_MEAN) / _MEL_SCALE, pitch.to(log_mel)], dim=1))
        return torch.cat([hidden.mean((2, 3)), hidden.amax((2, 3))], dim=1)

    def features(self, waveform: Tensor) -> Tensor:
        """Waveform (B, N) at 16 kHz -> (B, num_features), the space of the Frechet distance."""
        return self.mel_features(audioldm_log_mel(waveform))

    @torch.no_grad()
    def classify(self, waveform: Tensor) -> list[str]:
        """The most likely family of each waveform (B, N) at 16 kHz."""
        chosen = self.head(self.features(waveform)).argmax(-1)
        return [self.families[index] for index in chosen.tolist()]


class SceneClassifierObjective(Objective):
    """Cross-entropy with smoothed labels, on log-mels whose level and tilt are varied."""

    def __init__(self, classifier: SceneClassifier | None = None, *, label_smoothing: float = 0.1,
                 gain: float = 0.7, tilt: float = 0.7, noise: float = 0.2) -> None:
        """gain, tilt (from the lowest to the highest bin) and noise of each bin: greatest or mean change, in nepers."""
        super().__init__()
        self.classifier: SceneClassifier = classifier if classifier is not None else SceneClassifier()
        self.label_smoothing = label_smoothing
        self.gain, self.tilt, self.noise = gain, tilt, noise

    @property
    def wants(self) -> ClipRequest:
        """Sound alone."""
        return ClipRequest(None, SAMPLE_RATE, NATIVE_S)

    def forward(self, batch: Batch, *, step: int, teacher: nn.Module | None = None,
                generator: torch.Generator | None = None) -> Batch:
        """batch: "log_mel" (B, T, 64) and "label" (B,). Returns "loss" and "accuracy" (0..1)."""
        log_mel = batch["log_mel"].float()
        if self.training:
            log_mel = self._varied(log_mel, generator)
        logits = self.classifier.forward(log_mel)
        loss = F.cross_entropy(logits, batch["label"], label_smoothing=self.label_smoothing)
        return {"loss": loss, "accuracy": (logits.argmax(-1) == batch["label"]).float().mean()}

    def prepare(self, clip: Clip) -> Batch:
        """One clip -> "log_mel" (T, 64) float16 and "label" (), the index of its family.

        Raises ConditionError for a clip without sound, at another rate, or of an unknown family.
        """
        if clip.waveform is None or clip.sample_rate != SAMPLE_RATE:
            raise ConditionError(f"clip {clip.clip_id} has no sound at {SAMPLE_RATE} Hz (rate: {clip.sample_rate}); "
                                 "resample it, the classifier learns from sound")
        if clip.label not in self.classifier.families:
            raise ConditionError(f"clip {clip.clip_id} is labelled '{clip.label}', which is not among the classifier's "
                                 "families; build it with the labels of your clips")
        log_mel = audioldm_log_mel(clip.waveform.mean(0, keepdim=True))[0]
        return {"log_mel": log_mel.half(), "label": torch.tensor(self.classifier.families.index(clip.label))}

    def export(self, folder: Path) -> None:
        """Write float16 weights and configuration into `folder`."""
        copy.deepcopy(self.classifier).half().save_pretrained(folder)

    def _varied(self, log_mel: Tensor, generator: torch.Generator | None) -> Tensor:
        batch, _, bins = log_mel.shape
        level, slope = (torch.rand(2, batch, 1, 1, generator=generator) * 2 - 1).to(log_mel.device)
        ramp = torch.linspace(-0.5, 0.5, bins, device=log_mel.device)
        noise = torch.randn(log_mel.shape, generator=generator).to(log_mel.device)
        return log_mel + self.gain * level + self.tilt * slope * ramp + self.noise * noise


def scene_classifier(preset: str) -> SceneClassifierObjective:
    """Objective of the untrained classifier, which has one size."""
    return SceneClassifierObjective()


def recording_classifier(preset: str) -> SceneClassifierObjective:
    """Objective of the untrained classifier of recordings, which has one size and a class for every known family."""
    return SceneClassifierObjective(SceneClassifier(tuple(KNOWN)), gain=1.5, tilt=1.5, noise=0.4)


def recordings_alone() -> dict[str, Any]:
    """Scenes of the families that the bank has, each sounded by its recordings."""
    return {"sound": SoundConfig(noise=0.3, room=0.3, recordings=1.0)}


class FamilyAccuracy(ClipMean):
    """Share of the sounds whose family the classifier names correctly, 0..1."""

    higher_is_better = True

    def values(self, named: Sequence[str], truth: Sequence[str]) -> Tensor:
        """1 or 0 for each of the families that were named and the true ones."""
        return torch.tensor([first == second for first, second in zip(named, truth, strict=True)])


class FamilyLogProbability(ClipMean):
    """Mean log-probability that the classifier gives to the true family, 0 at most: it resolves far more than how often
    the family is named."""

    higher_is_better = True

    def values(self, logits: Tensor, truth: Tensor) -> Tensor:
        """(B,) of logits (B, families) and the true families' places (B,)."""
        return logits.double().log_softmax(-1).gather(1, truth[:, None])[:, 0]


def family_accuracy(named: Sequence[str], truth: Sequence[str]) -> float:
    """Share of the names that are right."""
    accuracy = FamilyAccuracy()
    accuracy.update(named, truth)
    return float(accuracy.compute())


def _norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(4, width)
