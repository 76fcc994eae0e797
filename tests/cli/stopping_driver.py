"""Run `postsync generate` in forked children, each with one thing going wrong at one stage; report as JSON.

    python stopping_driver.py CLIP FOLDER

A child sends the signal to itself when it reaches the stage, so no clock is involved; the signal itself, the unwinding
and the exit are real. The parent has imported everything and never ran a parallel operation, so forking is safe.
"""

from __future__ import annotations

import atexit
import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import soundfile

from postsync import cli
from postsync.media import loudness, mux, video
from postsync.systems.latent_pipeline import StepHooks

STAGES: dict[str, tuple[Any, str, int]] = {  # name -> (where, what is called, at which call)
    "reading": (video.Converter, "__call__", 3), "denoising": (StepHooks, "after", 1),
    "levelling": (loudness, "plan_gain", 1), "keeping sound": (soundfile.SoundFile, "write", 1),
    "writing sound": (soundfile.SoundFile, "write", 2),
    "writing video": (mux, "_copy_packet", 5), "renaming": (os, "replace", 1)}


def send_at(stage: str, number: int) -> None:
    """Send signal `number` to this process when it reaches the stage."""
    where, name, call = STAGES[stage]
    original, calls = getattr(where, name), []

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(None)
        if len(calls) == call:
            os.kill(os.getpid(), number)
        return original(*args, **kwargs)

    setattr(where, name, counted)


def forked(prepare: Callable[[], None], arguments: list[str], said: Path) -> int:
    """Exit code of `postsync ARGUMENTS` in a child, after `prepare`; what it prints goes to the file `said`."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 99
    try:
        with said.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        prepare()
        cli.main(arguments)
    except SystemExit as stop:
        code = int(stop.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        atexit._run_exitfuncs()
        os._exit(code)


def main() -> None:
    """One line of JSON: case -> exit code, what was said, what lies in the folder."""
    clip, folder = Path(sys.argv[1]), Path(sys.argv[2])
    arguments = ["generate", str(clip), "--prompt", "hammer", "--steps", "2", "--seed", "1", "--quiet",
                 "--output", str(folder / "out.mp4"), "--wav", str(folder / "out.wav")]
    cases: dict[str, Callable[[], None]] = {"nothing": lambda: None}
    for stage in STAGES:
        for number in (signal.SIGINT, signal.SIGTERM):
            cases[f"{number.name} {stage}"] = lambda stage=stage, number=number: send_at(stage, number)
    cases["disk full"] = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
    report = {}
    for name, prepare in cases.items():
        code = forked(prepare, arguments, folder.parent / "said.txt")
        report[name] = (code, (folder.parent / "said.txt").read_text(), sorted(p.name for p in folder.iterdir()))
        for left in folder.iterdir():
            left.unlink()
    print(json.dumps(report))


if __name__ == "__main__":
    main()
