"""Clips per second of the procedural world: 4 s, 25 fps, 64x64, all nuisances, sound. `python benchmarks/scenes.py`"""

from __future__ import annotations

import argparse
import os
import platform
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one thread a process, set before numpy loads

from postsync.scenes.render import HELD_OUT_SEED, SceneConfig, render_scene


def render(seed: int) -> int:
    """Render one clip; returns the number of its frames."""
    frames = render_scene(seed, SceneConfig()).frames
    return 0 if frames is None else len(frames)


def machine() -> str:
    """Processor and number of cores."""
    names = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")] if Path("/proc/cpuinfo").exists() else []
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


def main() -> None:
    """Print the figure with its count, processes and machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=80)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    with ProcessPoolExecutor(arguments.processes) as pool:
        list(pool.map(render, range(arguments.processes)))  # start the processes outside the measurement
        start = time.perf_counter()
        list(pool.map(render, range(HELD_OUT_SEED, HELD_OUT_SEED + arguments.count), chunksize=4))
        spent = time.perf_counter() - start
    print(f"{arguments.count / spent:.1f} clips/s  ({arguments.count} clips from seed {HELD_OUT_SEED}, "
          f"{arguments.processes} processes, {machine()}, load {os.getloadavg()[0]:.1f})")


if __name__ == "__main__":
    main()
