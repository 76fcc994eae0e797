"""Fuzzing of all that reads foreign files: real files with damaged headers, in a child process that may crash.

    python tests/fuzz_media.py --minutes 10 --keep found/

Every case is one file: probed, its pictures and its sound read, a soundtrack muxed under it. Only PostsyncError may
come out of it, within 20 seconds and 3 GB. The suite runs a bounded count (tests/media/test_fuzz.py). A case is
repeated with `--seed S --first N --count 1`.
"""

from __future__ import annotations

import argparse
import faulthandler
import io
import logging
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import av
import numpy as np
import soundfile

from postsync.errors import PostsyncError
from postsync.media.audio import read_audio
from postsync.media.mux import default_output, mux
from postsync.media.picture import open_picture
from postsync.media.video import iter_frames, probe
from postsync.media.watch import spread, watch

LIMIT_S, LIMIT_BYTES, BATCH = 20, 3 << 30, 200
CLIPS = {"mp4": ("mp4", "libx264", {}), "faststart": ("mp4", "libx264", {"movflags": "faststart"}),
         "fragments": ("mp4", "mpeg4", {"movflags": "frag_keyframe+empty_moov"}), "mov": ("mov", "mjpeg", {}),
         "mkv": ("matroska", "libx264", {}), "webm": ("webm", "libvpx", {}), "avi": ("avi", "mpeg4", {}),
         "ts": ("mpegts", "mpeg2video", {}), "gif": ("gif", "gif", {})}
