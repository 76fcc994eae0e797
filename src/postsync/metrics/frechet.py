"""Frechet distance between two sets of features, as squared 2-Wasserstein distance of their Gaussians; FAVD and FVD.

float64 throughout and without a matrix square root. With factors S = F F^T of both covariances, tr((S_x S_y)^(1/2)) is
the sum of the singular values of F_x^T F_y: taken as such where there are fewer rows than features, as square roots of
the eigenvalues of the symmetric F_x^T S_y F_x otherwise (metrics.md section 1). ddof is 1 for audio and 0 for FVD.

FAVD (section 11) takes picture and sound together, row by row of 0.96 s: I3D beside VGGish. I3D sums its rgb and its
flow stream; without flow, or with another flow than PWC-Net's, the result has another name. FVD (section 12) takes
I3D's 400 Kinetics logits of 16-frame excerpts. Published code (universome/stylegan-v `fvd2048_16f`) takes the first
2048 videos of a set, a real one's excerpt at a random place and a generated one's at its start, and skips shorter ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from .accumulators import PooledRows, finite_rows

I3D_WIDTH, VGGISH_WIDTH = 1024, 128
NUM_FRAMES, NUM_LOGITS = 16, 400  # of FVD
_FEWEST_ROWS = 2  # one row has no covariance
_TOLERATED = 1e-6  # a negative distance of up to this share of both traces is rounding
_BLOCK_ROWS = 4096  # rows are summed in blocks, so that no second copy of all of them is made


@dataclass(frozen=True)
class _Gaussian:
    mean: Tensor  # (D,)
    factor: Tensor  # (D, r), its product with its transpose is the covariance
    covariance: Tensor | None  # (D, D), only where there are at least D rows


def frechet_distance(features: Tensor, reference: Tensor, ddof: int = 1) -> Tensor:
    """Distance of feature rows (n, D) and (m, D), a float64 scalar >= 0.

    Fewer rows than features give a finite value that is biased upwards; `frechet_infinity` estimates it without.
    Raises ValueError for other shapes, for fewer than 2 rows, and for values that are not finite.
    """
    if features.dim() != 2 or reference.dim() != 2 or features.shape[1] != reference.shape[1]:
        raise ValueError(f"features of {tuple(features.shape)} and {tuple(reference.shape)}; give (n, D) and (m, D)")
    return _distance(_of_rows(features, ddof), _of_rows(reference, ddof))


def frechet_from_statistics(mean: Tensor, covariance: Tensor, reference_mean: Tensor,
                            reference_covariance: Tensor) -> Tensor:
    """Distance of two Gaussians given by means (D,) and covariances (D, D), a float64 scalar >= 0."""
    covariance, reference_covariance = covariance.double(), reference_covariance.double()
    return _distance(_Gaussian(mean.double(), covariance_factor(covariance), covariance),
                     _Gaussian(reference_mean.double(), covariance_factor(reference_covariance), reference_covariance))


def frechet_infinity(features: Tensor, reference: Tensor, generator: np.random.Generator, num_points: int = 25,
                     least_rows: int = 500, ddof: int = 1) -> tuple[float, float]:
    """The distance for infinitely many generated rows, and the r^2 of the line that predicts it.

    Distances of `num_points` draws (with replacement) of `least_rows` to n of the `features` (n, D), fitted by a line
    in 1/n, whose intercept is returned (microsoft/fadtk `score_inf`). Raises ValueError for n <= `least_rows`.
    """
    if len(features) <= least_rows:
        raise ValueError(f"{len(features)} rows; extrapolation needs more than {least_rows}")
    of_reference = _of_rows(reference, ddof)
    counts = np.linspace(least_rows, len(features), num_points).astype(int)
    distances = np.zeros(num_points)
    for i, count in enumerate(counts):
        chosen = torch.from_numpy(generator.integers(len(features), size=count))
        distances[i] = _distance(_of_rows(features[chosen.to(features.device)], ddof), of_reference)
    slope, intercept = np.polyfit(1 / counts, distances, 1)
    left = np.square(distances - (slope / counts + intercept)).sum() / np.square(distances - np.mean(distances)).sum()
    return float(intercept), float(1 - left)


def covariance_factor(covariance: Tensor) -> Tensor:
    """F (D, D) with F F^T = covariance (D, D), which is positive semi-definite: Cholesky's where it exists."""
    lower, failed = torch.linalg.cholesky_ex(covariance)
    if not failed:
        return lower
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * values.clamp_min(0).sqrt()


