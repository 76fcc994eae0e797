"""MotionEnvelope on drawn clips whose hits are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from postsync.timing.motion import MotionConfig, MotionEnvelope
from postsync.timing.timing import Timing

HITS = np.array([0.6, 1.35, 2.2, 2.9, 3.5])


def hammer_height(time: float) -> float:
    """A head that falls within 0.15 s before each hit, stops dead, and creeps back up in between."""
    height = 0.0
    for hit in HITS:
        if hit - 0.15 <= time < hit:
            height = 1 - ((time - hit + 0.15) / 0.15) ** 2
        elif hit <= time:
            height = min(1.0, max(0.0, (time - hit - 0.1) / 0.45))
    return 1.0 if time < HITS[0] - 0.15 else height


def draw(times, size=64, noise=0.0, pan=0.0, seed=0):
    """(frame, time) pairs of the hammer over a textured ground."""
    rng = np.random.default_rng(seed)
    ground = np.kron(rng.uniform(90, 140, (40, 40)), np.ones((8, 8)))
    for time in times:
        left = int(pan * time)
        frame = ground[:size, left : left + size].copy()
        top = int(36 - 30 * hammer_height(time))
        frame[top : top + 14, 26:40] = 230
        frame += noise * rng.standard_normal(frame.shape)
        yield frame.clip(0, 255).astype(np.uint8), float(time)


def motion_envelope(frames, duration_s: float | None = None, config: MotionConfig | None = None) -> Timing:
    """What the reader makes of (frame, time) pairs."""
    motion = MotionEnvelope(config)
    for frame, time_s in frames:
        motion.push(frame, time_s)
    return motion.finish(duration_s)


def f1(found, truth, tolerance=0.05):
    hits = sum(bool(len(found)) and np.abs(found - t).min() <= tolerance for t in truth)
    return 2 * hits / (len(found) + len(truth))


@pytest.mark.parametrize("fps", [15, 25, 30, 60])
@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_stops_are_found_at_their_times(fps, noise):
    result = motion_envelope(draw(np.arange(0, 4, 1 / fps), noise=noise), 4.0)
    strong = result.onsets_s.numpy()
    assert f1(strong, HITS) > 0.9
    lag = [strong[np.abs(strong - t).argmin()] - t for t in HITS]
    assert abs(np.mean(lag)) < 0.5 / fps + 0.005
    assert result.envelope.values.shape == (400,)
    assert result.estimated  # motion is a guess


def test_time_comes_from_the_timestamps():
    """Variable rate: half of the frames are missing in the second half, the hits are found all the same."""
    times = np.concatenate([np.arange(0, 2, 1 / 50), np.arange(2, 4, 1 / 25)])
    strong = motion_envelope(draw(times), 4.0)
    found = strong.onsets_s[strong.strengths > 0.15].numpy()
    assert f1(found, HITS) > 0.9


def test_film_shown_twice_is_not_a_row_of_stops():
    """12.5 fps film in a 25 fps file: repeats change nothing but the grain of time."""
    slow = list(draw(np.arange(0, 4, 1 / 12.5)))
    doubled = [(frame, time + extra) for frame, time in slow for extra in (0.0, 0.04)]
    once, twice = motion_envelope(slow, 4.0), motion_envelope(doubled, 4.0)
    assert abs(len(twice.onsets_s) - len(once.onsets_s)) <= 1
    assert torch.corrcoef(torch.stack([once.envelope.values, twice.envelope.values]))[0, 1] > 0.9


@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_a_still_clip_is_exactly_silent(noise):
    ground = np.random.default_rng(1).uniform(60, 200, (64, 64))
    rng = np.random.default_rng(2)
    frames = [((ground + noise * rng.standard_normal(ground.shape)).clip(0, 255).astype(np.uint8), k / 25)
              for k in range(50)]
    result = motion_envelope(frames)
    assert result.envelope.values.shape == (200,)
    assert result.envelope.values.abs().max() == 0
    assert len(result.onsets_s) == 0


def test_exposure_and_cuts_make_no_hits():
    rng = np.random.default_rng(3)
    first, second = rng.uniform(40, 110, (64, 64)), rng.uniform(40, 200, (64, 64))
    frames = [(np.uint8((first if k < 25 else second) + min(k, 20)), k / 25) for k in range(50)]
    assert motion_envelope(frames, 2.0).envelope.values.max() == 0


def test_colour_size_and_dtype_do_not_matter():
    grey = list(draw(np.arange(0, 4, 1 / 25)))
    plain = motion_envelope(grey, 4.0).envelope.values
    colour = [(torch.from_numpy(frame)[None].expand(3, -1, -1), time) for frame, time in grey]
    floats = [(torch.from_numpy(frame) / 255, time) for frame, time in grey]
    large = [(np.kron(frame, np.ones((3, 3), np.uint8)), time) for frame, time in grey]
    torch.testing.assert_close(motion_envelope(colour, 4.0).envelope.values, plain, atol=1e-3, rtol=0)
    torch.testing.assert_close(motion_envelope(floats, 4.0).envelope.values, plain, atol=1e-4, rtol=0)
    assert torch.corrcoef(torch.stack([motion_envelope(large, 4.0).envelope.values, plain]))[0, 1] > 0.95


def test_rubbing_sounds_while_it_moves():
    """A block that slides to and fro for the second and third second only."""
    ground = np.random.default_rng(4).uniform(80, 120, (64, 64))
    frames = []
    for k in range(100):
        frame = ground.copy()
        left = int(24 + 20 * np.sin(max(0, min(k, 75) - 25) * 0.8))
        frame[20:44, left : left + 12] = 240
        frames.append((np.uint8(frame), k / 25))
    envelope = motion_envelope(frames, 4.0).envelope.values
    assert envelope[:90].max() == 0
    assert envelope[120:290].mean() > 0.04
    assert envelope[340:].max() < 0.01


def test_shift_moves_everything():
    times = np.arange(0, 4, 1 / 25)
    plain = motion_envelope(draw(times), 4.0)
    late = motion_envelope(draw(times), 4.0, MotionConfig(shift_s=0.05))
    torch.testing.assert_close(late.onsets_s, plain.onsets_s + 0.05)
    torch.testing.assert_close(late.envelope.values[105:-10], plain.envelope.values[100:-15], atol=1e-3, rtol=0)


def test_edges_of_input():
    motion = MotionEnvelope()
    assert motion.finish().envelope.values.shape == (0,)
    motion.push(np.zeros((8, 8), np.uint8), 0.0)
    assert motion.finish(0.5).envelope.values.tolist() == [0.0] * 50
    with pytest.raises(ValueError, match="order of display"):
        motion.push(np.zeros((8, 8), np.uint8), 0.0)
    with pytest.raises(ValueError, match="one size"):
        motion.push(np.zeros((8, 9), np.uint8), 0.1)
    with pytest.raises(ValueError, match="luma or"):
        motion.push(np.zeros((4, 8, 9), np.uint8), 0.1)


def test_regression_values():
    result = motion_envelope(draw(np.arange(0, 4, 1 / 25), noise=2.0), 4.0)
    values = [float(result.envelope.values.mean()), float(result.onsets_s.mean()), float(result.strengths.mean())]
    np.testing.assert_allclose(values, REGRESSION, atol=2e-3)


REGRESSION = [0.0536, 2.3222, 0.6740]
