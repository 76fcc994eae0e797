"""How well the generated sound follows real clips, end to end: `python benchmarks/real_clips.py CLIPS [--seeds 0 1 2]`

CLIPS holds videos with their own sound, which generation never reads, and `clips.jsonl` with `file`, `caption` and
`visible_sync` a row; clips without visible sync are left out. Compared are log loudness and its rise at 31.25 Hz:
Pearson of generated and real sound, the best within 96 ms, and the share of mismatched clips that agree less (AUC).
Systems that take words are given the captions, and those that are told when to sound every reader of the timing.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch

import postsync
from postsync.features.envelope import frame_rms
from postsync.media.audio import read_audio
from timing import CURVE_RATE, curves_of, own_and_auc


def sound_curves(waveform: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Log loudness and its rise, 31.25 Hz, of a waveform (C, N)."""
    mono = torch.from_numpy(np.asarray(waveform, np.float32)).mean(0)
    return curves_of(frame_rms(mono, sample_rate, CURVE_RATE, 0.064).numpy())


def generated(pipe: Any, clip: Path, caption: str, seed: int, timing: str | None) -> tuple[np.ndarray, np.ndarray]:
    """`sound_curves` of what a pipeline makes for a clip."""
    words = caption if "prompt" in pipe.accepts else None
    result = postsync.generate(clip, words, pipeline=pipe, seed=seed, timing=timing)
    return sound_curves(result.waveform, result.sample_rate)


def main() -> None:
    """Print a row for each reader of the timing and each seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--systems", nargs="+", default=["foleygram", "mgaudio"])
    parser.add_argument("--timing", nargs="+", default=["motion", "predicted"])
    arguments = parser.parse_args()
    logging.getLogger("postsync").setLevel(logging.ERROR)  # words that the weights never met are to be expected here
    rows = [json.loads(line) for line in (arguments.clips / "clips.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if row["visible_sync"]]
    real = [sound_curves(read_audio(arguments.clips / row["file"], 16000, mono=True), 16000) for row in rows]
    for system in arguments.systems:
        pipe = postsync.load(system)
        pipe.set_progress_bar_config(disable=True)
        for timing in arguments.timing if "envelope" in pipe.accepts else [None]:
            for seed in arguments.seeds:
                made = [generated(pipe, arguments.clips / row["file"], row["caption"], seed, timing) for row in rows]
                envelope, onset = (own_and_auc([c[k] for c in real], [c[k] for c in made]) for k in (0, 1))
                print(f"{system:<10} {timing or 'picture':<10} seed {seed}  envelope r {envelope[0]:.3f} AUC "
                      f"{envelope[1]:.3f}  onset r {onset[0]:.3f} AUC {onset[1]:.3f}", flush=True)
    print(f"{len(rows)} clips, {platform.machine()}, {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