def trace_of_root(factor: Tensor, other: Tensor, other_covariance: Tensor | None = None) -> Tensor:
    """tr((S_x S_y)^(1/2)) of covariances with factors (D, r) and (D, q); of full rank faster with S_y (D, D)."""
    if other_covariance is None or factor.shape[0] != factor.shape[1]:
        return torch.linalg.svdvals(factor.T @ other).sum()
    product = factor.T @ other_covariance @ factor
    return torch.linalg.eigvalsh((product + product.T) / 2).clamp_min(0).sqrt().sum()


def merge_moments(stacked: Tensor) -> Tensor:
    """Moments of several sets of rows, (k, D + 1, D + 1), as those of all their rows, (D + 1, D + 1).

    Layout: count at [0, 0], mean at [0, 1:], sum of outer products about the mean at [1:, 1:]. Means are moved by
    their differences (the parallel form of Welford's update), so features far from 0 lose nothing.
    """
    merged = stacked[0].clone()
    for moments in stacked[1:]:
        _merge_into(merged, moments)
    return merged


def _merge_into(merged: Tensor, moments: Tensor) -> None:
    count, added = merged[0, 0].clone(), moments[0, 0]
    if added == 0:
        return
    step = moments[0, 1:] - merged[0, 1:]
    merged[0, 0] += added
    merged[0, 1:] += step * (added / merged[0, 0])
    merged[1:, 1:] += moments[1:, 1:]
    merged[1:, 1:].addr_(step, step * (count * added / merged[0, 0]))


def _add_rows(moments: Tensor, rows: Tensor) -> None:
    """Add rows (n, D) to moments (D + 1, D + 1) in place."""
    for block in rows.split(_BLOCK_ROWS):
        block = block.detach().to(moments)
        of_block = torch.zeros_like(moments)
        of_block[0, 0], of_block[0, 1:] = len(block), block.mean(0)
        of_block[1:, 1:] = _gram(block - of_block[0, 1:])
        _merge_into(moments, of_block)


def _gram(rows: Tensor) -> Tensor:
    """rows^T rows, (n, D) -> (D, D). numpy sees that both factors are one matrix and does half the work (BLAS syrk)."""
    if rows.device.type != "cpu":
        return rows.T @ rows
    array = rows.numpy()
    return torch.from_numpy(array.T @ array)


def _empty_moments(num_features: int) -> Tensor:
    return torch.zeros(num_features + 1, num_features + 1, dtype=torch.float64)


def _of_rows(rows: Tensor, ddof: int) -> _Gaussian:
    if len(rows) < _FEWEST_ROWS:
        raise ValueError(f"a covariance needs at least {_FEWEST_ROWS} rows, there are {len(rows)}")
    if len(rows) < rows.shape[1]:
        rows = finite_rows(rows, "features")
        mean = rows.mean(0)
        return _Gaussian(mean, ((rows - mean) / (len(rows) - ddof) ** 0.5).T, None)
    moments = _empty_moments(rows.shape[1]).to(rows.device)
    _add_rows(moments, rows)
    finite_rows(moments[0], "features")  # a mean is finite only where all its rows are
    return _of_moments(moments, ddof)


def _of_moments(moments: Tensor, ddof: int) -> _Gaussian:
    covariance = moments[1:, 1:] / (moments[0, 0] - ddof)
    return _Gaussian(moments[0, 1:], covariance_factor(covariance), covariance)


def _distance(first: _Gaussian, second: _Gaussian) -> Tensor:
    if first.covariance is not None and second.covariance is not None:
        cross = trace_of_root(first.factor, second.factor, second.covariance)
    else:
        cross = trace_of_root(first.factor, second.factor)
    traces = first.factor.square().sum() + second.factor.square().sum()
    distance = (first.mean - second.mean).square().sum() + traces - 2 * cross
    return distance.clamp_min(0) if distance > -_TOLERATED * traces else distance


