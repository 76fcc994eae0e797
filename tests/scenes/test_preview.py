"""The sheet shows the right frames beside the right sound."""

import numpy as np
import pytest
import torch
from matplotlib import image

from postsync.protocols.clip import Clip
from postsync.scenes.preview import preview, strip_frames
from postsync.scenes.render import clean_scenes, render_scene


def test_strip_shows_the_frame_of_each_moment() -> None:
    frames = torch.arange(4, dtype=torch.uint8)[:, None, None, None].expand(4, 3, 2, 2).contiguous()
    clip = Clip("a", 2.0, frames=frames, times=torch.tensor([0.0, 0.1, 1.2, 1.4], dtype=torch.float64))
    strip = strip_frames(clip, 4)  # moments .25, .75, 1.25, 1.75
    assert strip.shape == (2, 8, 3)
    assert strip[0, ::2, 0].tolist() == [1, 1, 2, 3]


def test_sheet_is_as_tall_as_its_clips_are_many_and_not_blank(tmp_path) -> None:
    clips = [render_scene(k, clean_scenes(duration_s=1.0, size=16)) for k in range(2)]
    one = image.imread(preview(clips[:1], tmp_path / "1.png"))
    two = image.imread(preview(clips, tmp_path / "2.png"))
    assert two.shape[0] == pytest.approx(2 * one.shape[0], abs=2)
    assert np.std(two[:, :, :3]) > 0.1
    heard = image.imread(preview(clips[:1], tmp_path / "3.png", spectrogram=True))
    assert heard.shape == one.shape
    lower = slice(2 * one.shape[0] // 3, -30)
    assert np.abs(heard[lower] - one[lower]).mean() > 0.2  # the waveform's white ground has gone


def test_clips_without_frames_are_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="no frames"):
        preview([Clip("a", 1.0)], tmp_path / "a.png")
    silent = Clip("b", 1.0, torch.zeros(1, 3, 2, 2, dtype=torch.uint8), torch.zeros(1).double())
    with pytest.raises(ValueError, match="no sound at 16000 Hz"):
        preview([silent], tmp_path / "b.png", spectrogram=True)
    with pytest.raises(ValueError, match="at least one"):
        preview([], tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
