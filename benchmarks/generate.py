"""Speed and memory of `postsync generate`, each run in a process of its own: cold as a whole, cold and warm by stage.

    python benchmarks/generate.py                       # 8 s at 360p, 720p, 1080p
    python benchmarks/generate.py --lengths 8 60 600 --heights 64 --steps 2    # memory over length

Clips are drawn and encoded (H.264) for the purpose. Cold: the first run in a fresh process, everything imported and
loaded; the files may be in the system's cache. Warm: the second clip in that process. CPU seconds (user and system)
stand beside the wall's, for they say what the machine would take that had nothing else to do.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STAGES = ("import", "load", "decode and timing", "denoise", "vocode", "level", "mux")
COMMAND = [sys.executable, "-c", "from postsync.cli import main; main()"]
CHILD = "--child"


def draw_clip(path: Path, height: int, seconds: float) -> Path:
    """A bar that knocks from side to side before a patterned wall, 16:9, 25 frames a second, H.264."""
    import av
    import numpy as np

    width = height * 16 // 9 // 2 * 2
    rng = np.random.default_rng(0)
    tiles = rng.integers(0, 200, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    wall = tiles.repeat(8, 0).repeat(8, 1)[:height, :width]
    with av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=25, width=width, height=height, options={"preset": "veryfast"})
        stream.pix_fmt = "yuv420p"
        for index in range(round(25 * seconds)):
            image = wall.copy()
            left = int((width - width // 8) * abs(np.sin(0.12 * index)))
            image[height // 2:height // 2 + height // 8, left:left + width // 8] = 255
            target.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        target.mux(stream.encode(None))
    return path


class Clock:
    """Wall and CPU seconds by stage."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        before = time.perf_counter(), time.process_time()
        yield
        now = time.perf_counter(), time.process_time()
        wall, cpu = self.spent.get(stage, [0.0, 0.0])
        self.spent[stage] = [wall + now[0] - before[0], cpu + now[1] - before[1]]

    def around(self, place: Any, name: str, stage: str) -> None:
        """Count calls of `place.name` for `stage`."""
        original = getattr(place, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self(stage):
                return original(*args, **kwargs)

        setattr(place, name, timed)


def child(clip: Path, folder: Path, steps: int | None, words: str | None) -> None:
    """Two runs in this process; their stages as JSON. What is in no other stage is counted as decode and timing."""
    clock = Clock()
    with clock("import"):
        from postsync.cli.lean_imports import import_diffusers

        import_diffusers()
        from diffusers.utils import logging

        from postsync import registry
        from postsync.generation import rendering, session
        from postsync.systems.foleygram.pipeline import FoleyGRAMPipeline
    logging.disable_progress_bar()
    with clock("load"):
        pipe = registry.load_pipeline()
    pipe.set_progress_bar_config(disable=True)
    clock.around(FoleyGRAMPipeline, "__call__", "pipeline")
    clock.around(FoleyGRAMPipeline, "_decode", "vocode")
    for name in ("at_delivery_rate", "level"):
        clock.around(rendering, name, "level")
    runs = []
    for take in ("cold", "warm"):
        with clock("generate"):
            result = session.generate(clip, words, pipeline=pipe, seed=1, num_inference_steps=steps)
        with clock("mux"):
            result.save(folder / f"{take}.mp4")
        runs.append(separated(clock.spent))
        clock.spent.clear()
    print(json.dumps({"runs": runs, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def separated(spent: dict[str, list[float]]) -> dict[str, list[float]]:
    """Nested counts -> stages that add up."""
    zero = [0.0, 0.0]

    def less(whole: str, *parts: str) -> list[float]:
        return [spent[whole][k] - sum(spent.get(part, zero)[k] for part in parts) for k in (0, 1)]

    return {"import": spent.get("import", zero), "load": spent.get("load", zero),
            "decode and timing": less("generate", "pipeline", "level"), "denoise": less("pipeline", "vocode"),
            "vocode": spent["vocode"], "level": spent.get("level", zero), "mux": spent["mux"]}


def measure(command: list[str]) -> tuple[float, float, float, str]:
    """Wall seconds, CPU seconds, peak megabytes, and output of a child process."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, said


def main() -> None:
    """Print the tables with machine and threads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heights", type=int, nargs="+", default=[360, 720, 1080])
    parser.add_argument("--lengths", type=float, nargs="+", default=[8.0], help="seconds")
    parser.add_argument("--steps", type=int, default=None, help="default: the preset's")
    parser.add_argument("--no-words", action="store_true", help="without a prompt: the picture is looked at")
    parser.add_argument(CHILD, nargs=2, type=Path, default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child, arguments.steps, None if arguments.no_words else "hammer")
        return
    steps = [] if arguments.steps is None else ["--steps", str(arguments.steps)]
    prompt, words = ([], ["--no-words"]) if arguments.no_words else (["--prompt", "hammer"], [])
    wall, cpu, peak, _ = measure([*COMMAND, "--help"])
    print(f"postsync --help: {wall:.2f} s, CPU {cpu:.2f} s, {peak:.0f} MB")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seconds in arguments.lengths:
            for height in arguments.heights:
                clip = draw_clip(folder / f"{height}p{seconds:g}.mp4", height, seconds)
                wall, cpu, peak, _ = measure([*COMMAND, "generate", str(clip), *prompt, "--seed", "1", "--quiet",
                                              "--output", str(folder / "out.mp4"), *steps])
                print(f"\n{seconds:g} s at {height}p, whole command: {wall:.2f} s, CPU {cpu:.2f} s, {peak:.0f} MB")
                stages = json.loads(measure([sys.executable, __file__, CHILD, str(clip), name, *steps, *words])[3])
                print(f"{'stage':<20}{'cold s':>9}{'CPU s':>9}{'warm s':>9}{'CPU s':>9}")
                for stage in STAGES:
                    numbers = [number for run in stages["runs"] for number in run[stage]]
                    print(f"{stage:<20}" + "".join(f"{number:9.2f}" for number in numbers))
                totals = [sum(run[stage][k] for stage in STAGES) for run in stages["runs"] for k in (0, 1)]
                print(f"{'all':<20}" + "".join(f"{number:9.2f}" for number in totals) + f"   {stages['peak']:.0f} MB")
    print(f"\n{platform.machine()}, {os.cpu_count()} cores, "
          f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'not set')}, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
