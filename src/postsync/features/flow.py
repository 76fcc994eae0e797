"""Dense optical flow between pictures after Farneback (2003), and the peaks of motion that AV-Align counts.

Every neighbourhood is described by a quadratic polynomial; the displacement of the polynomial is the flow. Published
AV-Align code takes OpenCV's `calcOpticalFlowFarneback` (pyramid 0.5, 3 levels, window 15, 3 iterations, poly_n 5,
poly_sigma 1.2, flags 0; metrics.md section 8), and so does this file where OpenCV is installed (extra `eval`).
Otherwise it computes the flow itself, by the same settings and edge rules, so that peaks agree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Backend = Literal["opencv", "postsync"]

_LUMA = (9798, 19235, 3735)  # 0.299, 0.587, 0.114 in 15 bits, as the 8-bit conversion of OpenCV
_EDGE_TRUST = (0.14, 0.14, 0.4472, 0.4472, 0.4472)  # weight of the outermost pixels
_LEAST_SIDE = 32  # no pyramid level is smaller
_LEAST_DETERMINANT = 1e-3  # keeps the flow of flat neighbourhoods finite
_BLOCK_PIXELS = 1 << 16  # pictures are processed in blocks of this size, which fit a processor's cache


@dataclass(frozen=True)
class FlowConfig:
    """Farneback's settings; the defaults are those of all AV-Align variants."""

    pyramid_scale: float = 0.5
    levels: int = 3  # above the full picture
    window: int = 15  # odd; pixels over which neighbourhoods must agree
    iterations: int = 3
    poly_radius: int = 5  # `poly_n`
    poly_sigma: float = 1.2


def luma(frames: Tensor) -> Tensor:
    """Brightness of pictures (F, 3, H, W) uint8 RGB: (F, H, W) uint8, rounded as OpenCV does."""
    red, green, blue = frames.to(torch.int32).unbind(1)
    weighted = _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue
    return ((weighted + (1 << 14)) >> 15).to(torch.uint8)


def flow_backend() -> Backend:
    """The default flow implementation: "opencv" where cv2 is installed, else "postsync"."""
    return "opencv" if find_spec("cv2") is not None else "postsync"


def flow_magnitudes(frames: Tensor, config: FlowConfig | None = None, backend: Backend | None = None) -> Tensor:
    """Mean length of the flow in pixels a frame, (F,) float64, of luma frames (F, H, W) uint8.

    Entry i is the motion from frame i - 1 to i; entry 0 repeats entry 1, as in all AV-Align variants. `backend`: None
    for `flow_backend()`. Raises ValueError for fewer than 2 frames.
    """
    if frames.dim() != 3 or len(frames) < 2:
        raise ValueError(f"frames of {tuple(frames.shape)}; motion needs (F, H, W) with at least 2 frames")
    trajectory = torch.cat([torch.hypot(flow[:, 0], flow[:, 1]).double().mean((1, 2))
                            for flow in flow_blocks(frames, config, backend)])
    return torch.cat([trajectory[:1], trajectory])


