"""The JSON of an evaluation, and of systems side by side: complete, repeatable, readable elsewhere."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from postsync.evaluation.document import compare, describe, with_absolute_paths, write_json
from postsync.evaluation.job import Settings, run
from postsync.evaluation.suites import scenes, suite


@pytest.fixture(scope="module")
def document(measured):
    return describe(measured, measured.systems[0], "the command")


def test_it_says_what_somebody_else_needs(document, made, real):
    assert (document["schema"], document["suite"], document["seed"], document["command"]) == (
        1, "scenes", 0, "the command")
    assert document["generated"] == {"path": str(made), "count": 6}
    assert document["reference"] == {"path": str(real), "count": 6}
    assert {"torch", "numpy", "soxr", "av", "postsync"} <= document["versions"].keys()
    assert document["protocol"]["duration_s"] == 30.0
    assert document["protocol"]["audio_rates"] == {"gram": 16000, "scene_classifier": 16000}
    assert document["protocol"]["bootstrap"]["resamples"] == 50


def test_every_metric_has_its_value_count_interval_extractor_and_settings(document):
    metrics = {m["name"]: m for m in document["metrics"]}
    for metric in metrics.values():
        assert metric["value"] is not None
        assert metric["count"] == 6
        if metric["interval"] is not None:
            low, high = metric["interval"]
            assert low <= metric["value"] + 1e-9
            assert metric["value"] <= high + 1e-9
    assert metrics["GRAM-TA"]["extractor"]["name"] == "gram"
    assert len(metrics["GRAM-TA"]["extractor"]["weights_sha256"]) == 64
    assert metrics["Onset-F1@50ms"]["settings"]["tolerance_s"] == 0.05
    assert metrics["Onset-F1@50ms"]["extractor"] is None
    assert "6 rows against 6, of 320 features" in metrics["FAD-SceneClassifier"]["note"]


def test_clips_carry_their_values_and_paths_that_lead_to_the_files(document, made, real):
    assert len(document["clips"]) == 6
    clip = document["clips"][0]
    assert not Path(clip["generated"]).is_absolute()
    assert clip["video_of"] == "reference"
    assert clip["values"]["Onset-lag-ms"] == pytest.approx(30, abs=8)
    whole = with_absolute_paths(document)["clips"][0]
    for key, folder in (("generated", made), ("reference", real), ("video", real)):
        assert Path(whole[key]).is_file()
        assert Path(whole[key]) == (folder / clip[key]).resolve()


def test_the_same_seed_gives_the_same_bytes(made, real, document, tmp_path):
    again = run([made], real, scenes(), Settings(resamples=50))
    write_json(document, tmp_path / "a.json")
    write_json(describe(again, again.systems[0], "the command"), tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert json.loads((tmp_path / "a.json").read_text()) == json.loads(json.dumps(document))


def test_another_seed_moves_the_intervals_and_no_value(measured, document):
    other = describe(replace(measured, settings=Settings(seed=1, resamples=50)), measured.systems[0], "")
    assert [m["value"] for m in other["metrics"]] == [m["value"] for m in document["metrics"]]
    assert [m["interval"] for m in other["metrics"]] != [m["interval"] for m in document["metrics"]]


def test_metrics_whose_weights_are_absent_are_named_with_file_source_and_licence(made, real, tmp_path, monkeypatch):
    monkeypatch.setenv("POSTSYNC_CACHE", str(tmp_path))
    table = suite("greatest-hits")
    table = replace(table, metrics=tuple(m for m in table.metrics if not m.modules))
    done = run([made], real, table, Settings(resamples=10))
    document = describe(done, done.systems[0], "")
    reasons = {entry["name"]: entry["reason"] for entry in document["not_computed"]}
    assert "Cnn14_16k_mAP=0.438.pth" in reasons["FAD-PANNs"]
    assert "zenodo" in reasons["FAD-PANNs"]
    assert "CC BY 4.0" in reasons["FAD-PANNs"]
    computed = {m["name"]: m["value"] for m in document["metrics"]}
    assert {"E-L1@44k", "E-L1@16k"} <= computed.keys()
    assert not set(reasons) & set(computed)
    assert computed["E-L1@16k"] > 0


@pytest.fixture(scope="module")
def comparison(made, write, real, tmp_path_factory):
    exact = write(tmp_path_factory.mktemp("exact"), lambda sound: sound)
    next(exact.iterdir()).unlink()
    return compare(run([made, exact], real, scenes(), Settings(resamples=100)), "the command")


def row(comparison, name: str):
    return next(r for r in comparison["comparison"] if r["name"] == name)


def test_both_systems_are_there_with_all_their_own(comparison, made):
    assert comparison["kind"] == "comparison"
    assert [s["generated"]["count"] for s in comparison["systems"]] == [6, 5]
    assert comparison["systems"][0]["generated"]["path"] == str(made)
    for k, system in enumerate(comparison["systems"]):
        for metric in system["metrics"]:
            assert row(comparison, metric["name"])["values"][k] == metric["value"]
    json.dumps(comparison, allow_nan=False)


def test_a_clip_that_only_another_system_has_is_no_fault_of_this_one(made, write, real, tmp_path):
    more = write(tmp_path / "more", lambda sound: sound)
    (more / "extra.wav").write_bytes(next(more.iterdir()).read_bytes())
    done = run([more, made], real, scenes(), Settings(resamples=10))
    assert [(p.clip_id, p.side) for p in done.systems[0].problems] == [("extra", "reference")]
    assert not done.systems[1].problems


def test_the_difference_is_over_common_clips_and_says_who_is_better(comparison):
    (difference,) = row(comparison, "Onset-F1@25ms")["differences"]
    assert (difference["first"], difference["second"], difference["count"]) == (0, 1, 5)
    assert difference["difference"] < -0.5
    assert difference["interval"][1] < 0
    assert difference["first_is_better"] == 0.0
    (lag,) = row(comparison, "Onset-lag-ms")["differences"]
    assert lag["difference"] == pytest.approx(30, abs=5)
    assert lag["interval"][0] > 20
    assert lag["first_is_better"] is None  # neither direction is the better one


def test_a_system_against_itself_differs_in_nothing(made, write, real, tmp_path):
    same = write(tmp_path / "same", lambda sound: sound)
    again = write(tmp_path / "again", lambda sound: sound)
    comparison = compare(run([same, again], real, scenes(), Settings(resamples=20)), "")
    for entry in comparison["comparison"]:
        (difference,) = entry["differences"]
        assert difference["difference"] == 0
        assert difference["interval"] == [0.0, 0.0]
