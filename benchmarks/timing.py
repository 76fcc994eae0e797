"""How well the picture alone tells when something sounds: motion without weights and the learned predictor, side by
side, on held-out scenes and, where a folder is given, on real clips.

    python benchmarks/timing.py --count 200 --seed 0 [--clips FOLDER]

Onset F1 within 50 ms of visible events and envelope r (Pearson at zero lag, 100 Hz), by frame rate, in the clean world
and in the one with all nuisances; bias: how much later (ms, median) found onsets are than the events; onsets a minute
invented where things move and nothing sounds; hits alone against the curve, where tools swing up fast. FOLDER holds
videos with their own sound, which is only compared with (of a folder with clips.jsonl, those marked visible_sync):
Pearson of log loudness and of its rise at 31.25 Hz, the best within 96 ms, and the share of mismatched clips that
agree less (AUC).
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from postsync.features.envelope import frame_rms
from postsync.media.audio import read_audio
from postsync.media.video import iter_frames
from postsync.metrics.onsets import OnsetF1, match_onsets
from postsync.metrics.signals import EnvelopeCorrelation
from postsync.protocols.clip import Clip
from postsync.scenes.families import FAMILIES
from postsync.scenes.render import HELD_OUT_SEED, HITS, SceneConfig, clean_scenes, full_scenes, render_scene
from postsync.scenes.shapes import SHAPES
from postsync.timing.motion import MotionEnvelope
from postsync.timing.predictor import TimingPredictor
from postsync.weights import bundled

RATES = (12.0, 15.0, 25.0, 30.0, 60.0)
CURVE_RATE, MAX_LAG = 31.25, 3
Readers = dict[str, Callable[[], Any]]


def scene_scores(readers: Readers, config: SceneConfig, seeds: range) -> dict[str, tuple[float, ...]]:
    """Onset F1, precision, recall (counts pooled over the clips), mean envelope r and median bias in ms of each reader.
    """
    lags: dict[str, list[float]] = {name: [] for name in readers}
    f1 = {name: OnsetF1() for name in readers}
    correlation = {name: EnvelopeCorrelation() for name in readers}
    for seed in seeds:
        clip = render_scene(seed, config)
        assert clip.envelope is not None
        sudden = [event.t for event in clip.events if event.visible and event.t > 0]
        for name, make in readers.items():
            result = _read(make(), clip)
            f1[name].update(result.onsets_s, sudden)
            found = result.onsets_s.tolist()
            lags[name] += [1000 * (found[i] - sudden[j]) for i, j in match_onsets(found, sudden)]
            if clip.envelope.std() > 0:
                correlation[name].update(result.envelope.values, clip.envelope)
    return {name: (s.f1, s.precision, s.recall, float(correlation[name].compute()),
                   float(np.median(lags[name] or [np.nan])))
            for name in readers for s in (f1[name].scores(),)}


def invented(readers: Readers, config: SceneConfig, seeds: range) -> dict[str, float]:
    """Onsets a minute where nothing sounds."""
    found = dict.fromkeys(readers, 0)
    for seed in seeds:
        clip = render_scene(seed, config, needs=frozenset({"frames"}))
        for name, make in readers.items():
            found[name] += len(_read(make(), clip).onsets_s)
    return {name: count / (len(seeds) * config.duration_s / 60) for name, count in found.items()}


def hits_or_curve(predictor: TimingPredictor, seeds: range) -> dict[str, tuple[float, float, float]]:
    """Onset F1, and mean r of log loudness and of its rise, of the curve with its listed hits and of all likely hits
    alone, where tools swing up as fast as down and families that hit are all that sounds."""
    families = tuple(name for name, shape in SHAPES.items() if shape.impulsive and name in FAMILIES
                     and FAMILIES[name].motion in HITS)
    config = full_scenes(size=96, fps=25.0, families=families)
    config = replace(config, nuisances=replace(config.nuisances, swings=1.0))
    f1, curves = {"curve": OnsetF1(), "hits alone": OnsetF1()}, dict[str, list[tuple[np.ndarray, np.ndarray]]]()
    for seed in seeds:
        clip = render_scene(seed, config)
        assert clip.envelope is not None
        read, shape = _read(predictor.reader(), clip), SHAPES[str(clip.label)]
        alone = read.struck(0.0, clip.duration_s, rise_s=shape.rise_s, ring_s=shape.ring_s, surely=True) or read
        truth = [event.t for event in clip.events if event.visible and event.t > 0]
        for name, timing in (("curve", read), ("hits alone", alone)):
            f1[name].update(timing.onsets_s, truth)
            curves.setdefault(name, []).append(_on_grid(timing.envelope.values, clip.duration_s))
        curves.setdefault("truth", []).append(_on_grid(clip.envelope, clip.duration_s))
    real = curves.pop("truth")
    return {name: (f1[name].scores().f1, *(own_and_auc([c[k] for c in real], [c[k] for c in of])[0] for k in (0, 1)))
            for name, of in curves.items()}


def _on_grid(envelope: torch.Tensor, duration_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Log loudness and its rise at CURVE_RATE."""
    grid = np.arange(int(duration_s * CURVE_RATE)) / CURVE_RATE
    return curves_of(np.interp(grid, np.arange(len(envelope)) / 100, envelope.numpy()))


