"""Frames by timestamp: the writer's own ticks are the truth."""

from __future__ import annotations

import os

import av
import numpy as np
import pytest

from postsync.errors import MediaError
from postsync.media.picture import open_picture
from postsync.media.video import iter_frames, probe
from postsync.media.watch import watch

VARIABLE = (0, 1, 2, 10, 11, 30, 31, 33, 60)


@pytest.mark.parametrize(
    "what",
    [
        {"name": "a.mp4", "options": {"bf": "3"}},
        {"name": "a.mkv", "options": {"bf": "3"}},  # the first packets have no dts
        {"name": "a.mov"},
        {"name": "a.avi", "codec": "mpeg4"},
        {"name": "a.webm", "codec": "libvpx"},
        {"name": "a.mp4", "pix_fmt": "yuv420p10le"},
        {"name": "a.mp4", "pix_fmt": "yuv444p", "size": (63, 47)},
        {"name": "a.mp4", "sounds": ["aac", "aac"], "cover": True},
    ],
    ids=lambda what: f"{what['name'][2:]}-{what.get('pix_fmt', what.get('codec', ''))}",
)
def test_every_frame_comes_at_its_own_time(make_video, frame_number, drawn, what):
    path = make_video(ticks=range(20), **what)
    stream = iter_frames(path)
    frames = list(stream)
    assert [f.time_s for f in frames] == pytest.approx(np.arange(20) / 25, abs=1e-9)
    assert [frame_number(f.image) for f in frames] == list(range(20))
    width, height = what.get("size", (64, 48))
    assert frames[0].image.shape == (height, width, 3)
    truth = drawn(0, width, height).astype(float)
    assert np.abs(frames[0].image - truth).mean() < 12
    info = stream.info
    assert info == probe(path)
    assert (info.num_frames, info.duration_s, info.fps) == (20, pytest.approx(0.8), pytest.approx(25))
    assert info.has_audio == bool(what.get("sounds"))


@pytest.mark.parametrize(("name", "tolerance"), [("a.mp4", 1e-6), ("a.mkv", 1e-3)])
def test_variable_rate_is_held_by_time(make_video, frame_number, name, tolerance):
    path = make_video(name, ticks=VARIABLE, rate=30)
    stream = iter_frames(path)
    assert [f.time_s for f in stream] == pytest.approx(np.array(VARIABLE) / 30, abs=tolerance)
    assert stream.info.duration_s == pytest.approx(61 / 30, abs=tolerance)
    held = list(iter_frames(path, fps=30, pixel_format="gray"))
    expected = [max(i for i, tick in enumerate(VARIABLE) if tick <= k) for k in range(61)]
    assert [frame_number(f.image) for f in held] == expected
    assert [f.time_s for f in held] == pytest.approx(np.arange(61) / 30, abs=1e-9)


def test_times_start_with_the_first_picture(make_video):
    path = make_video(ticks=range(40, 60))
    info = probe(path)
    assert (info.first_pts_s, info.duration_s) == (pytest.approx(1.6), pytest.approx(0.8))
    assert next(iter_frames(path)).time_s == 0.0


def test_edit_list_hides_what_was_cut(make_video, frame_number):
    path = make_video("cut.mp4", shift_s=-0.4, ticks=range(30), options={"bf": "3", "g": "5"})
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 30  # the header's claim
    frames = list(iter_frames(path))
    assert [frame_number(f.image) for f in frames] == list(range(10, 30))
    assert frames[0].time_s == 0.0
    assert probe(path).duration_s == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("rotation", "green", "red"),
    [  # where the green top and the red left are to be seen
        ((90, False, False), "left", "bottom"),
        ((-90, False, False), "right", "top"),
        ((180, False, False), "bottom", "right"),
        ((0, True, False), "top", "right"),
        ((0, False, True), "bottom", "left"),
    ],
)
def test_pictures_are_upright(make_video, rotation, green, red):
    path = make_video("a.mp4", rotation=rotation, ticks=range(2))
    turned = abs(rotation[0]) == 90
    edges = {"left": np.s_[8:-8, 2], "right": np.s_[8:-8, -3], "top": np.s_[2, 8:-8], "bottom": np.s_[-3, 8:-8]}
    for size in (None, (30, 40)):
        image = next(iter_frames(path, size=size)).image.astype(int)
        assert image.shape[:2] == ((64, 48) if turned else (48, 64)) if size is None else (40, 30)
        half = {side: np.median(image[where], axis=0) for side, where in edges.items()}
        assert half[green][1] > 150 > half[green][0]
        assert half[red][0] > 150 > half[red][1]
    assert (probe(path).width, probe(path).height) == ((48, 64) if turned else (64, 48))


