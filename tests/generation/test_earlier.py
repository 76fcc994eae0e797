"""Results in Python: read again, repeated, redone, and many at once."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import postsync
from postsync.errors import ConditionError, MediaError


@pytest.fixture
def saved(pipe, clip, tmp_path):
    result = postsync.generate(clip, "hammer", pipeline=pipe, seed=3)
    return result, result.save(tmp_path / "out.mp4")


def test_a_saved_result_is_read_again_and_repeated(pipe, saved):
    result, path = saved
    for again in (postsync.open_result(path, pipe), postsync.repeat(path, pipeline=pipe)):
        assert np.array_equal(again.waveform, result.waveform)
        assert again.seed == 3
    path.with_name("out.mp4.flac").unlink()
    assert np.array_equal(postsync.open_result(path, pipe).waveform, result.waveform)


def test_a_span_is_redone_in_memory_and_from_the_file(pipe, saved, tmp_path):
    result, path = saved
    one = postsync.redo(result, 0.2, 0.5, pipeline=pipe, seed=9)
    two = postsync.redo(path, 0.2, 0.5, pipeline=pipe, seed=9)
    assert np.array_equal(one.waveform, two.waveform)
    first, last = round(0.2 * 48000), round(0.5 * 48000)
    assert np.array_equal(one.waveform[:, :first], result.waveform[:, :first])
    assert np.array_equal(one.waveform[:, last:], result.waveform[:, last:])
    assert not np.array_equal(one.waveform[:, first:last], result.waveform[:, first:last])
    made = one.save(tmp_path / "redone.mp4")
    assert len(json.loads(made.with_name("redone.mp4.json").read_text())["redo"]) == 1
    assert np.array_equal(postsync.repeat(made, pipeline=pipe).waveform, one.waveform)


def test_a_redo_takes_another_timing_and_other_words(pipe, saved):
    result, _ = saved
    curve = torch.zeros(80)
    silent = postsync.redo(result, 0.2, 0.5, pipeline=pipe, seed=9, envelope=curve)
    assert not silent.waveform[:, round(0.25 * 48000):round(0.45 * 48000)].any()
    rain = postsync.redo(result, 0.2, 0.5, pipeline=pipe, seed=9, prompt="rain")
    assert rain.prompt == "rain"
    with pytest.raises(ConditionError, match="names another"):
        postsync.redo(result, 0.2, 0.5, pipeline=pipe, envelope=curve, onsets="hits.csv")
    with pytest.raises(ConditionError, match="does not lie in a clip"):
        postsync.redo(result, 3.0, 4.0, pipeline=pipe)
    with pytest.raises(MediaError, match="no such sidecar"):
        postsync.redo("nothing.mp4", 0.2, 0.5, pipeline=pipe)


def test_many_clips_are_made_in_one_call_and_a_bad_one_stops_nothing(pipe, clip, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    seen = []
    report = postsync.generate_all([clip, bad], "hammer", output=tmp_path / "made", pipeline=pipe, seed=1,
                                   num_samples=2, on_result=seen.append)
    assert [entry["seed"] for entry in report.results] == [1, 2]
    assert seen == report.results
    assert len(report.errors) == 1
    assert "bad.mp4" in report.errors[0]["input"]
    assert len(list((tmp_path / "made").glob("*.mp4"))) == 2
    again = postsync.generate_all([clip], "hammer", output=tmp_path / "made", pipeline=pipe, seed=1, num_samples=2,
                                  skip_existing=True)
    assert (len(again.skipped), again.results) == (2, [])
