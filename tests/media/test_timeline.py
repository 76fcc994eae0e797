"""Clips lie on the rate they were recorded for, from their own timecode; frame numbers are those of SMPTE ST 12-1."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from postsync.errors import ConditionError
from postsync.media.timeline import Timeline, clip_timeline, nominal_rate
from postsync.media.video import probe


def write_clip(path, times, rate, timecode=None):
    """Pictures at the given multiples of 1 / rate."""
    with av.open(str(path), "w") as target:
        stream = target.add_stream("mpeg4", rate=rate, width=32, height=32, pix_fmt="yuv420p")
        stream.codec_context.time_base = stream.time_base = 1 / Fraction(rate)
        if timecode:
            stream.metadata["timecode"] = timecode
        for time in times:
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8)).reformat(format="yuv420p")
            frame.pts, frame.time_base = time, 1 / Fraction(rate)
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return path


def test_a_clip_that_lacks_frames_lies_on_the_rate_of_its_recording(tmp_path):
    path = write_clip(tmp_path / "phone.mp4", [n for n in range(120) if n % 12], 30)
    average = probe(path).fps
    assert average < 28
    assert clip_timeline(path, average) == Timeline(30.0)
    assert clip_timeline(path, average).timecode(750) == "01:00:25:00"


def test_a_clips_own_timecode_starts_its_timeline(tmp_path):
    path = write_clip(tmp_path / "camera.mov", range(10), 25, "10:20:30:05")
    timeline = clip_timeline(path, 25.0)
    assert timeline == Timeline(25.0, "10:20:30:05")
    assert timeline.timecode(25) == "10:20:31:05"
    assert timeline.at(50).timecode(0) == "10:20:30:10"


@pytest.mark.parametrize(("average", "declared", "rate"), [
    (25.0, [25.0], 25.0), (25.0, [50.0, 25.0], 25.0), (29.5, [30.0], 30.0), (29.97, [90000.0], 30000 / 1001),
    (29.5, [90000.0], 30.0), (15.0, [15.0], 15.0), (17.3, [1000.0], 17.3), (29.98, [30.0, 90000.0], 30.0),
    (239.2, [240.0], 240.0),
])
def test_the_rate_of_a_recording(average, declared, rate):
    assert nominal_rate(average, declared) == pytest.approx(rate, rel=1e-9)


def test_frame_numbers_of_fast_clips_have_three_digits():
    timeline = Timeline(240.0)
    assert [timeline.timecode(n) for n in (0, 12, 239, 240)] == ["01:00:00:000", "01:00:00:012", "01:00:00:239",
                                                                 "01:00:01:000"]
    assert timeline.at(60).timecode(30) == "01:00:00:30"


@pytest.mark.parametrize(("frame", "code"), [(0, "00:00:00;00"), (1799, "00:00:59;29"), (1800, "00:01:00;02"),
                                             (17981, "00:09:59;29"), (17982, "00:10:00;00"), (107892, "01:00:00;00")])
def test_drop_frame_keeps_pace_with_the_clock(frame, code):
    assert Timeline(30000 / 1001, "00:00:00;00").timecode(frame) == code
    assert Timeline(30000 / 1001, code).timecode(0) == code
    assert Timeline(25.0, "00:00:00;00").timecode(25) == "00:00:01:00"  # only NTSC rates drop


def test_midnight_is_passed_and_a_wrong_rate_refused():
    assert Timeline(25.0, "23:59:59:24").timecode(1) == "00:00:00:00"
    for fps in (0.5, 1001, float("nan")):
        with pytest.raises(ConditionError, match="1 to 1000"):
            Timeline(25.0).at(fps)
