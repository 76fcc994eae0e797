"""One decoding pass gives what separate readings gave, byte for byte, whatever the file says of itself."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from postsync.errors import Cancelled, ConditionError, MediaError
from postsync.media import watch as module
from postsync.media.picture import ClipPicture, FramesPicture, Picture, open_picture
from postsync.media.video import VideoInfo, iter_frames, probe
from postsync.media.watch import FramePlan, Watched, regular, spread, watch

SIZE = (32, 24)
VARIABLE = (0, 1, 2, 10, 11, 30, 31, 33, 60)
CLIPS = {
    "constant.mp4": {"ticks": range(40), "options": {"bf": "3"}},
    "constant.mkv": {"ticks": range(40), "options": {"bf": "3"}, "sounds": ["aac"]},  # the sound is longer
    "constant.webm": {"ticks": range(40), "codec": "libvpx"},
    "old.avi": {"ticks": range(20), "codec": "mpeg4"},
    "variable.mp4": {"ticks": VARIABLE, "rate": 30},
    "variable.mkv": {"ticks": VARIABLE, "rate": 30},
    "ntsc.mkv": {"ticks": tuple(round(k * 1000 / 29.97) for k in range(50)), "rate": 1000},
    "cut.mp4": {"ticks": range(30), "shift_s": -0.4, "options": {"bf": "3", "g": "5"}},  # its header is wrong
    "one.mp4": {"ticks": [0]},
    "three.mkv": {"ticks": range(3)},
    "long.mp4": {"ticks": range(200), "options": {"g": "25", "bf": "3"}},
}
PARTS = ((0.0, 99.0, 4.0), (0.35, 0.9, 10.0), (0.5, 99.0, 25.0), (0.0, 99.0, 300.0), (5.03, 7.0, 24.0))


def evenly(path: Path, count: int, info: VideoInfo) -> np.ndarray:
    """`spread` by its rule: of all frames, the one that is shown in the middle of the slot that the rule chooses."""
    slots = max(info.num_frames, count)
    places = [part[(len(part) + 1) // 2 - 1] for part in np.array_split(np.arange(slots), count)]
    frames = list(iter_frames(path, SIZE))
    times = [(place + 0.5) * info.duration_s / slots for place in places]
    return np.stack([next(f.image for f in frames if time < f.time_s + f.duration_s) for time in times])


def spread_frames(path: Path, count: int) -> np.ndarray | None:
    """`count` pictures that are spread over the clip, as they are watched."""
    return watch(open_picture(path), plan=lambda info: spread(info, count, SIZE)).frames


def held(path: Path, start_s: float, end_s: float, fps: float, count: int) -> np.ndarray:
    """The pictures of `iter_frames`, the last one repeated."""
    images = [frame.image for frame in iter_frames(path, SIZE, fps, start_s=start_s, end_s=end_s)][:count]
    return np.stack(images + images[-1:] * (count - len(images)))


@pytest.mark.parametrize("name", CLIPS)
def test_one_pass_gives_what_separate_readings_gave(make_video, name):
    path = make_video(name, **CLIPS[name])
    info, luma = probe(path), [(f.time_s, f.image.tobytes()) for f in iter_frames(path, (16, 16), pixel_format="gray")]
    seen: list[tuple[float, bytes]] = []
    for count in (1, 4, 7, info.num_frames, info.num_frames + 5):
        seen.clear()
        result = watch(ClipPicture(path), on_luma=lambda frame: seen.append((frame.time_s, frame.image.tobytes())),
                       luma_size=(16, 16), plan=lambda found, count=count: spread(found, count, SIZE))
        assert result.info == info
        assert seen == luma
        assert np.array_equal(result.frames, evenly(path, count, info))
    for start_s, end_s, fps in PARTS:
        if start_s < info.duration_s - 0.05:
            end_s = min(end_s, info.duration_s)
            for count in (max(1, round((end_s - start_s) * fps)), round((end_s - start_s) * fps) + 3):
                result = watch(ClipPicture(path),
                               plan=lambda found, s=start_s, e=end_s, r=fps, n=count: regular(s, e, r, n, SIZE))
                assert np.array_equal(result.frames, held(path, start_s, end_s, fps, count))


@pytest.mark.parametrize("num_frames", [1, 4, 8])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_spread_pictures_follow_grams_rule(make_video, frame_number, name, num_frames):
    path = make_video(name, ticks=range(19), rate=30)
    parts = np.array_split(np.arange(19), num_frames)
    expected = [part[(len(part) + 1) // 2 - 1] for part in parts]
    images = spread_frames(path, num_frames)
    assert images.shape == (num_frames, 24, 32, 3)
    assert [frame_number(image) for image in images] == expected


def test_spread_pictures_of_a_short_clip_repeat(make_video, frame_number):
    path = make_video(ticks=range(3))
    assert [frame_number(image) for image in spread_frames(path, 6)] == [0, 0, 1, 1, 2, 2]


def test_a_part_of_the_spread_pictures(make_video):
    path = make_video(ticks=range(40))
    whole = spread_frames(path, 8)
    part = watch(open_picture(path), plan=lambda info: spread(info, 8, SIZE, 2, 5)).frames
    assert np.array_equal(part, whole[2:5])


class Counting(ClipPicture):
    """Counts how often it is read, and may say other things of itself than are true."""

    def __init__(self, path: Path, lie: Callable[[VideoInfo], VideoInfo | None] = lambda info: info) -> None:
        super().__init__(path)
        self.lie, self.readings = lie, 0

    def expected(self) -> VideoInfo | None:
        said = super().expected()
        return None if said is None else self.lie(said)

    def shown(self, found: list[VideoInfo], start_s: float = 0.0):
        self.readings += 1
        yield from super().shown(found, start_s)


@pytest.mark.parametrize("name", [name for name in CLIPS if name != "cut.mp4"])
def test_it_is_read_once(make_video, name):
    path = make_video(name, **CLIPS[name])
    for count in (1, 4, 9):
        picture = Counting(path)
        watch(picture, on_luma=lambda frame: None, plan=lambda info, count=count: spread(info, count, SIZE))
        watch(picture, plan=lambda info, count=count: spread(info, count, SIZE))
        assert picture.readings == 2


@pytest.mark.parametrize("times", [0.3, 5.0, None])
def test_a_file_that_is_wrong_about_itself_is_read_again(make_video, times):
    path = make_video(ticks=range(60))
    picture = Counting(path, lambda info: times and replace(info, duration_s=info.duration_s * times,
                                                            num_frames=round(info.num_frames * times)))
    result = watch(picture, plan=lambda info: spread(info, 6, SIZE))
    assert np.array_equal(result.frames, evenly(path, 6, probe(path)))
    assert picture.readings == 2


def test_a_plan_that_refuses_what_is_only_expected_is_asked_again(make_video):
    def plan(info: VideoInfo) -> FramePlan:
        if info.duration_s < 1.0:
            raise ConditionError("too short")
        return spread(info, 3, SIZE)

    path = make_video(ticks=range(60))
    wrong = Counting(path, lambda info: replace(info, duration_s=0.5))
    assert np.array_equal(watch(wrong, plan=plan).frames, spread_frames(path, 3))
    with pytest.raises(ConditionError, match="too short"):
        watch(Counting(make_video("short.mp4", ticks=range(5))), plan=plan)


def test_without_a_plan_it_is_a_probe(make_video):
    path = make_video(ticks=range(12))
    assert watch(ClipPicture(path)) == Watched(probe(path), None)
    assert watch(ClipPicture(path), plan=lambda info: None).frames is None


def test_frames_in_memory_are_watched_alike():
    pictures = np.random.default_rng(0).integers(0, 256, (20, 24, 32, 3), dtype=np.uint8)
    result = watch(FramesPicture(pictures, fps=10), plan=lambda info: regular(0.0, 2.0, 5.0, 10, SIZE))
    assert np.array_equal(result.frames, pictures[::2])
    assert np.array_equal(watch(FramesPicture(pictures, fps=10), plan=lambda i: spread(i, 20, SIZE)).frames, pictures)


def test_progress_rises_and_can_stop_the_work(make_video):
    path = make_video(ticks=range(95))
    shares: list[float] = []
    watch(ClipPicture(path), on_progress=shares.append)
    assert len(shares) == 9
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(90 / 95)

    def stop(share: float) -> None:
        raise Cancelled("enough")

    gc.disable()
    try:
        with pytest.raises(Cancelled):
            watch(ClipPicture(path), on_luma=lambda frame: None, on_progress=stop)
        opened = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
                  if os.path.exists(f"/proc/self/fd/{fd}")] if os.path.isdir("/proc/self/fd") else []
    finally:
        gc.enable()
    assert str(path) not in opened


def test_memory_does_not_grow_with_the_clip(make_video, monkeypatch):
    """Of 400 frames only those of the plan, and of one picture more and less, are converted and held."""
    converted: list[tuple[int, int]] = []
    convert = module.Converter.__call__

    def counted(self, frame):
        converted.append(self.size)
        return convert(self, frame)

    monkeypatch.setattr(module.Converter, "__call__", counted)
    path = make_video(ticks=range(400), options={"g": "400"})
    watch(ClipPicture(path), plan=lambda info: spread(info, 8, SIZE))
    assert 8 <= len(converted) <= 24


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_truncated_files_are_refused_as_by_a_probe(make_video, share):
    path = make_video("a.mkv")
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(MediaError, match="cut short"):
        watch(ClipPicture(path), plan=lambda info: spread(info, 2, SIZE))


def test_a_time_at_the_very_end_takes_the_last_picture(make_video):
    path = make_video(ticks=range(10))
    picture: Picture = ClipPicture(path)
    last = list(iter_frames(path, SIZE))[-1].image
    assert np.array_equal(watch(picture, plan=lambda info: regular(0.3999, 0.4, 4.0, 2, SIZE)).frames, [last, last])
