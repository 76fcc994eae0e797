"""Dense flow against official trajectories, and on pictures whose motion is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from postsync.features import flow as module
from postsync.features.flow import (
    FlowConfig,
    flow_backend,
    flow_blocks,
    flow_magnitudes,
    luma,
    motion_peaks,
)


def texture(height: int = 64, width: int = 80, seed: int = 0) -> torch.Tensor:
    """Smooth noise (height + 20, width + 20), 0..255, from which moved windows are cut."""
    noise = torch.randn(1, 1, height + 20, width + 20, generator=torch.Generator().manual_seed(seed))
    smooth = F.avg_pool2d(F.avg_pool2d(noise, 7, 1, 3), 5, 1, 2)[0, 0]
    return (smooth - smooth.min()) / (smooth.max() - smooth.min()) * 255


def window(picture: torch.Tensor, dx: int, dy: int, height: int = 64, width: int = 80) -> torch.Tensor:
    """The part that a picture moved by (dx, dy) shows."""
    return picture[10 - dy : 10 - dy + height, 10 - dx : 10 - dx + width].round().byte()


def flow_of(frames: torch.Tensor) -> torch.Tensor:
    """Flow (F - 1, 2, H, W) between neighbours, by postsync's own code."""
    return torch.cat([*flow_blocks(frames, backend="postsync")])


@pytest.mark.golden
def test_trajectory_and_peaks_of_the_official_clip(golden):
    folder = golden("eval_metrics")
    case, expected = load_file(folder / "av.safetensors"), json.loads((folder / "expected_av.json").read_text())
    trajectory, fps = flow_magnitudes(case["gray_frames"], backend="postsync"), expected["clip"]["fps"]
    # rounding decides whether a point on the very edge is followed, which shows where nearly nothing moves
    torch.testing.assert_close(trajectory, case["flow_trajectory"], atol=3e-4, rtol=0)
    assert motion_peaks(trajectory, fps).tolist() == case["video_peaks_nothreshold_s"].tolist()
    assert motion_peaks(trajectory, fps, 0.1).tolist() == case["video_peaks_threshold_s"].tolist()


@pytest.mark.golden
def test_trajectory_from_colours(golden):
    folder = golden("sv_av_align")
    case, fps = load_file(folder / "case.safetensors"), json.loads((folder / "config.json").read_text())["fps"]
    trajectory = flow_magnitudes(luma(case["frames_bgr"].flip(-1).permute(0, 3, 1, 2)), backend="postsync")
    torch.testing.assert_close(trajectory, case["flow_magnitude"], atol=3e-4, rtol=1e-3)
    assert motion_peaks(trajectory, fps).tolist() == case["video_peaks"].tolist()


@pytest.mark.golden
def test_official_local_maxima(golden):
    case = json.loads((golden("eval_metrics") / "expected_av.json").read_text())["local_maxima"]
    trajectory = torch.tensor(case["trajectory"], dtype=torch.float64)
    assert motion_peaks(trajectory, case["fps"]).tolist() == case["svg_baseline"]
    assert motion_peaks(trajectory, case["fps"], 0.1).tolist() == case["tempotokens_2025"]


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (2, 0), (0, -3), (-4, 1), (4, 3)])
def test_a_moved_picture_moves_everywhere(dx, dy):
    picture = texture()
    flow = flow_of(torch.stack([window(picture, 0, 0), window(picture, dx, dy)]))
    assert flow.shape == (1, 2, 64, 80)
    inner = flow[0, :, 16:-16, 16:-16].flatten(1).median(1).values
    torch.testing.assert_close(inner, torch.tensor([float(dx), float(dy)]), atol=0.1, rtol=0.03)


def test_pairs_do_not_see_each_other():
    picture = texture()
    frames = torch.stack([window(picture, dx, dy) for dx, dy in ((0, 0), (1, 0), (1, 3), (0, 3), (0, 3))])
    together = flow_of(frames)
    alone = torch.cat([flow_of(frames[i : i + 2]) for i in range(4)])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)
    magnitudes = flow_magnitudes(frames, backend="postsync")
    torch.testing.assert_close(magnitudes[1:], alone.double().norm(dim=1).mean((1, 2)), atol=1e-4, rtol=0)
    assert magnitudes[0] == magnitudes[1]
    assert magnitudes[4] < 0.01 < magnitudes[1] < magnitudes[2]  # what stands still moves at the edge, a little