def flow_blocks(frames: Tensor, config: FlowConfig | None = None,
                backend: Backend | None = None) -> Iterator[Tensor]:
    """Flow between all neighbouring luma frames (F, H, W) uint8, in blocks: (P, 2, H, W) float32, F - 1 in all.

    `backend`: None for `flow_backend()`.
    """
    config = config or FlowConfig()
    if (backend or flow_backend()) == "opencv":
        yield from (_opencv_flow(before, after, config) for before, after in pairwise(frames))
        return
    # the polynomials of a frame are computed once, for the pair before it and the pair after it
    block = max(1, _BLOCK_PIXELS // frames[0].numel())
    last = _pyramid(frames[:1], config)
    for start in range(1, len(frames), block):
        after = _pyramid(frames[start : start + block], config)
        before = [torch.cat([old, new[:-1]]) for old, new in zip(last, after, strict=True)]
        yield _coarse_to_fine(before, after, config)
        last = [level[-1:] for level in after]


def _opencv_flow(before: Tensor, after: Tensor, config: FlowConfig) -> Tensor:
    """Flow (1, 2, H, W) between two luma frames (H, W) uint8 by OpenCV."""
    import cv2

    flow = np.zeros((*before.shape, 2), np.float32)
    cv2.calcOpticalFlowFarneback(before.cpu().numpy(), after.cpu().numpy(), flow, config.pyramid_scale, config.levels,
                                 config.window, config.iterations, config.poly_radius, config.poly_sigma, 0)
    return torch.from_numpy(flow).permute(2, 0, 1)[None].to(before.device)


def motion_peaks(trajectory: Tensor, fps: float, threshold: float | None = None) -> Tensor:
    """Times (K,) in seconds of the strict local maxima of a trajectory (F,); ends are none.

    `threshold`: peaks below it do not count (TempoTokens of 2025 asks for 0.1 pixels).
    """
    middle = trajectory[1:-1]
    peaks = (middle > trajectory[:-2]) & (middle > trajectory[2:])
    if threshold is not None:
        peaks &= middle >= threshold
    return (torch.nonzero(peaks)[:, 0] + 1).double() / fps


def _pyramid(pictures: Tensor, config: FlowConfig) -> list[Tensor]:
    """Polynomial terms (B, 5, h, w) of pictures (B, H, W) on every level, coarsest first.

    One picture at a time, since libraries round differently for other batch sizes: equal pictures must have equal
    terms.
    """
    height, width = pictures.shape[-2:]
    levels = 0
    while levels < config.levels and min(height, width) * config.pyramid_scale ** (levels + 1) >= _LEAST_SIDE:
        levels += 1
    pictures, terms = pictures.float(), []
    for level in range(levels, -1, -1):
        rows, columns = (_reduction(side, config.pyramid_scale**level).to(pictures) for side in (height, width))
        terms.append(torch.cat([_polynomials((rows @ picture @ columns.T)[None, None], config)
                                for picture in pictures]))
    return terms


@lru_cache(maxsize=32)
def _reduction(length: int, scale: float) -> Tensor:
    """Matrix (round(length * scale), length) that blurs one side of a picture and samples it linearly.

    Gaussian with mirrored edges and sigma (1 / scale - 1) / 2; binomial (1, 2, 1) / 4 on the full picture.
    """
    sigma = (1 / scale - 1) / 2
    if sigma > 0:
        size = max(3, round(sigma * 5) | 1)
        kernel = torch.exp(-((torch.arange(size) - size // 2) ** 2) / (2 * sigma**2))
        kernel = kernel / kernel.sum()
    else:
        kernel = torch.tensor([0.25, 0.5, 0.25])
    padded = F.pad(torch.eye(length).unsqueeze(1), (len(kernel) // 2,) * 2, mode="reflect")
    blurred = F.conv1d(padded, kernel.view(1, 1, -1))
    return F.interpolate(blurred, round(length * scale), mode="linear", align_corners=False)[:, 0].T.contiguous()


@lru_cache(maxsize=4)
def _polynomial_filters(radius: int, sigma: float) -> tuple[Tensor, Tensor]:
    """Separable weighted least squares: columns (3, 1, K, 1), then rows (5, 3, 1, K) giving y, x, yy, xx, xy."""
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    weight = torch.exp(-(offsets**2) / (2 * sigma**2))
    weight = weight / weight.sum()
    moments = torch.stack([weight, offsets * weight, offsets**2 * weight])  # of order 0, 1, 2
    second, fourth = moments[2].sum(), (offsets**4 * weight).sum()
    # normal equations of 1, xx and yy; those of x, y and xy stand alone
    square = torch.tensor([[1.0, second, second], [second, fourth, second**2], [second, second**2, fourth]])
    inverse = torch.linalg.inv(square.double())
    rows = torch.zeros(5, 3, 1, len(offsets), dtype=torch.float64)
    rows[0, 1, 0], rows[1, 0, 0] = moments[0] / second, moments[1] / second
    rows[2, 0, 0], rows[2, 2, 0] = moments[0] * inverse[0, 2], moments[0] * inverse[2, 2]
    rows[3, 0, 0] = moments[0] * inverse[0, 1] + moments[2] * inverse[1, 1]
    rows[4, 1, 0] = moments[1] / second**2
    return moments[:, None, :, None].float(), rows.float()


def _polynomials(pictures: Tensor, config: FlowConfig) -> Tensor:
    """Coefficients of y, x, yy, xx, xy around each pixel of (B, 1, H, W): (B, 5, H, W); edges are continued."""
    columns, rows = (filters.to(pictures) for filters in _polynomial_filters(config.poly_radius, config.poly_sigma))
    padded = F.pad(pictures, (config.poly_radius,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, columns), rows)


def _coarse_to_fine(first: list[Tensor], second: list[Tensor], config: FlowConfig) -> Tensor:
    flow = torch.zeros(len(first[0]), 2, *first[0].shape[-2:]).to(first[0])
    for before, after in zip(first, second, strict=True):
        size = before.shape[-2:]
        if flow.shape[-2:] != size:
            flow = F.interpolate(flow, size, mode="bilinear", align_corners=False) / config.pyramid_scale
        half_trust, exact = _edge_trust(*size).to(before) / 2, after.double()
        for _ in range(config.iterations):
            flow = _solved(_box_mean(_equations(before, exact, flow, half_trust), config.window))
    return flow


@lru_cache(maxsize=16)
def _edge_trust(height: int, width: int) -> Tensor:
    sides = []
    for length in (height, width):
        side = torch.ones(length)
        depth = min(len(_EDGE_TRUST), length)
        edge = torch.tensor(_EDGE_TRUST[:depth])
        side[:depth] *= edge
        side[length - depth :] *= edge.flip(0)
        sides.append(side)
    return torch.outer(*sides)


def _equations(before: Tensor, after: Tensor, flow: Tensor, half_trust: Tensor) -> Tensor:
    """Normal equations of the motion at each pixel, (P, 5, H, W): G11, G12, G22, h1, h2, in order y, x.

    `after` is in float64, so that where nothing moves its sample is the pixel itself and the step exactly 0.
    """
    height, width = flow.shape[-2:]
    x = flow[:, 0] + torch.arange(width).to(flow)
    y = flow[:, 1] + torch.arange(height).to(flow)[:, None]
    inside = ((x >= 0) & (x < width - 1) & (y >= 0) & (y < height - 1))[:, None].to(before)
    grid = torch.empty(*x.shape, 2, dtype=torch.float64, device=x.device)
    for place, at, length in zip(grid.unbind(-1), (x, y), (width, height)):
        torch.mul(at.double(), 2 / (length - 1), out=place).sub_(1)
    moved = F.grid_sample(after, grid, padding_mode="border", align_corners=True).to(before).mul_(inside)
    # where the flow leaves the picture only the first one counts
    yy, xx, xy = moved[:, 2:].add_(before[:, 2:] * (2 - inside)).mul_(half_trust).unbind(1)
    xy = xy / 2
    # a step is right when the linear terms and the quadratic ones agree
    linear_y, linear_x = (before[:, :2] - moved[:, :2]).mul_(half_trust).unbind(1)
    step_y = linear_y.addcmul(yy, flow[:, 1]).addcmul_(xy, flow[:, 0])
    step_x = linear_x.addcmul(xy, flow[:, 1]).addcmul_(xx, flow[:, 0])
    equations = torch.empty_like(before)
    g11, g12, g22, h1, h2 = equations.unbind(1)
    torch.mul(yy, yy, out=g11).addcmul_(xy, xy)
    torch.add(yy, xx, out=g12).mul_(xy)
    torch.mul(xx, xx, out=g22).addcmul_(xy, xy)
    torch.mul(yy, step_y, out=h1).addcmul_(xy, step_x)
    torch.mul(xy, step_y, out=h2).addcmul_(xx, step_x)
    return equations


def _box_mean(values: Tensor, window: int) -> Tensor:
    """Mean over `window` x `window` pixels around each of (P, C, H, W), edges continued."""
    padded = F.pad(values, (window // 2,) * 4, mode="replicate")
    return _running_sum(_running_sum(padded, window, -1), window, -2) / window**2


def _running_sum(values: Tensor, window: int, dim: int) -> Tensor:
    """Sums of `window` neighbours along `dim` by doubling: (..., N) -> (..., N - window + 1)."""
    length = values.shape[dim] - window + 1
    total, sums, width, done = None, values, 1, 0
    for bit in range(math.floor(math.log2(window)) + 1):
        if window >> bit & 1:
            part = sums.narrow(dim, done, length)
            total = part if total is None else total + part
            done += width
        if width * 2 <= window:
            sums = sums.narrow(dim, 0, sums.shape[dim] - width) + sums.narrow(dim, width, sums.shape[dim] - width)
            width *= 2
    assert total is not None
    return total


def _solved(equations: Tensor) -> Tensor:
    g11, g12, g22, h1, h2 = equations.unbind(1)
    scale = 1 / (g11 * g22 - g12 * g12 + _LEAST_DETERMINANT)
    return torch.stack([(g11 * h2 - g12 * h1) * scale, (g22 * h1 - g12 * h2) * scale], 1)
