"""Train the mini codec's autoencoder for a minute on scenes; exit code 1 unless its loss falls by a third.

Prints one line: steps, loss at the start and at the end (mean of the first and last fifth of the steps), seconds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from postsync import registry
from postsync.training.clips import scene_clips
from postsync.training.loop import train

COUNT = 32
WANTED_RATIO = 2 / 3


def main() -> int:
    """Run it; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    entry = registry.trainable("vae")
    objective = registry.load_objective("vae")
    dataset = scene_clips(objective.wants, arguments.seed, COUNT, clean=True)
    config = replace(entry.config, steps=10**9, max_minutes=arguments.minutes, batch_size=4, warmup=10, log_every=1,
                     seed=arguments.seed)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        train(objective, dataset, config, Path(folder), cpu=True)
        losses = [json.loads(line)["loss"] for line in (Path(folder) / "log.jsonl").read_text().splitlines()]
    part = max(1, len(losses) // 5)
    first, last = sum(losses[:part]) / part, sum(losses[-part:]) / part
    print(f"smoke training: {len(losses)} steps, loss {first:.3f} -> {last:.3f}, {time.monotonic() - started:.0f} s")
    return 0 if last < WANTED_RATIO * first else 1


if __name__ == "__main__":
    raise SystemExit(main())