class FrechetDistance(PooledRows):
    """Frechet distance of two sets of rows (n, D), of any D; with `num_features`, their D, in memory of the order of
    D x D, whatever the number of rows.

    `update(features, real=...)` takes rows of one side. With `num_features` they wait until there are as many as
    features and are then merged into the moments of their side; else all are kept.
    """

    higher_is_better = False

    def __init__(self, num_features: int | None = None, ddof: int = 1) -> None:
        super().__init__()
        self.num_features, self.ddof = num_features, ddof
        for side in self._sides():
            self.add_state(f"{side}_moments", default=_empty_moments(num_features or 0), dist_reduce_fx=merge_moments)

    def update(self, features: Tensor, real: bool) -> None:
        """Add rows (n, D) of the real or the generated side. Raises ValueError for values that are not finite."""
        if features.dim() != 2 or self.num_features not in (None, features.shape[1]):
            raise ValueError(f"features of {tuple(features.shape)}; give (n, {self.num_features or 'D'})")
        side = "real" if real else "generated"
        getattr(self, side).append(finite_rows(features, "features").to(self.device))
        self._merge_waiting(side)

    def count(self, real: bool) -> int:
        """Rows of one side so far."""
        side = "real" if real else "generated"
        return int(getattr(self, f"{side}_moments")[0, 0]) + sum(map(len, getattr(self, side)))

    def value(self, generated: Tensor, real: Tensor) -> Tensor:
        """Distance of the rows (n, D) and (m, D), >= 0; NaN for fewer than 2 on a side."""
        if min(len(generated), len(real)) < _FEWEST_ROWS:
            return self.undefined()
        return frechet_distance(generated, real, self.ddof)

    def compute(self) -> Tensor:
        """`value` of all rows that were added."""
        if min(self.count(real=False), self.count(real=True)) < _FEWEST_ROWS:
            return self.undefined()
        return _distance(self._gaussian("generated"), self._gaussian("real"))

    def _gaussian(self, side: str) -> _Gaussian:
        waiting, moments = self._waiting(side), getattr(self, f"{side}_moments")
        if waiting is not None and not moments[0, 0]:
            return _of_rows(waiting, self.ddof)
        if waiting is not None:
            moments = moments.clone()
            _add_rows(moments, waiting)
        return _of_moments(moments, self.ddof)

    def _waiting(self, side: str) -> Tensor | None:
        rows = getattr(self, side)
        rows = [rows] if isinstance(rows, Tensor) else rows  # torchmetrics joins the list when it synchronises
        return torch.cat(rows) if rows else None

    def _merge_waiting(self, side: str) -> None:
        waiting = getattr(self, side)
        if self.num_features is not None and sum(map(len, waiting)) >= self.num_features:
            _add_rows(getattr(self, f"{side}_moments"), torch.cat(waiting))
            waiting.clear()


def favd_rows(i3d: Tensor, vggish: Tensor) -> Tensor:
    """Rows of one clip, (min(n, m), 1152), from I3D (n, 1024) and VGGish (m, 128); the longer is cut to the shorter.

    A clip of less than a second has none. Raises ValueError for inputs that are not rows.
    """
    if i3d.dim() != 2 or vggish.dim() != 2:
        raise ValueError(f"features of {tuple(i3d.shape)} and {tuple(vggish.shape)}; give rows of I3D and of VGGish")
    length = min(len(i3d), len(vggish))
    return torch.cat([i3d[:length].double(), vggish[:length].double()], 1)


class FAVD(FrechetDistance):
    """Frechet distance over the joint rows of all clips, ddof 1."""

    def __init__(self, num_features: int | None = I3D_WIDTH + VGGISH_WIDTH) -> None:
        super().__init__(num_features)

    def add_clip(self, i3d: Tensor, vggish: Tensor, real: bool) -> int:
        """Add one clip, I3D (n, 1024) and VGGish (m, 128), and return how many rows it gave."""
        rows = favd_rows(i3d, vggish)
        self.update(rows, real=real)
        return len(rows)


def first_frame(num_frames: int, drawn_for: str | None = None, seed: int = 0) -> int | None:
    """First frame of FVD's excerpt of a video of `num_frames`; None if the video is too short.

    `drawn_for`: clip id of a real video, whose start is random, by `seed` and this id; None: a generated video, 0.
    """
    if num_frames < NUM_FRAMES:
        return None
    if drawn_for is None:
        return 0
    generator = torch.Generator().manual_seed(seed + crc32(drawn_for.encode()))
    return int(torch.randint(num_frames - NUM_FRAMES + 1, (), generator=generator))


class FVD(FrechetDistance):
    """Frechet distance of I3D logits (n, 400), one row a clip, ddof 0."""

    def __init__(self, num_features: int | None = NUM_LOGITS) -> None:
        super().__init__(num_features, ddof=0)
