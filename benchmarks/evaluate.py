"""Seconds of the scenes suite, from files to JSON, by stage. `python benchmarks/evaluate.py [--count 1000]`

Scenes of 4 s, 64 x 64, all nuisances; the "generated" sounds are the scenes' own, 20 ms late, as WAV. Rendering and
writing them is not counted. No metric of the suite takes optical flow; with --flow the flow that AV-Align needs is
measured apart, on the first clips.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path

import soundfile
import torch

from postsync.data.manifest import read_manifest
from postsync.evaluation.document import describe, write_json
from postsync.evaluation.job import Settings, run
from postsync.evaluation.suites import scenes
from postsync.features.flow import flow_magnitudes, luma
from postsync.media.audio import read_audio
from postsync.media.video import iter_frames
from postsync.scenes.export import export
from postsync.scenes.render import HELD_OUT_SEED, full_scenes

RATE = 16000
LATE_S = 0.02


def prepare(folder: Path, count: int, seed: int, duration_s: float, size: int) -> tuple[Path, Path]:
    """(generated, reference): folders with `count` clips each."""
    real, made = folder / "real", folder / "made"
    made.mkdir()
    export(real, range(seed, seed + count), full_scenes(duration_s=duration_s, size=size))
    for row in read_manifest(real):
        sound = torch.from_numpy(read_audio(real / row["audio_path"], RATE, from_picture=True)[0])
        late = torch.nn.functional.pad(sound, (round(LATE_S * RATE), 0))[:len(sound)]
        soundfile.write(made / f"{row['clip_id']}.wav", late.numpy(), RATE)
    return made, real


def flow_seconds(real: Path, clips: int) -> float:
    """Seconds a clip for the flow of every picture, over the first clips."""
    started = time.perf_counter()
    for row in read_manifest(real)[:clips]:
        images = [torch.from_numpy(frame.image) for frame in iter_frames(real / row["video_path"])]
        flow_magnitudes(luma(torch.stack(images).permute(0, 3, 1, 2)))
    return (time.perf_counter() - started) / clips


def main() -> None:
    """Print the seconds with count and machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=HELD_OUT_SEED)
    parser.add_argument("--duration", type=float, default=4.0, help="seconds of a clip")
    parser.add_argument("--size", type=int, default=64, help="pixels a side")
    parser.add_argument("--flow", type=int, default=0, metavar="CLIPS", help="also the optical flow of so many clips")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        made, real = prepare(Path(name), arguments.count, arguments.seed, arguments.duration, arguments.size)
        clocks = [(time.perf_counter(), time.process_time())]
        done = run([made], real, scenes(), Settings())
        clocks.append((time.perf_counter(), time.process_time()))
        document = describe(done, done.systems[0], "")
        write_json(document, Path(name) / "evaluation.json")
        clocks.append((time.perf_counter(), time.process_time()))
        for what, before, after in (("decode and measure", clocks[0], clocks[1]),
                                    ("values and intervals", clocks[1], clocks[2]), ("all", clocks[0], clocks[2])):
            wall, cpu = after[0] - before[0], after[1] - before[1]
            print(f"{what:<22}{wall:8.1f} s  {cpu:8.1f} s of CPU  {1000 * cpu / arguments.count:8.1f} ms of CPU a clip")
        if arguments.flow:
            print(f"{'optical flow, apart':<22}{flow_seconds(real, arguments.flow):8.2f} s a clip")
    print(f"{arguments.count} scenes of {arguments.duration:g} s, {arguments.size} x {arguments.size}, from seed "
          f"{arguments.seed}, {len(document['metrics'])} metrics, {platform.machine()}, {os.cpu_count()} cores, "
          f"{torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