def clip_scores(readers: Readers, folder: Path) -> dict[str, tuple[float, float, float, float]]:
    """Mean r and AUC of log loudness, then of its rise, over the videos of a folder that have sound."""
    real: list[tuple[np.ndarray, np.ndarray]] = []
    guessed: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in readers}
    for path in _videos(folder):
        frames = iter_frames(path, size=(96, 96), pixel_format="gray")
        opened = {name: make() for name, make in readers.items()}
        for frame in frames:
            for reader in opened.values():
                reader.push(frame.image, frame.time_s)
        if not frames.info.has_audio:
            continue
        sound = torch.from_numpy(read_audio(path, 16000, mono=True))[0]
        real.append(curves_of(frame_rms(sound, 16000, CURVE_RATE, 0.064).numpy()))
        for name, reader in opened.items():
            timing = reader.finish(frames.info.duration_s)
            guessed[name].append(_on_grid(timing.envelope.values, frames.info.duration_s))
    return {name: tuple(v for k in (0, 1) for v in own_and_auc([c[k] for c in real], [c[k] for c in curves]))
            for name, curves in guessed.items()}


def _videos(folder: Path) -> list[Path]:
    listed = folder / "clips.jsonl"
    if not listed.is_file():
        return sorted(folder.glob("*.mp4"))
    rows = [json.loads(line) for line in listed.read_text(encoding="utf-8").splitlines()]
    return [folder / row["file"] for row in rows if row["visible_sync"]]


def curves_of(envelope: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log loudness and its rise, of an envelope (M,) of linear RMS."""
    level = np.log(envelope + 1e-3)
    return level, np.maximum(0, np.gradient(level))


def own_and_auc(real: list[np.ndarray], guessed: list[np.ndarray]) -> tuple[float, float]:
    """Mean r of each clip's curves with its own, and how often that beats those of another clip (AUC)."""
    table = np.array([[_best_r(first, second) for second in guessed] for first in real])
    own = np.diag(table)
    others = ~np.eye(len(table), dtype=bool)
    wins = (own[:, None] > table) + 0.5 * (own[:, None] == table)
    return float(own.mean()), float(wins[others].mean())


def _best_r(first: np.ndarray, second: np.ndarray) -> float:
    best = -1.0
    for lag in range(-MAX_LAG, MAX_LAG + 1):
        a, b = (first[lag:], second) if lag >= 0 else (first, second[-lag:])
        count = min(len(a), len(b))
        a, b = a[:count], b[:count]
        if count > 8 and a.std() > 1e-9 and b.std() > 1e-9:
            best = max(best, float(np.corrcoef(a, b)[0, 1]))
    return best if best > -1 else 0.0


def _read(reader: Any, clip: Clip) -> Any:
    assert clip.frames is not None
    assert clip.times is not None
    for frame, time_s in zip(clip.frames, clip.times.tolist(), strict=True):
        reader.push(frame, time_s)
    return reader.finish(clip.duration_s)


def main() -> None:
    """Print the tables with seed, count and machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="scenes a row")
    parser.add_argument("--seed", type=int, default=0, help="first held-out scene")
    parser.add_argument("--rates", type=float, nargs="*", default=RATES, help="frames a second")
    parser.add_argument("--weights", type=Path, default=None, help="default: the bundled predictor")
    parser.add_argument("--clips", type=Path, default=None, help="folder of real videos with their own sound")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    predictor = TimingPredictor.from_pretrained(arguments.weights or bundled("timing"))
    readers: Readers = {"motion": MotionEnvelope, "predicted": predictor.reader}
    first = HELD_OUT_SEED + arguments.seed
    seeds = range(first, first + arguments.count)
    print(f"{arguments.count} scenes of 4 s a row from seed {first}, {platform.machine()}")
    print("world   fps  reader     onset F1  precision  recall  envelope r  bias")
    for world, scenes in (("clean", clean_scenes), ("full", full_scenes)):
        for fps in arguments.rates:
            for name, values in scene_scores(readers, scenes(size=96, fps=fps), seeds).items():
                print(f"{world:6s}{fps:5.0f}  {name:10s}{values[0]:9.3f}{values[1]:11.3f}{values[2]:8.3f}"
                      f"{values[3]:12.3f}{values[4]:6.0f}", flush=True)
    for world, scenes in (("clean", clean_scenes), ("full", full_scenes)):
        for name, rate in invented(readers, scenes(size=96, silent=1.0), seeds).items():
            print(f"{world:6s}  {name:10s} {rate:6.2f} onsets a minute invented where nothing sounds")
    for name, values in hits_or_curve(predictor, seeds).items():
        print(f"fast up-swings, all nuisances, {name}: onset F1 {values[0]:.3f}, r {values[1]:.3f}, onset r "
              f"{values[2]:.3f}")
    if arguments.clips is not None:
        for name, values in clip_scores(readers, arguments.clips).items():
            print(f"clips   {name:10s} envelope r {values[0]:.3f} AUC {values[1]:.3f}  onset r {values[2]:.3f} "
                  f"AUC {values[3]:.3f}")


if __name__ == "__main__":
    main()