SOUNDS = ("wav", "flac", "aiff")
EXTREMES = (0, 1, 2, 0x7F, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def make_clip(container: str, codec: str, options: dict[str, str]) -> bytes:
    """Twelve frames of 48 x 32, and a tone where the container takes sound."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "clip")
        _write_clip(path, container, codec, options)
        return path.read_bytes()


def _write_clip(path: Path, container: str, codec: str, options: dict[str, str]) -> None:
    with av.open(str(path), "w", format=container, options=options) as target:
        picture = target.add_stream(codec, rate=12, width=48, height=32)
        picture.pix_fmt = {"mjpeg": "yuvj420p", "gif": "rgb8"}.get(codec, "yuv420p")
        if container not in ("gif", "webm"):
            sound = target.add_stream("mp2" if container in ("avi", "mpegts") else "aac", rate=48000, layout="mono")
            tone = av.AudioFrame.from_ndarray(np.full((1, 4608), 0.1, np.float32), "fltp", "mono")
            tone.sample_rate, tone.pts = 48000, 0
            tones = av.AudioResampler(format=sound.codec_context.format).resample(tone)
        rng = np.random.default_rng(0)
        for _ in range(12):
            image = av.VideoFrame.from_ndarray(rng.integers(0, 255, (32, 48, 3), dtype=np.uint8))
            target.mux(picture.encode(image.reformat(format=picture.pix_fmt)))
        target.mux(picture.encode(None))
        if container not in ("gif", "webm"):
            for part in (*tones, None):
                target.mux(sound.encode(part))


def make_sound(kind: str) -> bytes:
    """A tenth of a second of stereo noise."""
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(0).uniform(-0.5, 0.5, (1600, 2)), 16000, format=kind)
    return file.getvalue()


def originals() -> dict[str, bytes]:
    """Suffix -> a sound file."""
    return {name: make_clip(*how) for name, how in CLIPS.items()} | {name: make_sound(name) for name in SOUNDS}


def mutate(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """One to four kinds of damage, most of them near the start or the end, where headers and indices lie."""
    out = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        size = max(len(out), 1)
        reach = min(size, int(rng.choice([64, 512, 4096, size])))
        at = int(rng.integers(reach)) if rng.random() < 0.6 else size - 1 - int(rng.integers(reach))
        length = int(rng.integers(1, 65))
        damage = rng.integers(7)
        if damage == 0:
            out[at:at + 1] = rng.bytes(1)
        elif damage == 1:
            order = "big" if rng.random() < 0.5 else "little"
            out[at:at + 4] = int(rng.choice(EXTREMES)).to_bytes(4, order)
        elif damage == 2:
            out[at:at + length] = rng.bytes(length)
        elif damage == 3:
            del out[at:at + length]
        elif damage == 4:
            out[at:at] = out[at:at + length] * int(rng.integers(1, 4))
        elif damage == 5:
            start = int(rng.integers(len(other)))
            out[at:at + length] = other[start:start + length]
        elif rng.random() < 0.3:
            del out[at:]
    return bytes(out)


def case_file(seeds: dict[str, bytes], seed: int, number: int, folder: Path) -> Path:
    """The file of case `number`; the same numbers give the same bytes."""
    rng = np.random.default_rng((seed, number))
    names = list(seeds)
    name, other = rng.choice(names), rng.choice(names)
    path = folder / f"case.{'mp4' if name in ('faststart', 'fragments') else name}"
    path.write_bytes(mutate(seeds[name], seeds[other], rng))
    return path


def attempt(path: Path) -> None:
    """Everything postsync does with a file it is given; PostsyncError is the right answer to any of it."""
    steps = (lambda: probe(path), lambda: [None for _ in iter_frames(path, (32, 32), fps=10, end_s=60)],
             lambda: watch(open_picture(path), plan=lambda info: spread(info, 2, (16, 16))),
             lambda: read_audio(path, 16000, max_duration_s=60),
             lambda: read_audio(path, 16000, max_duration_s=60, from_picture=True),
             lambda: mux(path, np.zeros((1, 1600), np.float32), 16000, default_output(path)))
    before = path.read_bytes()
    for step in steps:
        said = ""
        try:
            step()
        except PostsyncError as error:
            said = str(error)
        assert "\n" not in said, said
    assert path.read_bytes() == before, "the input was changed"
    assert not list(path.parent.glob("*.part*")), "something half-written stayed"


def child(seed: int, first: int, count: int, folder: Path) -> None:
    """Run cases in this process and print `at N` before and `bad N` with a traceback after each that failed."""
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    av.logging.set_level(None)
    logging.disable()
    seeds = originals()
    for number in range(first, first + count):
        print("at", number, flush=True)
        faulthandler.dump_traceback_later(LIMIT_S, exit=True)
        try:
            attempt(case_file(seeds, seed, number, folder))
        except Exception:
            print("bad", number, traceback.format_exc(), flush=True)
        faulthandler.cancel_dump_traceback_later()


def run(seed: int, first: int, count: int, keep: Path | None = None) -> list[str]:
    """What went wrong in `count` cases from `first` on: tracebacks, crashes, hangs. Empty is good."""
    wrong: list[str] = []
    end = first + count
    while first < end:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, "--child", folder, "--seed", str(seed), "--first", str(first),
                       "--count", str(end - first)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        at = [int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("at ")]
        found = ["bad " + part.split("\nat ")[0] for part in done.stdout.split("\nbad ")[1:]]
        if done.returncode:
            last = at[-1] if at else first
            found.append(f"crashed or hung {last} (exit {done.returncode})\n{done.stderr[-2000:]}")
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            for text in found:
                number = int(text.split("hung ")[-1].split()[0]) if "hung" in text[:20] else int(text.split()[1])
                path = case_file(originals(), seed, number, keep)
                path.rename(keep / f"{seed}-{number}{path.suffix}")
        wrong += found
        first = at[-1] + 1 if at else end
    return wrong


def main() -> None:
    """Run for a time or a count; exit code 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=None)
    parser.add_argument("--count", type=int, default=BATCH)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=None, help="folder for the files that were too much")
    parser.add_argument("--child", type=Path, default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        child(arguments.seed, arguments.first, arguments.count, arguments.child)
        return
    until = time.monotonic() + 60 * arguments.minutes if arguments.minutes else 0.0
    first, wrong = arguments.first, 0
    while True:
        count = BATCH if arguments.minutes else arguments.count
        for text in run(arguments.seed, first, count, arguments.keep):
            wrong += 1
            print(text)
        first += count
        if time.monotonic() >= until:
            break
    print(f"{first - arguments.first} cases with seed {arguments.seed}, {wrong} went wrong")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
