"""The suite `heard` from folders to figures, with a tagger that hears pitch."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch

from postsync.data.manifest import write_manifest
from postsync.encoders import published
from postsync.errors import ConditionError
from postsync.evaluation.document import describe
from postsync.evaluation.job import Settings, run
from postsync.evaluation.networks import Network, Networks, _Classifier
from postsync.evaluation.suites import suite

RATE, NAMES = 16000, ("Low", "High, shrill", "Other", "Fourth", "Fifth", "Sixth")
SAMPLE_RATE = RATE  # the module of the network states it


class Pitch(torch.nn.Module):
    """Hears "Low" or "High" by where the energy lies."""

    def features(self, waveform: torch.Tensor) -> dict[str, torch.Tensor]:
        power = torch.fft.rfft(waveform).abs().square()
        middle = power.shape[-1] // 2
        low = power[:, :middle].sum(1) / power.sum(1)
        rest = torch.full((len(waveform), 4), 0.01)
        return {"scores": torch.cat([low[:, None], 1 - low[:, None], rest], dim=1)}


class Families(Pitch):
    """A bundled classifier, whose classes are families."""

    families = ("cat", "rain")

    def features(self, waveform: torch.Tensor) -> torch.Tensor:
        return super().features(waveform)["scores"][:, :2].logit(eps=1e-3)

    def head(self, features: torch.Tensor) -> torch.Tensor:
        return features


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.setattr(published, "available", lambda name: name == "yamnet")
    monkeypatch.setattr(Networks, "_published", lambda self, name: Network(name, Pitch(), "0" * 64, "none"))
    monkeypatch.setattr(published, "class_names", lambda name: NAMES)
    time = np.arange(RATE) / RATE
    tones = {"a": 500, "b": 6000, "c": 500}
    for side, shift in (("real", 0), ("made", 5500)):
        (tmp_path / side).mkdir()
        for name, hertz in tones.items():
            pitch = hertz + (shift if name == "c" else 0)
            soundfile.write(tmp_path / side / f"{name}.wav", 0.3 * np.sin(2 * np.pi * pitch * time), RATE)
    row = {"dataset": "x", "split": "test", "start": 0.0, "end": 1.0, "duration": 1.0}
    write_manifest(tmp_path / "real", [
        {**row, "clip_id": name, "source_id": name, "audio_path": f"{name}.wav", "heard_as": heard}
        for name, heard in (("a", ["Low"]), ("b", ["High"]), ("c", ["Low"]))], {"command": "test"})
    return tmp_path / "made", tmp_path / "real"


def test_what_is_heard_is_counted_scored_and_told(folders) -> None:
    made, real = folders
    done = run([made], real, suite("heard"), Settings(resamples=20))
    document = describe(done, done.systems[0], "command")
    values = {metric["name"]: metric["value"] for metric in document["metrics"]}
    assert values["Heard-YAMNet"] == pytest.approx(2 / 3)  # the third is high where low was expected
    assert values["Heard-score-YAMNet"] == pytest.approx(2 / 3, abs=0.02)
    assert values["Heard-score-YAMNet-real"] == pytest.approx(1.0, abs=0.02)
    remarks = {clip["clip_id"]: clip["remarks"]["Heard-YAMNet"] for clip in document["clips"]}
    assert remarks["a"].startswith("Low 1.00")
    assert remarks["c"].startswith("High, shrill 1.00")
    assert {entry["name"] for entry in document["not_computed"]} >= {"Heard-PANNs"}


def test_the_classifier_of_recordings_hears_offline(folders, monkeypatch) -> None:
    made, real = folders
    monkeypatch.setattr(Networks, "_bundled", lambda self, name: _Classifier(name, Families(), "0" * 64, "none"))
    text = (real / "manifest.jsonl").read_text().replace('["Low"]', '["Meow"]').replace('["High"]', '["Raindrop"]')
    (real / "manifest.jsonl").write_text(text)
    document = describe(done := run([made], real, suite("heard"), Settings(resamples=20)), done.systems[0], "command")
    values = {metric["name"]: metric["value"] for metric in document["metrics"]}
    assert values["Heard-RecordingClassifier"] == pytest.approx(2 / 3)
    assert values["Heard-score-RecordingClassifier-real"] == pytest.approx(1.0, abs=0.05)
    assert document["clips"][2]["remarks"]["Heard-RecordingClassifier"].startswith("rain ")


def test_clips_of_which_nothing_is_expected_are_named(folders) -> None:
    made, real = folders
    text = (real / "manifest.jsonl").read_text().replace('["High"]', "[]").replace('["Low"]', '["Lion"]', 1)
    (real / "manifest.jsonl").write_text(text)
    document = describe(done := run([made], real, suite("heard"), Settings(resamples=20)), done.systems[0], "command")
    reasons = " ".join(entry["reason"] for entry in document["missing"])
    assert "names no classes in heard_as" in reasons
    assert "expects Lion, none of which yamnet knows" in reasons


def test_only_bundled_networks_can_be_replaced(tmp_path) -> None:
    with pytest.raises(ConditionError, match="these can: scene_classifier, recording_classifier, gram"):
        Settings(parts={"yamnet": tmp_path})
