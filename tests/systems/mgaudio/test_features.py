"""What is seen and heard of a clip: times, loops, levels, and feature files that do not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from postsync.errors import ConditionError
from postsync.systems.mgaudio.features import fitted, levelled, read_feature_file, repeated, steps_in, video_features


def unit_rows(count: int, width: int = 12) -> np.ndarray:
    rows = np.random.default_rng(0).standard_normal((count, width)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_four_a_second_rounded_down():
    assert [steps_in(s) for s in (8.16, 8.192, 10.0, 0.25, 0.1)] == [32, 32, 40, 1, 1]


def test_frames_are_picked_by_the_time_they_are_shown(cavp):
    frames = torch.randint(0, 255, (8, 3, 20, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    times = torch.tensor([0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.75, 0.9], dtype=torch.float64)
    expected = cavp.video_features(frames[[0, 2, 4, 6]])["steps"]
    torch.testing.assert_close(video_features(cavp, frames, times, 1.0), expected)
    torch.testing.assert_close(video_features(cavp, frames.float() / 255, times, 1.0), expected, atol=1e-5, rtol=1e-4)


def test_loops_and_levels():
    assert repeated(torch.arange(3), 7).tolist() == [0, 1, 2, 0, 1, 2, 0]
    sound = torch.tensor([0.1, 0.3, 0.2])
    assert torch.equal(levelled(sound, None), sound)
    level = levelled(sound, 0.5)
    assert level.mean().abs() < 1e-6
    assert level.abs().max().item() == pytest.approx(0.5)
    assert not fitted(torch.zeros(4), 6, 0.5).any()
    padded = fitted(sound, 6, 0.5)
    assert padded.shape == (6,)
    assert padded.abs().max().item() == pytest.approx(0.5)


@pytest.mark.parametrize("key", ["feat", "arr_0"])
def test_both_keys_are_read(tmp_path, key):
    rows = unit_rows(40)
    np.savez(tmp_path / "a.npz", **{key: rows})
    assert torch.equal(read_feature_file(tmp_path / "a.npz", 10.0, 12), torch.from_numpy(rows))
    np.save(tmp_path / "a.npy", rows)
    assert torch.equal(read_feature_file(tmp_path / "a.npy", 10.0, 12), torch.from_numpy(rows))


@pytest.mark.parametrize(("rows", "message"), [
    (unit_rows(40, 16), r"\(40, 16\).*\(steps, 12\)"), (unit_rows(80), "80 rows for a clip of 10.00 s.*40"),
    (unit_rows(20), "4 frames a second"), (2 * unit_rows(40), "unit length"), (unit_rows(40)[0], "shape")])
def test_files_of_another_width_rate_or_norm_are_refused(tmp_path, rows, message):
    np.savez(tmp_path / "a.npz", feat=rows)
    with pytest.raises(ConditionError, match=message):
        read_feature_file(tmp_path / "a.npz", 10.0, 12)


def test_files_that_hold_nothing_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", other=unit_rows(40))
    (tmp_path / "b.npz").write_bytes(b"PK cut short")
    with pytest.raises(ConditionError, match="holds other, not feat"):
        read_feature_file(tmp_path / "a.npz", 10.0, 12)
    for name in ("b.npz", "c.npz"):
        with pytest.raises(ConditionError, match="cannot be read"):
            read_feature_file(tmp_path / name, 10.0, 12)
