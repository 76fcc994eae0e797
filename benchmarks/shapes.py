"""How the recorded sounds of each family rise and ring: python benchmarks/shapes.py --recordings FOLDER [...].

Of each single sound in the training folds: the time from a tenth of the peak (RMS of 5 ms) to the peak, and from there
until it stays 20 dB below; medians. `postsync.scenes.shapes` holds them as rise and decay time (a fall of 20 dB is 2.3
decay times); the longest rises and families of a few recordings were rounded by hand.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from postsync.scenes.families import KNOWN
from postsync.scenes.recordings import RecordingBank
from postsync.scenes.shapes import SHAPES

BLOCK = 80  # samples at 16 kHz
FALL_20_DB = 2.3  # decay times
PER_RECORDING = 3


def rise_and_fall(sound: np.ndarray) -> tuple[float, float]:
    """Seconds to the peak and from it of a sound (N,) at 16 kHz."""
    level = np.sqrt(np.mean(np.pad(sound, (0, -len(sound) % BLOCK)).reshape(-1, BLOCK) ** 2, axis=1))
    peak = int(level.argmax())
    first = int(np.flatnonzero(level[:peak + 1] > 0.1 * level[peak])[0])
    later = np.maximum.accumulate(level[peak:][::-1])[::-1]  # what follows counts, if it is louder
    below = np.flatnonzero(later < 0.1 * level[peak])
    fall = int(below[0]) if len(below) else len(later)
    return (peak - first) * BLOCK / 16000, fall * BLOCK / 16000


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", type=Path, nargs="+", required=True, help="folders of labelled recordings")
    bank = RecordingBank(*parser.parse_args().recordings)
    print("family           sounds  rise ms  ring ms   as in shapes.py")
    for name, family in KNOWN.items():
        if family.kind not in ("strike", "event"):
            continue
        sounds = [sound for sound in bank.sounds(name, PER_RECORDING) if np.abs(sound).max() > 0.02]
        if not sounds:
            print(f"{name:16} {0:6d}        -        -   {SHAPES[name]}")
            continue
        rise, fall = np.median([rise_and_fall(sound) for sound in sounds], axis=0)
        print(f"{name:16} {len(sounds):6d} {1000 * rise:8.0f} {1000 * fall / FALL_20_DB:8.0f}   {SHAPES[name]}")


if __name__ == "__main__":
    main()
