"""Frechet distance against the published route by scipy's `sqrtm`, in one process. `python benchmarks/frechet.py`

Rows are ReLU features whose spectrum falls off, as embeddings' do. Whole: from rows to the value, two sets of N rows.
Memory: what the streamed form takes in its own process, rows arriving in blocks of 1,000.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from postsync.metrics.frechet import FrechetDistance, covariance_factor, frechet_distance, trace_of_root

SEED = 0


def rows(count: int, width: int, seed: int) -> Tensor:
    """Features (count, width) float32 of one of two related distributions."""
    generator = torch.Generator().manual_seed(SEED)
    mixing = torch.randn(width, width, generator=generator) * torch.arange(1, width + 1).float().rsqrt()[:, None]
    noise = torch.randn(count, width, generator=torch.Generator().manual_seed(1 + seed))
    return torch.relu((noise * (1 + 0.2 * seed)) @ mixing + 0.1 * seed)


def published_trace(first: np.ndarray, second: np.ndarray) -> float:
    """tr((S_x S_y)^(1/2)) as in audioldm_eval, av-benchmark, SpecVQGAN and the FAVD toolkit."""
    from scipy.linalg import sqrtm

    root = sqrtm(first @ second)
    if not np.isfinite(root).all():
        offset = 1e-6 * np.eye(len(first))
        root = sqrtm((first + offset) @ (second + offset))
    return float(np.trace(root.real))


def published_statistics(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and covariance (D, D) as the same code takes them."""
    return rows.mean(0), np.cov(rows, rowvar=False)


def our_trace(first: Tensor, second: Tensor) -> float:
    """The trace term as `frechet_from_statistics` computes it."""
    return float(trace_of_root(covariance_factor(first), covariance_factor(second), second))


def peak_mib() -> float:
    """Greatest resident memory of this process so far (Linux); unlike `getrusage` it knows nothing of the parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def streamed_memory_mib(count: int, width: int) -> float:
    """Greatest resident memory that the streamed form adds, in MiB; run in a process of its own."""
    torch.linalg.eigvalsh(torch.eye(64, dtype=torch.float64))  # libraries are loaded before the first reading
    start = peak_mib()
    metric = FrechetDistance(width)
    for side in range(2):
        for block in range(0, count, 1000):
            size = min(1000, count - block)
            metric.update(torch.randn(size, width, generator=torch.Generator().manual_seed(block)), real=side == 0)
    metric.compute()
    return peak_mib() - start


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """Value and processor seconds of one call: on a machine that does other work too, the clock says little."""
    start = time.process_time()
    value = function()
    return value, time.process_time() - start


def compare(width: int, count: int) -> str:
    """One line of the table."""
    first, second = rows(count, width, 0), rows(count, width, 1)
    (mean, covariance), first_s = timed(lambda: published_statistics(first.numpy()))
    (other_mean, other_covariance), second_s = timed(lambda: published_statistics(second.numpy()))
    theirs, their_s = timed(lambda: published_trace(covariance, other_covariance))
    step = mean - other_mean
    theirs_whole = float(step @ step + np.trace(covariance) + np.trace(other_covariance) - 2 * theirs)
    their_whole_s = first_s + second_s + their_s
    ours, our_s = timed(lambda: our_trace(torch.from_numpy(covariance), torch.from_numpy(other_covariance)))
    ours_whole, our_whole_s = timed(lambda: float(frechet_distance(first, second)))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        memory = pool.apply(streamed_memory_mib, (count, width))
    return (f"{width:5d} {count:6d} {our_s:9.3f} {their_s:9.3f} {their_s / our_s:6.1f} {abs(ours / theirs - 1):9.1e} "
            f"{our_whole_s:9.3f} {their_whole_s:9.3f} {their_whole_s / our_whole_s:6.1f} "
            f"{abs(ours_whole / theirs_whole - 1):9.1e} {memory:8.0f} {width * width * 8 / 2**20:8.1f}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="+", default=[128, 512, 2048])
    parser.add_argument("--count", type=int, default=15000, help="rows a side")
    options = parser.parse_args()
    print(f"seed {SEED}, {platform.machine()}, {torch.get_num_threads()} threads, processor seconds; r = scipy / ours, "
          "diff = relative difference, mem = added by the streamed form, MiB")
    print(f"{'D':>5} {'N':>6} {'trace':>9} {'sqrtm':>9} {'r':>6} {'diff':>9} {'whole':>9} {'scipy':>9} {'r':>6} "
          f"{'diff':>9} {'mem':>8} {'one DxD':>8}")
    for width in options.widths:
        print(compare(width, options.count), flush=True)


if __name__ == "__main__":
    main()
