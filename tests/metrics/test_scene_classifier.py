"""The classifier learns what it is shown, saves, loads, and refuses what it does not know."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import soundfile
import torch

from postsync.errors import ConditionError
from postsync.metrics.scene_classifier import (
    FamilyAccuracy,
    FamilyLogProbability,
    SceneClassifier,
    SceneClassifierObjective,
    family_accuracy,
    recording_classifier,
    recordings_alone,
)
from postsync.protocols.clip import Clip
from postsync.scenes.families import FAMILIES, KNOWN
from postsync.training.clips import scene_clips

PITCHES = {"low": 200.0, "middle": 1000.0, "high": 5000.0}


def tiny() -> SceneClassifier:
    torch.manual_seed(0)
    return SceneClassifier(tuple(PITCHES), (16, 16, 16, 16))


def tone(label: str, seed: int = 0, num_samples: int = 8000) -> Clip:
    generator = torch.Generator().manual_seed(seed)
    frequency = PITCHES[label] * (0.9 + 0.2 * torch.rand(1, generator=generator))
    wave = 0.2 * torch.sin(2 * torch.pi * frequency * torch.arange(num_samples) / 16000)
    noise = 0.01 * torch.randn(num_samples, generator=generator)
    return Clip(f"{label}{seed}", num_samples / 16000, waveform=(wave + noise)[None], sample_rate=16000, label=label)


def batch(objective: SceneClassifierObjective, seeds: range) -> dict[str, torch.Tensor]:
    samples = [objective.prepare(tone(label, seed)) for seed in seeds for label in PITCHES]
    return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}


def test_it_learns_to_tell_pitches_apart():
    objective = SceneClassifierObjective(tiny())
    optimizer = torch.optim.AdamW(objective.parameter_groups(), lr=1e-2)
    data, held_out = batch(objective, range(4)), batch(objective, range(100, 106))
    first = float(objective(data, step=0, generator=torch.Generator().manual_seed(0))["loss"].detach())
    for step in range(40):
        loss = objective(data, step=step, generator=torch.Generator().manual_seed(step))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.7 * first
    objective.eval()
    with torch.no_grad():
        assert objective(held_out, step=0)["accuracy"] > 0.9
    waveform = torch.cat([tone(label, 200).waveform for label in PITCHES])
    assert objective.classifier.classify(waveform) == list(PITCHES)


def test_the_classifier_of_recordings_never_hears_a_drawn_sound(tmp_path):
    bank = tmp_path / "sounds"
    for label, hertz in (("cat", 500.0), ("rain", 3000.0)):
        (bank / label).mkdir(parents=True)
        wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(16000) / 16000)
        for index in range(5):
            soundfile.write(bank / label / f"{index}.wav", wave, 16000)
    objective = recording_classifier("mini")
    assert objective.classifier.families == tuple(KNOWN)
    clips = scene_clips(objective.wants, 0, 6, duration_s=2.0, world=recordings_alone(), recordings=[bank])
    assert clips.config.families == ("rain", "cat")
    assert clips.config.sound.recordings == 1
    for clip in (clips[index] for index in range(6)):
        spectrum = torch.fft.rfft(clip.waveform[0]).abs()
        loudest = float(spectrum.argmax()) / clip.duration_s
        assert loudest == pytest.approx({"cat": 500, "rain": 3000}[clip.label], rel=0.02)


def test_variation_comes_from_the_generator_and_only_in_training():
    objective = SceneClassifierObjective(tiny())
    data = batch(objective, range(1))
    losses = [float(objective(data, step=0, generator=torch.Generator().manual_seed(seed))["loss"].detach())
              for seed in (1, 1, 2)]
    objective.classifier.eval()
    assert losses[0] != losses[2]
    objective.eval()
    values = [float(objective(data, step=0)["loss"].detach()) for _ in range(2)]
    assert values[0] == values[1] != losses[0]


def test_export_loads_as_float32_with_its_families(tmp_path):
    objective = SceneClassifierObjective(tiny())
    objective.export(tmp_path)
    loaded = SceneClassifier.from_pretrained(tmp_path).eval()
    assert loaded.families == tuple(PITCHES)
    waveform = tone("low").waveform
    features = loaded.features(waveform)
    assert features.dtype == torch.float32
    assert features.shape == (1, loaded.num_features) == (1, 32)
    torch.testing.assert_close(features, objective.classifier.eval().features(waveform), atol=5e-3, rtol=1e-2)


def test_the_default_covers_the_scenes_in_a_fifth_of_a_million_values():
    model = SceneClassifier()
    assert model.families == tuple(FAMILIES)
    assert 150_000 < sum(p.numel() for p in model.parameters()) < 250_000


@pytest.mark.parametrize("num_samples", [100, 2000, 4001])
def test_any_length_is_heard(num_samples):
    assert tiny().features(torch.zeros(2, num_samples)).isfinite().all()


def test_foreign_clips_are_refused():
    objective, clip = SceneClassifierObjective(tiny()), tone("low")
    assert objective.wants.needs == {"waveform"}
    with pytest.raises(ConditionError, match="'loud'"):
        objective.prepare(dataclasses.replace(clip, label="loud"))
    with pytest.raises(ConditionError, match="44100"):
        objective.prepare(dataclasses.replace(clip, sample_rate=44100))
    with pytest.raises(ConditionError, match="no sound"):
        objective.prepare(dataclasses.replace(clip, waveform=None))


def test_prepare_averages_channels():
    objective, clip = SceneClassifierObjective(tiny()), tone("high")
    stereo = dataclasses.replace(clip, waveform=torch.cat([clip.waveform, clip.waveform]))
    assert torch.equal(objective.prepare(stereo)["log_mel"], objective.prepare(clip)["log_mel"])
    assert objective.prepare(clip)["log_mel"].shape == (51, 64)
    assert int(objective.prepare(clip)["label"]) == 2


def test_family_log_probability_is_the_mean_over_clips():
    metric = FamilyLogProbability()
    metric.update(torch.tensor([[0.0, 0.0]]), torch.tensor([1]))
    metric.update(torch.tensor([[10.0, 0.0]]), torch.tensor([0]))
    assert metric.compute() == pytest.approx((-math.log(2) - math.log1p(math.exp(-10))) / 2)


def test_family_accuracy():
    assert family_accuracy(["a", "b", "c"], ["a", "x", "c"]) == pytest.approx(2 / 3)
    metric, other = FamilyAccuracy(), FamilyAccuracy()
    metric.update(["a", "b"], ["a", "x"])
    other.update(["c"], ["c"])
    metric.merge_state(other)
    assert metric.compute() == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="longer"):
        metric.update(["a"], ["a", "b"])
