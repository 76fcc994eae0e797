"""Windows cover every frame, agree where they overlap, and leave a model that needs no window unchanged."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from postsync.diffusion.windows import Window, average_windows, plan_windows, taper


@pytest.mark.parametrize(("length", "count"), [(1, 1), (204, 1), (205, 2), (357, 2), (358, 3), (1000, 7)])
def test_plan_covers_the_length_with_the_overlap(length, count):
    windows = plan_windows(length, 204, 51)
    assert len(windows) == count
    assert (windows[0].start, windows[-1].stop) == (0, length)
    assert all(w.length == min(length, 204) for w in windows)
    assert all(b.start + 51 <= a.stop for a, b in pairwise(windows))


def test_overlap_must_be_shorter_than_the_window():
    with pytest.raises(ValueError, match="overlap of 8"):
        plan_windows(20, 8, 8)


def test_taper_falls_at_both_ends_and_is_never_zero():
    weights = taper(10, 3)
    assert weights.tolist() == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, 0.75, 0.5, 0.25])


def test_a_framewise_model_does_not_notice_windows():
    x = torch.randn(2, 3, 50, generator=torch.Generator().manual_seed(0))
    out = average_windows(lambda part, window: torch.tanh(part), x, plan_windows(50, 16, 4), 4)
    torch.testing.assert_close(out, torch.tanh(x))


def test_disagreeing_windows_are_cross_faded():
    windows = (Window(0, 8), Window(4, 12))
    out = average_windows(lambda part, window: torch.full_like(part, float(window.start > 0)), torch.zeros(1, 12),
                          windows, 4)[0]
    assert out[:4].eq(0).all()
    assert out[8:].eq(1).all()
    assert out[4:8].tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8])
