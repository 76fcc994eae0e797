"""How fast hits rise that are given as times: python benchmarks/attack.py [--prompt ...].

FoleyGRAM's mini makes seven hits; of the level (RMS of 2 ms) around each: the time from a tenth to nine tenths of the
way from what still rings to the peak, where that begins relative to the time given, and from the peak on until the
sound stays 20 dB below it (RMS of 5 ms, as `benchmarks/shapes.py` measures recordings); medians, with and without
`sharp_attacks`; and the level between the hits, before the next one, below their peaks.
"""

from __future__ import annotations

import argparse
import platform
from itertools import pairwise

import numpy as np

import postsync
from postsync.scenes.captions import family_of
from postsync.scenes.shapes import SHAPES, Shape
from postsync.timing.timing import RING_S, Timing

HITS_S, DURATION_S = (0.5, 1.6, 2.9, 3.7, 5.0, 6.2, 7.1), 8.16
BEFORE, AFTER, BLOCK = 80, 150, 5  # milliseconds
PROMPTS = ("a hammer hitting metal", "knocking on a door", "a gun shot", "hitting a wooden plank", "a snare drum",
           "a church bell", "glass breaking")


def levels(waveform: np.ndarray, rate: int) -> np.ndarray:
    """RMS (M,) of 2 ms, every millisecond, of (N,)."""
    step = rate // 1000
    power = np.pad(waveform, (0, -len(waveform) % step)).reshape(-1, step) ** 2
    return np.convolve(np.sqrt(power.mean(1)), np.ones(2) / 2, "same")


def attack(level: np.ndarray, hit_s: float) -> tuple[int, int]:
    """Milliseconds of the rise, and of its beginning relative to the hit."""
    place = round(1000 * hit_s)
    near = level[place - BEFORE:place + AFTER]
    top = BEFORE - 20 + int(near[BEFORE - 20:BEFORE + 80].argmax())
    ringing = float(np.median(near[:BEFORE // 2]))  # of the hit before
    low, high = (int(np.flatnonzero(near[:top + 1] < ringing + share * (near[top] - ringing))[-1:].sum())
                 for share in (0.1, 0.9))
    return high - low, low - BEFORE


def fall(waveform: np.ndarray, rate: int, hit_s: float, next_s: float) -> int:
    """Milliseconds from the peak of a hit until the sound stays 20 dB below it, before the next hit at most."""
    part = waveform[round(rate * hit_s):round(rate * (next_s - BEFORE / 1000))]
    size = rate * BLOCK // 1000
    level = np.sqrt((part[:len(part) // size * size].reshape(-1, size) ** 2).mean(1))
    peak = int(level[:BEFORE // BLOCK].argmax())
    return BLOCK * (int(np.flatnonzero(level[peak:] >= 0.1 * level[peak])[-1]) + 1)


def hush(level: np.ndarray) -> float:
    """Decibels from the median peak down to the level in the last tenth of a second before each hit."""
    peaks = [level[round(1000 * hit):round(1000 * hit) + 80].max() for hit in HITS_S]
    quiet = [np.sqrt((level[round(1000 * hit) - 150:round(1000 * hit) - 50] ** 2).mean()) for hit in HITS_S]
    return float(20 * np.log10(max(np.median(quiet), 1e-6) / np.median(peaks)))


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompt", nargs="+", default=PROMPTS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--preset", default="mini", help="of FoleyGRAM, or a folder")
    parser.add_argument("--stand-in", choices=("none", "recordings"), help="default: the preset's")
    args = parser.parse_args()
    pipe = postsync.load("foleygram", args.preset, progress_bar=False)
    own = {} if args.stand_in is None else {"stand_in": args.stand_in}
    print(f"seed {args.seed}, {len(HITS_S)} hits, {platform.machine()}\n"
          "prompt                    sharp   rise ms  begins ms  -20 dB after ms  (as recorded)  between, dB")
    for prompt in args.prompt:
        shape = SHAPES.get(family_of(prompt) or "", Shape(0.0, RING_S))
        timing = Timing.of_hits(HITS_S, DURATION_S, rise_s=shape.rise_s, ring_s=shape.ring_s)
        for sharp in (True, False):
            result = postsync.generate(None, prompt, pipeline=pipe, seed=args.seed, duration_s=DURATION_S,
                                       envelope=timing, settings={"sharp_attacks": sharp} | own)
            level = levels(result.waveform[0], result.sample_rate)
            rise, begins = np.median([attack(level, hit) for hit in HITS_S], axis=0)
            falls = [fall(result.waveform[0], result.sample_rate, hit, after)
                     for hit, after in pairwise((*HITS_S, DURATION_S))]
            print(f"{prompt:24}  {sharp!s:6} {rise:8.0f} {begins:+10.0f} {np.median(falls):16.0f}  "
                  f"({2300 * shape.ring_s:.0f})  {hush(level):+12.0f}", flush=True)


if __name__ == "__main__":
    main()