def test_windows_partition_the_clip_and_late_ones_are_sought(make_video):
    path = make_video(ticks=range(300), options={"g": "25", "bf": "3"})
    whole = [(f.time_s, f.image.tobytes()) for f in iter_frames(path)]
    parts = [
        (f.time_s, f.image.tobytes())
        for start in (0.0, 3.0, 6.5, 9.99)
        for f in iter_frames(path, start_s=start, end_s={0.0: 3.0, 3.0: 6.5, 6.5: 9.99}.get(start))
    ]
    assert parts == whole
    held = list(iter_frames(path, fps=10, start_s=6.55, end_s=7.0))
    assert [f.time_s for f in held] == pytest.approx([6.55, 6.65, 6.75, 6.85, 6.95])
    assert [f.image.tobytes() for f in held] == [whole[int(f.time_s * 25 + 1e-6)][1] for f in held]
    with pytest.raises(MediaError, match=r"probe\(\)"):
        _ = iter_frames(path, start_s=6.0).info


def test_memory_stays_bounded(make_video):
    """A thousand 64 x 48 frames would be 9 MB; while they stream no more than a few may be alive."""
    import tracemalloc

    path = make_video(ticks=range(250), options={"g": "250"})
    tracemalloc.start()
    for _ in iter_frames(path, size=(256, 256)):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 256 * 256 * 3


def break_file(kind: str, picture: np.ndarray, folder):
    """A file that is unusable in the way `kind` says."""
    path = folder / "bad.mp4"
    if kind == "a folder":
        path.mkdir()
    elif kind == "empty":
        path.touch()
    elif kind == "not a readable media file":
        path.write_bytes(bytes(range(256)) * 40)
    elif kind == "a still picture":
        path = folder / "picture.png"
        with av.open(str(path), "w", format="image2") as target:
            stream = target.add_stream("png", rate=1, width=16, height=16, pix_fmt="rgb24")
            target.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
    elif kind == "no moving picture":
        path = folder / "sound.m4a"
        with av.open(str(path), "w", format="mp4") as target:
            stream = target.add_stream("aac", rate=48000, layout="mono")
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), "fltp", "mono")
            frame.sample_rate = 48000
            target.mux(stream.encode(frame))
            target.mux(stream.encode(None))
    return path


KINDS = ["no such file", "a folder", "empty", "not a readable media file", "a still picture", "no moving picture"]


@pytest.mark.parametrize("kind", KINDS)
def test_bad_files_are_named_in_one_line(drawn, tmp_path, kind):
    path = break_file(kind, drawn(0, 16, 16), tmp_path)
    for attempt in (probe, lambda p: next(iter_frames(p)), lambda p: watch(open_picture(p))):
        with pytest.raises(MediaError) as caught:
            attempt(path)
        message = str(caught.value)
        assert str(path) in message
        assert kind in message
        assert "\n" not in message


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4")])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_truncated_files_are_refused(make_video, name, codec, share):
    path = make_video(name, codec=codec)
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(MediaError, match="cut short"):
        probe(path)


def test_truncated_web_video_is_refused(make_video, tmp_path):
    """With its index in front an mp4 opens although half of it is missing."""
    path = make_video("a.mp4")
    front = tmp_path / "front.mp4"
    with av.open(str(path)) as read, av.open(str(front), "w", options={"movflags": "faststart"}) as target:
        stream = target.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    assert probe(front).num_frames == 30
    os.truncate(front, int(front.stat().st_size * 0.8))
    with pytest.raises(MediaError, match="cut short"):
        next(iter_frames(front))
