"""MGAudio's guidance table and its data-ratio row in small, on held-out scenes, three seeds.

`python benchmarks/mgaudio_ablation.py OUT` trains the mini on 4 s of clean scenes four ways for every seed,
each for the same number of steps: plain, with model guidance (MG), with MG and alignment, and the last on a
tenth of the scenes. The first two rows of the table share weights, the next two as well. Every seed's sounds for the
same held-out scenes are measured by the suite "scenes". Printed are means over the seeds, the lowest and highest
seed, and 95 % intervals of the mean, and of its difference from the row above, over resampled clips.

OUT keeps features, weights and sounds: a run that was stopped goes on where it was; with other settings, or other
bundled parts, it takes another OUT.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
import torch

from postsync.codecs.mel_vae import MelCodec
from postsync.data.extractor_version import extractor_version
from postsync.data.manifest import ManifestDataset
from postsync.encoders.cavp import FPS, load_cavp
from postsync.evaluation.bootstrap import RESAMPLES, draw_clips
from postsync.evaluation.job import Measured, run
from postsync.evaluation.suites import scenes
from postsync.media.output import whole_file
from postsync.protocols.train_config import TrainConfig
from postsync.scenes.export import export
from postsync.scenes.render import HELD_OUT_SEED, SceneDataset, clean_scenes
from postsync.systems.mgaudio import presets
from postsync.systems.mgaudio.features import video_features
from postsync.systems.mgaudio.objective import MGAudioObjective
from postsync.systems.mgaudio.pipeline import MGAudioPipeline
from postsync.training.loop import train
from postsync.weights import bundled

CLIP_S = 4.0
SHOWN = ("FAD-SceneClassifier", "Family-accuracy-SceneClassifier", "GRAM-AV", "Envelope-r", "Onset-F1@100ms")
FIRST_SCENE = 20_000  # after those CAVP was trained on, of which its features are better than of others
FEW = 50  # Frechet distances are resampled so many times, all else RESAMPLES times


@dataclass(frozen=True)
class Row:
    """One row of a table: how it is trained, on what share of the scenes, and how guided."""

    title: str
    training: str
    guidance_scale: float
    share: float = 1.0


def rows(scale: float) -> tuple[Row, ...]:
    """The guidance table, then the row of a tenth of the data."""
    return (Row("none", "plain", 1.0), Row("CFG", "plain", scale), Row("MG", "mg", 1.0), Row("MG + CFG", "mg", scale),
            Row("MG + CFG + alignment", "aligned", scale),
            Row("the same on 10 % of the scenes", "aligned", scale, share=0.1))


def preset(training: str, steps: int, feature_dim: int) -> presets.MGAudioPreset:
    """The mini on 4 s, guided after a third of the steps."""
    mini = presets.mini(feature_dim)
    sizes = mini.transformer | {"latent_frames": 100, "num_features": round(CLIP_S * FPS)}
    return replace(mini, transformer=sizes, native_frames=100,
                   guidance=replace(mini.guidance, start_step=-1 if training == "plain" else steps // 3),
                   alignment=replace(mini.alignment, weight=0.5 if training == "aligned" else 0.0),
                   training=replace(mini.training, cached_s=CLIP_S))


def objective_of(training: str, steps: int) -> MGAudioObjective:
    """The untrained objective, over the bundled codec and CAVP."""
    cavp = load_cavp(bundled("cavp"))
    return MGAudioObjective(preset(training, steps, cavp.config["embed_dim"]),
                            codec=MelCodec.from_pretrained(bundled("mel_codec")), cavp=cavp)


def check_settings(arguments: argparse.Namespace) -> None:
    """Keep the settings in OUT; raise SystemExit where it was begun with others."""
    asked = {name: value for name, value in vars(arguments).items() if name not in ("out", "seeds")}
    asked["prepared by"] = extractor_version(objective_of("plain", arguments.steps))
    path = arguments.out / "settings.json"
    if path.is_file() and json.loads(path.read_text()) != asked:
        raise SystemExit(f"{arguments.out} holds a run with other settings ({path.read_text()}); name another folder")
    arguments.out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asked))


def trained(row: Row, seed: int, arguments: argparse.Namespace) -> Path:
    """The folder of the weights of a row and seed, trained where they are not there yet."""
    folder = arguments.out / f"{row.training}-{row.share:g}-{seed}"
    if (folder / "export" / "training.json").is_file():
        return folder / "export"
    torch.manual_seed(seed)
    objective = objective_of(row.training, arguments.steps)
    count = round(arguments.scenes * row.share)
    config = TrainConfig(steps=arguments.steps, batch_size=16, lr=arguments.lr, warmup=50, weight_decay=0.0,
                         ema_decay=0.99, seed=seed)
    clips = SceneDataset(clean_scenes(duration_s=CLIP_S, fps=FPS), range(FIRST_SCENE, FIRST_SCENE + count),
                         objective.wants.needs)
    started = time.perf_counter()
    export_folder = train(objective, clips, config, folder, features=arguments.out / "features", cpu=True,
                          key=f"ablation {count}", resume=(folder / "state").is_dir())
    print(f"trained {folder.name} in {time.perf_counter() - started:.0f} s", flush=True)
    return export_folder


def sounds(row: Row, seed: int, weights: Path, reference: Path, folder: Path) -> Path:
    """The folder of WAV files of a row and seed for all clips of `reference`."""
    folder.mkdir(parents=True, exist_ok=True)
    clips = ManifestDataset(reference, frozenset({"frames"}), size=(64, 64), fps=FPS)
    if len(list(folder.glob("*.wav"))) == len(clips):
        return folder
    pipe = MGAudioPipeline.from_pretrained(weights)
    pipe.set_progress_bar_config(disable=True)
    for index in range(len(clips)):
        clip = clips[index]
        assert clip.frames is not None
        assert clip.times is not None
        sound = pipe(video=video_features(pipe.cavp, clip.frames, clip.times, CLIP_S), duration_s=CLIP_S,
                     guidance_scale=row.guidance_scale,
                     generator=torch.Generator().manual_seed(seed * 10_000 + index)).audios[0, 0]
        with whole_file(folder / f"{clip.clip_id}.wav") as path:
            soundfile.write(path, (sound / sound.abs().max().clamp(min=1e-4)).numpy(), pipe.sampling_rate,
                            format="WAV")
    return folder


def over_seeds(measured: Iterable[Measured], metric: str, draws: np.ndarray) -> tuple[list[float], np.ndarray]:
    """The metric of each seed, and of each draw its mean over the seeds."""
    values, drawn = [], []
    for system in measured:
        tally = next(tally for tally in system.tallies if tally.metric.name == metric)
        value = tally.value(system.ids)
        values.append(np.nan if value is None else value)
        drawn.append(tally.values(system.ids, draws))
    return values, np.mean(drawn, axis=0)


def interval(drawn: np.ndarray, value: float) -> str:
    """The spread of resampled values about their median, laid around `value`: resampling alone moves a distance."""
    low, high = np.nanquantile(drawn, [0.025, 0.975]) + value - np.nanmedian(drawn)
    return f"{low:.3f} .. {high:.3f}"


def print_table(metric: str, table: Sequence[Row], systems: Sequence[Measured], draws: np.ndarray) -> None:
    """A metric for every row; `systems` holds all seeds of the first row, then of the next. Differences are paired."""
    print(f"\n| {metric} | mean | 95 % | lowest, highest seed | less the row above, 95 % |\n|---|---|---|---|---|")
    count, above = len(systems) // len(table), None
    for k, row in enumerate(table):
        values, drawn = over_seeds(systems[k * count:(k + 1) * count], metric, draws)
        mean, change = float(np.mean(values)), ""
        if above is not None:
            change = f"{mean - above[0]:+.3f} ({interval(drawn - above[1], mean - above[0])})"
        seeds = f"{min(values):.3f}, {max(values):.3f}"
        print(f"| {row.title} | {mean:.3f} | {interval(drawn, mean)} | {seeds} | {change} |")
        above = mean, drawn


def main() -> None:
    """Print the tables as Markdown with steps, seeds, counts and machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=600, help="of each training, 16 clips a step")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--scenes", type=int, default=1000, help="to train on")
    parser.add_argument("--clips", type=int, default=64, help="held out, measured")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--guidance-scale", type=float, default=2.0, help="where a row has CFG")
    arguments = parser.parse_args()
    check_settings(arguments)
    reference = arguments.out / "held-out"
    if not (reference / "manifest.jsonl").is_file():
        export(reference, range(HELD_OUT_SEED, HELD_OUT_SEED + arguments.clips), clean_scenes(duration_s=CLIP_S))
    table = rows(arguments.guidance_scale)
    folders = [sounds(row, seed, trained(row, seed, arguments), reference,
                      arguments.out / "sounds" / f"{row.title} {seed}") for row in table for seed in arguments.seeds]
    done = run(folders, reference, scenes())
    draws = draw_clips(arguments.clips, RESAMPLES, 0)
    for metric in SHOWN:
        print_table(metric, table, done.systems, draws[:FEW] if metric.startswith("FAD") else draws)
    print(f"\n{arguments.steps} steps of 16 clips of {CLIP_S:g} s, {arguments.scenes} clean scenes, lr "
          f"{arguments.lr:g}; guidance {arguments.guidance_scale:g}; {arguments.clips} held-out scenes, seeds "
          f"{' '.join(map(str, arguments.seeds))}, {RESAMPLES} resamples (FAD: {FEW}); {platform.machine()}, "
          f"{os.cpu_count()} cores")


if __name__ == "__main__":
    main()
