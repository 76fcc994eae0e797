"""A run as a whole: scenes against sounds whose faults are known."""

import shutil

import numpy as np
import pytest
import soundfile

from postsync.errors import ConditionError
from postsync.evaluation import observation
from postsync.evaluation.document import describe
from postsync.evaluation.job import Settings, run
from postsync.evaluation.suites import scenes
from synthetic_clips import LATE_S, RATE, late


@pytest.fixture(scope="module")
def document(measured):
    return describe(measured, measured.systems[0], "postsync evaluate made --reference real")


def value(document, name: str) -> float:
    return next(m["value"] for m in document["metrics"] if m["name"] == name)


def test_late_and_soft_sounds_are_found_late_and_soft(document):
    assert value(document, "Onset-lag-ms") == pytest.approx(1000 * LATE_S, abs=5)
    assert value(document, "Onset-F1@50ms") > 0.9
    assert value(document, "Onset-F1@25ms") < 0.3
    assert value(document, "Missed-sounds@100ms") == 0
    assert value(document, "Envelope-lag-ms") == pytest.approx(1000 * LATE_S, abs=5)
    assert value(document, "Loudness-error-LU") == pytest.approx(6.0, abs=1.0)


def test_the_true_sounds_bring_the_networks_to_their_best(document):
    assert value(document, "Family-accuracy-SceneClassifier") > 0.8
    assert -1.0 < value(document, "Family-log-p-SceneClassifier") < 0
    assert value(document, "GRAM-TA") > 0.3
    assert 0 <= value(document, "FAD-SceneClassifier") < 20
    assert not document["not_computed"]
    assert not document["missing"]


def test_every_file_is_decoded_once_whatever_is_measured_of_it(made, real, monkeypatch):
    opened: list[str] = []
    for name in ("audio_blocks", "iter_frames"):
        original = getattr(observation, name)

        def counted(path, *arguments, original=original, name=name, **options):
            opened.append(f"{name} {path}")
            return original(path, *arguments, **options)

        monkeypatch.setattr(observation, name, counted)
    run([made], real, scenes(), Settings(resamples=10))
    assert len(opened) == len(set(opened)) == 18  # 6 clips: sound of both sides, picture of the reference


@pytest.fixture(scope="module")
def faulty(made, sounds, tmp_path_factory):
    """The sounds with one fault each: missing, silent, short, with NaN, unreadable; and one nobody asked for."""
    folder = tmp_path_factory.mktemp("faulty")
    shutil.copytree(made, folder, dirs_exist_ok=True)
    names = sorted(sounds)
    (folder / f"{names[0]}.wav").unlink()
    soundfile.write(folder / f"{names[1]}.wav", np.zeros(2 * RATE), RATE)
    soundfile.write(folder / f"{names[2]}.wav", sounds[names[2]][:RATE], RATE)
    soundfile.write(folder / f"{names[3]}.wav", np.full(2 * RATE, np.nan), RATE, subtype="FLOAT")
    (folder / f"{names[4]}.wav").write_bytes(b"hello" * 50)
    soundfile.write(folder / "another.wav", sounds[names[5]], RATE)
    return folder


def test_every_fault_is_named_with_its_reason_and_the_rest_is_measured(faulty, real, sounds):
    done = run([faulty], real, scenes(), Settings(resamples=10))
    document = describe(done, done.systems[0], "")
    names = sorted(sounds)
    reasons: dict[tuple, str] = {}
    for m in document["missing"]:
        key = m["clip_id"], m["side"], m["used"]
        reasons[key] = f"{reasons.get(key, '')}; {m['reason']}"
    unused, used = (names[0], names[3], names[4]), (names[1], names[2])
    assert set(reasons) >= {*((name, "generated", False) for name in unused), ("another", "reference", False),
                            *((name, "generated", True) for name in used)}
    assert "no file" in reasons[names[0], "generated", False]
    assert "silent" in reasons[names[1], "generated", True]
    assert "1.000 s against 2.000 s" in reasons[names[2], "generated", True]
    assert "NaN" in reasons[names[3], "generated", False]
    assert "not a readable" in reasons[names[4], "generated", False]
    counts = {m["name"]: m["count"] for m in document["metrics"]}
    assert counts["Onset-F1@50ms"] == 3  # silent, short and the good one; the uninvited one has no events
    assert counts["FAD-SceneClassifier"] == 4  # and the uninvited one
    assert (document["generated"]["count"], document["reference"]["count"]) == (6, 6)


def test_what_is_longer_than_the_reference_is_measured_over_its_length(write, made, real, tmp_path):
    def measured(folder):
        done = run([folder], real, scenes(), Settings(resamples=10))
        document = describe(done, done.systems[0], "")
        return {m["name"]: m["value"] for m in document["metrics"]}, document["missing"]

    noise = np.random.default_rng(0).uniform(-1, 1, RATE).astype(np.float32)
    longer = write(tmp_path / "longer", lambda sound: np.concatenate([0.5 * late(sound), noise]))
    values, missing = measured(longer)
    assert values == pytest.approx(measured(made)[0])
    assert len(missing) == 6
    assert all("3.000 s against 2.000 s" in m["reason"] and m["used"] for m in missing)


def test_two_sides_without_a_common_clip_are_refused(real, sounds, tmp_path):
    soundfile.write(tmp_path / "x.wav", np.zeros(100), RATE)
    with pytest.raises(ConditionError, match=r"no clip.*'x'.*scenes\."):
        run([tmp_path], real, scenes())


@pytest.mark.parametrize("wrong", [{"duration_s": 0.0}, {"duration_s": 1e4}, {"seed": -1}, {"resamples": 2}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConditionError):
        Settings(**wrong)
