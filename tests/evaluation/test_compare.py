"""Systems side by side."""

import json

import pytest

from postsync.evaluation.compare import compare
from postsync.evaluation.job import Settings, run
from postsync.evaluation.suites import scenes


@pytest.fixture(scope="module")
def document(made, write, real, tmp_path_factory):
    exact = write(tmp_path_factory.mktemp("exact"), lambda sound: sound)
    next(exact.iterdir()).unlink()
    return compare(run([made, exact], real, scenes(), Settings(resamples=100)), "the command")


def row(document, name: str):
    return next(r for r in document["comparison"] if r["name"] == name)


def test_both_systems_are_there_with_all_their_own(document, made):
    assert document["kind"] == "comparison"
    assert [s["generated"]["count"] for s in document["systems"]] == [6, 5]
    assert document["systems"][0]["generated"]["path"] == str(made)
    for k, system in enumerate(document["systems"]):
        for metric in system["metrics"]:
            assert row(document, metric["name"])["values"][k] == metric["value"]
    json.dumps(document, allow_nan=False)


def test_a_clip_that_only_another_system_has_is_no_fault_of_this_one(made, write, real, tmp_path):
    more = write(tmp_path / "more", lambda sound: sound)
    (more / "extra.wav").write_bytes(next(more.iterdir()).read_bytes())
    done = run([more, made], real, scenes(), Settings(resamples=10))
    assert [(p.clip_id, p.side) for p in done.systems[0].problems] == [("extra", "reference")]
    assert not done.systems[1].problems


def test_the_difference_is_over_common_clips_and_says_who_is_better(document):
    (difference,) = row(document, "Onset-F1@25ms")["differences"]
    assert (difference["first"], difference["second"], difference["count"]) == (0, 1, 5)
    assert difference["difference"] < -0.5
    assert difference["interval"][1] < 0
    assert difference["first_is_better"] == 0.0
    (lag,) = row(document, "Onset-lag-ms")["differences"]
    assert lag["difference"] == pytest.approx(30, abs=5)
    assert lag["interval"][0] > 20
    assert lag["first_is_better"] is None  # neither direction is the better one


def test_a_system_against_itself_differs_in_nothing(made, write, real, tmp_path):
    same = write(tmp_path / "same", lambda sound: sound)
    again = write(tmp_path / "again", lambda sound: sound)
    document = compare(run([same, again], real, scenes(), Settings(resamples=20)), "")
    for entry in document["comparison"]:
        (difference,) = entry["differences"]
        assert difference["difference"] == 0
        assert difference["interval"] == [0.0, 0.0]
