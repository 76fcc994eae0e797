"""Clips and frames in memory are one thing to who puts sound under them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from postsync.errors import Cancelled, ConditionError, MediaError
from postsync.media.audio import read_audio
from postsync.media.mux import mux
from postsync.media.picture import ClipPicture, FramesPicture, open_picture
from postsync.media.video import iter_frames, probe

RATE = 16000
TONE = 0.3 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE).astype(np.float32)[None]


def pictures(count: int = 20, height: int = 24, width: int = 32) -> np.ndarray:
    """A bar that moves over a ramp, (F, H, W, 3)."""
    frames = np.tile(np.linspace(0, 200, width, dtype=np.uint8)[:, None], (count, height, 1, 3))
    for k in range(count):
        frames[k, :, k % width] = (250, 20, 20)
    return frames


def test_a_clip_is_copied_as_by_mux(make_video, tmp_path):
    path = make_video(sounds=["aac"])
    picture = open_picture(str(path))
    assert isinstance(picture, ClipPicture)
    assert picture.known is None
    for keep in (False, True):
        ours = picture.write(TONE, RATE, tmp_path / "ours.mp4", keep_sound=keep)
        theirs = mux(path, TONE, RATE, tmp_path / "theirs.mp4", keep_sound=keep)
        assert ours.read_bytes() == theirs.read_bytes()
    assert picture.info == probe(path)
    assert picture.info.name == picture.name == str(path)
    frames, truth = list(picture.iter_frames(fps=10)), list(iter_frames(path, fps=10))
    assert all(np.array_equal(a.image, b.image) and a.time_s == b.time_s for a, b in zip(frames, truth, strict=True))
    assert picture.info is picture.known


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
@pytest.mark.parametrize("times", [None, np.cumsum([2.0, *[0.04, 0.09, 0.03] * 6, 0.05])])
def test_frames_are_encoded_at_their_times_with_the_sound_in_place(tmp_path, suffix, times):
    frames = pictures()
    picture = FramesPicture(frames, fps=None if times is not None else 25.0, times_s=times)
    starts = np.arange(20) / 25 if times is None else times - 2.0
    length = 0.8 if times is None else starts[-1] + 0.05
    assert picture.info.duration_s == pytest.approx(length, abs=1e-9)
    path = picture.write(TONE, RATE, tmp_path / f"a{suffix}")
    info, read = probe(path), list(iter_frames(path))
    tolerance = 1e-5 if suffix in (".mp4", ".mov") else 1e-3
    assert info.duration_s == pytest.approx(length, abs=tolerance)
    assert info.codec == ("vp9" if suffix == ".webm" else "h264")
    assert [frame.time_s for frame in read] == pytest.approx(starts, abs=tolerance)
    assert np.abs(np.stack([frame.image for frame in read]).astype(int) - frames).mean() < 12
    sound = read_audio(path, RATE, from_picture=True)[0]
    assert abs(len(sound) - round(length * RATE)) <= 1024
    inner = slice(1000, round(length * RATE) - 1000)
    assert np.corrcoef(sound[inner], TONE[0, inner])[0, 1] > 0.99
    again = picture.write(TONE, RATE, tmp_path / f"b{suffix}")
    assert path.read_bytes() == again.read_bytes()


@pytest.mark.parametrize(("suffix", "size"), [(".mp4", (34, 26)), (".webm", (33, 25))])
def test_odd_sizes_can_be_played(tmp_path, suffix, size):
    frames = pictures(5, 25, 33)
    path = FramesPicture(frames, fps=10).write(TONE, RATE, tmp_path / f"a{suffix}")
    assert (probe(path).width, probe(path).height) == size
    shown = np.stack([frame.image for frame in iter_frames(path)])[:, :25, :33]
    assert np.abs(shown.astype(int) - frames).mean() < 12


def test_frames_come_as_arrays_tensors_and_lists():
    frames = pictures()
    truth = FramesPicture(frames, fps=25)
    first = torch.from_numpy(frames).permute(0, 3, 1, 2)
    for same in (first, first.float() / 255, frames / 255.0, list(frames), list(first), frames.astype(int),
                 first.to(torch.int32), frames.tolist()):
        other = open_picture(same, fps=25)
        assert other.info == truth.info
        read = [frame.image for frame in other.iter_frames()]
        assert np.array_equal(np.stack(read), frames)
    grey = FramesPicture(frames[..., 0], fps=25)
    assert np.array_equal(next(grey.iter_frames(pixel_format="gray")).image, frames[0, ..., 0])
    assert np.array_equal(next(grey.iter_frames()).image, np.repeat(frames[0, ..., :1], 3, axis=2))


def test_frames_are_streamed_as_those_of_a_clip_are():
    picture = FramesPicture(pictures(), fps=20)
    stream = picture.iter_frames(size=(16, 12), fps=10, start_s=0.25, end_s=0.6)
    times = [frame.time_s for frame in stream]
    assert times == pytest.approx([0.25, 0.35, 0.45, 0.55])
    assert next(picture.iter_frames(size=(16, 12))).image.shape == (12, 16, 3)
    stream = picture.iter_frames()
    assert [frame.duration_s for frame in stream] == pytest.approx([0.05] * 20)
    assert stream.info == picture.info
    assert (picture.path, picture.info.path, picture.info.has_audio) == (None, None, False)


@pytest.mark.parametrize(
    ("frames", "timing", "words"),
    [
        (pictures(), {}, "either fps or the times"),
        (pictures(), {"fps": 25, "times_s": range(20)}, "either fps or the times"),
        (pictures(), {"fps": 0}, "0.1 to 1000"),
        (pictures(), {"fps": math.nan}, "0.1 to 1000"),
        (pictures(), {"times_s": range(19)}, "20 rising times"),
        (pictures(), {"times_s": [0.0] * 20}, "20 rising times"),
        (pictures(), {"times_s": [*range(19), math.inf]}, "20 rising times"),
        (pictures(), {"times_s": np.arange(20) * 1000.0}, "in seconds"),
        (pictures()[:0], {"fps": 25}, "at least one frame"),
        (pictures()[0, 0], {"fps": 25}, "shape"),
        (pictures()[..., :2], {"fps": 25}, "shape"),
        ([pictures()[0], pictures(1, 8, 8)[0]], {"fps": 25}, "of one size"),
        (3, {"fps": 25}, "not pictures"),
        (pictures() / 128.0, {"fps": 25}, r"floats from 0\.0 to"),
        (pictures() * math.nan, {"fps": 25}, "floats from nan"),
        (pictures().astype(int) - 1, {"fps": 25}, "integers from -1"),
        (pictures() > 3, {"fps": 25}, "hold bool"),
    ],
)
def test_frames_that_cannot_be_shown_are_refused(frames, timing, words):
    with pytest.raises(ConditionError, match=words):
        open_picture(frames, **timing)


def test_a_file_has_times_of_its_own(make_video):
    picture = open_picture(make_video())
    assert open_picture(picture) is picture
    for source in (picture, picture.path):
        with pytest.raises(ConditionError, match="times of its own"):
            open_picture(source, fps=25)


def test_progress_is_reported_and_may_end_the_work(make_video, tmp_path):
    clip, frames = ClipPicture(make_video(ticks=range(60))), FramesPicture(pictures(60), fps=25)
    output = tmp_path / "out" / "a.mp4"
    output.parent.mkdir()

    def stop(share: float) -> None:
        raise Cancelled("enough")

    for picture in (clip, frames):
        with pytest.raises(Cancelled):
            picture.write(TONE, RATE, output, on_progress=stop)
        assert list(output.parent.iterdir()) == []
        shares: list[float] = []
        picture.write(TONE, RATE, output, on_progress=shares.append)
        assert len(shares) >= 5
        assert shares == sorted(shares)
        assert 0.8 < shares[-1] <= 1
        output.unlink()


def test_unusable_outputs_are_named(tmp_path):
    picture = FramesPicture(pictures(), fps=25)
    for name, words in {"a.avi": "end the name in", "no/a.mp4": "does not exist"}.items():
        with pytest.raises(MediaError, match=words):
            picture.write(TONE, RATE, tmp_path / name)
    with pytest.raises(MediaError, match="3 channels"):
        picture.write(np.zeros((3, 10), np.float32), RATE, tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []
