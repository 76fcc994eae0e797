"""Excerpts are small, cards name what is missing, and the worst and best clips are chosen."""

from __future__ import annotations

import copy
import io
from pathlib import Path

import av
import numpy as np
import pytest

from postsync.errors import PostsyncError
from postsync.evaluation.page import clips
from postsync.evaluation.page.results import choose_clips, column_names


def test_large_pictures_are_made_small(result, tmp_path, monkeypatch) -> None:
    source = Path(result["reference"]["path"]) / "clips" / "a.mp4"
    wave = np.zeros((1, 9600), np.float32)
    monkeypatch.setattr(clips, "MAX_COPIED_BYTES", 10)
    monkeypatch.setattr(clips, "MAX_SIDE", 16)
    with av.open(io.BytesIO(clips.encoded_video(source, wave, start_s=0.3, length_s=0.4))) as container:
        shown = [(frame.width, frame.height) for frame in container.decode(video=0)]
    assert shown == [(16, 16)] * 4
    monkeypatch.setattr(clips, "MAX_VIDEO_BYTES", 100)
    assert clips.encoded_video(source, wave) is None


def test_choice_of_clips(result) -> None:
    assert choose_clips([result], 2) == choose_clips([result], 2, "Onset-F1@50ms")
    choice = choose_clips([result], 3, "E-L1@16k")
    assert (choice.worst, choice.best) == (["b", "c"], ["a"])
    other = copy.deepcopy(result)
    other["clips"][1]["values"]["Onset-F1@50ms"] = 0.0  # b was worst; now the first leads most there
    other["clips"][0]["values"]["Onset-F1@50ms"] = 1.0
    choice = choose_clips([result, other], 2)
    assert (choice.worst, choice.best) == (["a"], ["b"])
    with pytest.raises(PostsyncError, match="choose from: E-L1@16k, Onset-F1@50ms"):
        choose_clips([result], 2, "Onset-lag-ms")
    assert choose_clips([{**result, "metrics": []}], 2).worst == ["a", "b"]
    assert column_names([result, {**result, "generated": {"path": "/x/made", "count": 3}}]) == ["1: made", "2: made"]