def test_blocks_do_not_change_the_trajectory(monkeypatch):
    frames = torch.stack([window(texture(), i % 3, 0) for i in range(6)])
    whole = flow_magnitudes(frames, backend="postsync")
    monkeypatch.setattr("postsync.features.flow._BLOCK_PIXELS", 1)
    torch.testing.assert_close(flow_magnitudes(frames, backend="postsync"), whole, atol=1e-5, rtol=1e-5)


def test_polynomials_are_least_squares():
    """A quadratic picture is described exactly, so its coefficients are known."""
    from postsync.features.flow import _polynomials

    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    picture = 3 + 0.5 * y - 0.25 * x + 0.1 * y * y - 0.05 * x * x + 0.02 * x * y
    found = _polynomials(picture[None, None], FlowConfig())[0, :, 12, 20]
    expected = [0.5 + 0.2 * 12 + 0.02 * 20, -0.25 - 0.1 * 20 + 0.02 * 12, 0.1, -0.05, 0.02]
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-4)


def test_luma_rounds_as_eight_bit_code_does():
    colours = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [1, 1, 1]], dtype=torch.uint8)
    assert luma(colours[:, :, None, None]).flatten().tolist() == [76, 150, 29, 255, 1]


def test_peaks_are_strict_and_not_at_the_ends():
    trajectory = torch.tensor([9.0, 1, 2, 2, 1, 0.05, 0.08, 0.02, 5])
    assert motion_peaks(trajectory, 4).tolist() == [1.5]
    assert motion_peaks(trajectory, 4, threshold=0.1).tolist() == []


def test_bad_pictures_are_refused():
    with pytest.raises(ValueError, match="at least 2 frames"):
        flow_magnitudes(torch.zeros(1, 32, 32, dtype=torch.uint8))


def test_regression_values():
    picture = texture()
    frames = torch.stack([window(picture, *motion) for motion in ((0, 0), (2, 1), (5, -2), (5, -2))])
    torch.testing.assert_close(flow_magnitudes(frames, backend="postsync"),
                               torch.tensor(REGRESSION, dtype=torch.float64), atol=2e-3, rtol=0)


REGRESSION = [2.2305, 2.2305, 4.2389, 0.0017]


def moving() -> torch.Tensor:
    """Luma (4, 64, 80) of a texture that moves, and then stands still."""
    return torch.stack([window(texture(), *motion) for motion in ((0, 0), (2, 1), (5, -2), (5, -2))])


def test_opencv_gives_the_flow_of_ours():
    pytest.importorskip("cv2")
    ours, theirs = (torch.cat([*flow_blocks(moving(), backend=name)]) for name in ("postsync", "opencv"))
    assert theirs.shape == ours.shape == (3, 2, 64, 80)
    torch.testing.assert_close(theirs[..., 8:-8, 8:-8], ours[..., 8:-8, 8:-8], atol=0.02, rtol=0)
    trajectories = (flow_magnitudes(moving(), backend=name) for name in ("postsync", "opencv"))
    torch.testing.assert_close(*trajectories, atol=2e-3, rtol=0)


@pytest.mark.golden
def test_opencv_gives_the_peaks_of_the_official_clip(golden):
    pytest.importorskip("cv2")
    folder = golden("eval_metrics")
    case, expected = load_file(folder / "av.safetensors"), json.loads((folder / "expected_av.json").read_text())
    trajectory, fps = flow_magnitudes(case["gray_frames"], backend="opencv"), expected["clip"]["fps"]
    torch.testing.assert_close(trajectory, case["flow_trajectory"], atol=3e-4, rtol=0)
    assert motion_peaks(trajectory, fps).tolist() == case["video_peaks_nothreshold_s"].tolist()


@pytest.mark.parametrize("backend", ["opencv", "postsync"])
def test_opencv_is_taken_where_it_is_installed(monkeypatch, backend):
    monkeypatch.setattr(module, "find_spec", lambda name: object() if backend == "opencv" else None)
    calls: list[tuple[int, ...]] = []

    def recorded(before: torch.Tensor, after: torch.Tensor, config: FlowConfig) -> torch.Tensor:
        calls.append(tuple(before.shape))
        return torch.ones(1, 2, *before.shape)

    monkeypatch.setattr(module, "_opencv_flow", recorded)
    assert flow_backend() == backend
    trajectory = flow_magnitudes(moving())
    assert calls == ([(64, 80)] * 3 if backend == "opencv" else [])
    assert trajectory.tolist() == pytest.approx([2**0.5] * 4) or backend == "postsync"
