"""Are the seams between windows heard? Jumps of level and log-mel across them, beside the jumps everywhere else.

    python benchmarks/seams.py --seconds 30 --seeds 3 [--system vatt] [--preset FOLDER] [--steps 20]

Steady sounds are made without an envelope, over a length of several windows; nothing else could hide a seam. A jump at
a frame is the difference between the means of the `--span` before it and after it: of the level in dB, and of
the log-mel (mean over bins). A seam passes if its jump stays below the 95th percentile of the jumps that lie further
than a span from every seam. Seams are the windows' edges, where one network run ends or begins.
"""

from __future__ import annotations

import argparse
import os
import platform
from math import ceil

import numpy as np
import torch
from torch import Tensor

import postsync
from postsync.diffusion.windows import plan_windows
from postsync.features.envelope import ENVELOPE_RATE, frame_rms
from postsync.features.spectrogram import audioldm_log_mel

FLOOR = 1e-4  # -80 dB: what is quieter does not jump


def jumps(features: Tensor, span: int) -> np.ndarray:
    """Mean absolute difference of the means of `span` frames after and before each frame: (T, D) -> (T,).

    Frames closer than `span` to an end have no jump (NaN).
    """
    total = torch.cat([features.new_zeros(1, features.shape[1]), features.double().cumsum(0)])
    result = np.full(len(features), np.nan)
    inside = torch.arange(span, len(features) - span + 1)
    difference = total[inside + span] - 2 * total[inside] + total[inside - span]
    result[span:len(features) - span + 1] = (difference / span).abs().mean(1).numpy()
    return result


def seam_ranks(features: Tensor, seams: list[int], span: int) -> list[float]:
    """For each seam the share (0..1) of the jumps further than a span from all seams that lie below its own."""
    every = jumps(features, span)
    away = np.ones(len(every), dtype=bool)
    for seam in seams:
        away[max(seam - span, 0):seam + span + 1] = False
    others = every[away & np.isfinite(every)]
    return [float((others < every[seam]).mean()) for seam in seams if np.isfinite(every[seam])]


def window_edges(frames: int, window: int, overlap: int, values_per_frame: int) -> list[int]:
    """Where windows begin or end inside the clip, in values of 100 Hz."""
    windows = plan_windows(frames, window, overlap)
    edges = {w.start for w in windows[1:]} | {w.stop for w in windows[:-1]}
    return sorted(edge * values_per_frame for edge in edges)


def main() -> None:
    """Print the rank of every kind of jump; exit code 1 where a seam stands out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--system", default="foleygram", help="one whose pipeline has windows of native_frames")
    parser.add_argument("--preset", default="mini")
    parser.add_argument("--steps", type=int, help="default: the system's")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--span", type=float, default=0.1, help="seconds")
    parser.add_argument("--prompts", nargs="+", default=["rain falling", "an engine running"])
    arguments = parser.parse_args()
    pipe = postsync.load(arguments.system, arguments.preset, progress_bar=False)
    rate = pipe.codec.frame_rate if hasattr(pipe.codec, "frame_rate") else pipe.codec.latent_rate  # of tokens, latents
    seams = window_edges(ceil(arguments.seconds * rate), pipe.config["native_frames"], pipe.settings.window_overlap,
                         round(ENVELOPE_RATE / rate))
    span = round(arguments.span * ENVELOPE_RATE)
    ranks: dict[str, list[float]] = {"level": [], "log-mel": []}
    for prompt in arguments.prompts:
        for seed in range(arguments.seeds):
            wave = pipe(prompt=prompt, duration_s=arguments.seconds, num_inference_steps=arguments.steps,
                        generator=torch.Generator().manual_seed(seed)).audios[0]
            level = 20 * (frame_rms(wave, pipe.sampling_rate)[0] + FLOOR).log10()
            ranks["level"] += seam_ranks(level[:, None], seams, span)
            ranks["log-mel"] += seam_ranks(audioldm_log_mel(wave)[0], seams, span)
    worst = 0.0
    for name, values in ranks.items():
        over = sum(value > 0.95 for value in values)
        worst = max(worst, over / len(values))
        print(f"{name:<8} seams {len(values)}, mean rank {np.mean(values):.2f} (0.50: like anywhere), "
              f"above the 95th percentile {over} (chance: {0.05 * len(values):.1f})")
    print(f"{arguments.system}, {arguments.seconds:g} s, {arguments.steps or pipe.num_inference_steps} steps, "
          f"{arguments.seeds} seeds of {len(arguments.prompts)} prompts, "
          f"{platform.machine()}, {os.cpu_count()} cores")
    raise SystemExit(worst > 0.15)


if __name__ == "__main__":
    main()
