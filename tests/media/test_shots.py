"""Cuts are found where the picture changes for good, and only there."""

from __future__ import annotations

import numpy as np
import pytest

from postsync.media.shots import CutFinder, shots_between
from postsync.media.video import Frame

FPS = 25


def _scene(seed: int, count: int, shift: float = 0.0) -> np.ndarray:
    """Frames (count, 96, 96) uint8 of one set: blocks of grey, moving by `shift` pixels a frame."""
    coarse = np.random.default_rng(seed).uniform(20, 235, (24, 24))
    wide = np.kron(coarse, np.ones((8, 8)))
    return np.stack([wide[:96, int(k * shift) % 90:][:, :96] for k in range(count)]).astype(np.uint8)


def _cuts(*parts: np.ndarray, fps: float = FPS) -> tuple[float, ...]:
    finder = CutFinder()
    for k, image in enumerate(np.concatenate(parts)):
        finder.push(Frame(k / fps, 1 / fps, image))
    return finder.cuts()


def test_cuts_are_found_to_the_frame() -> None:
    assert _cuts(_scene(0, 30), _scene(1, 40, 0.5), _scene(2, 20)) == pytest.approx((30 / FPS, 70 / FPS))
    assert _cuts(_scene(0, 12), _scene(1, 12), fps=8) == pytest.approx((1.5,))


def test_movement_a_flash_and_what_passes_by_are_no_cuts() -> None:
    assert _cuts(_scene(3, 60, 2.0)) == ()
    flash = np.full((2, 96, 96), 250, np.uint8)
    assert _cuts(_scene(4, 30), flash, _scene(4, 30)) == ()
    hidden = _scene(5, 7)  # a hand before the camera for a quarter of a second
    assert _cuts(_scene(4, 30), hidden, _scene(4, 30)) == ()
    noise = np.random.default_rng(0).integers(-8, 9, (60, 96, 96))
    assert _cuts((_scene(4, 60) + noise).clip(0, 255).astype(np.uint8)) == ()


def test_a_shot_that_is_too_short_goes_with_the_one_before() -> None:
    assert _cuts(_scene(0, 30), _scene(1, 5), _scene(2, 30)) == pytest.approx((30 / FPS,))


def test_a_clip_of_one_frame_or_none_has_no_cut() -> None:
    assert CutFinder().cuts() == ()
    assert _cuts(_scene(0, 1)) == ()


def test_shots_of_a_part() -> None:
    assert shots_between((), 0.0, 4.0) == [(0.0, 4.0)]
    assert shots_between((1.0, 3.0, 6.0), 2.0, 5.0) == [(2.0, 3.0), (3.0, 5.0)]
