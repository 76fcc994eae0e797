"""`postsync train`: one of the trainables, on rendered scenes or on the clips of a manifest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import registry
from ..errors import PostsyncError
from ..protocols.system import Trainable, read_pairs

if TYPE_CHECKING:
    from ..data.feature_cache import FeatureCache
    from ..protocols.objective import Objective
    from ..scenes.recordings import RecordingBank


def _of(names: Callable[[Trainable], Iterable[str]]) -> str:
    """The names that trainables list, with the trainables where not all list them."""
    owners: dict[str, list[str]] = {}
    for entry in registry.TRAINABLES.values():
        for name in names(entry):
            owners.setdefault(name, []).append(entry.name)
    groups: dict[str, list[str]] = {}
    for name, of in owners.items():
        groups.setdefault("" if len(of) == len(registry.TRAINABLES) else f" ({', '.join(of)})", []).append(name)
    return "; ".join(", ".join(group) + of for of, group in groups.items()) or "there is none"


Preset = Annotated[str, typer.Option(help=f"Sizes: {_of(lambda entry: entry.presets)}.")]
Parts = Annotated[list[str] | None, typer.Option("--part", metavar="NAME=FOLDER", help="Trained part to build on, in "
                  f"place of the bundled one; may be repeated: {_of(lambda entry: entry.parts)}.")]
Options = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Option of the trainable; may "
                    f"be repeated: {_of(lambda entry: entry.options)}.")]


def load(name: str, preset: str, part: list[str] | None, set_: list[str] | None) -> Objective:
    """The untrained objective of trainable `name`; `part` and `set_` as given on the command line."""
    parts = {key: Path(folder) for key, folder in read_pairs(part or (), "--part NAME=FOLDER").items()}
    return registry.load_objective(name, preset, parts, read_pairs(set_ or (), "--set NAME=VALUE"))


def train(
    name: Annotated[str, typer.Argument(help="What to train: " + ", ".join(registry.TRAINABLES))],
    out: Annotated[Path, typer.Option(help="Folder of the run: state, log, features, export.")],
    preset: Preset = "mini",
    part: Parts = None,
    set_: Options = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Optimiser steps.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Wall-clock budget, preparation not counted.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Clips per batch.")] = None,
    accumulation: Annotated[int | None, typer.Option(min=1, help="Batches per optimiser step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of scenes, batches and noise.")] = 0,
    count: Annotated[int | None, typer.Option(min=1, help="Number of scenes.")] = None,
    duration: Annotated[float | None, typer.Option(min=0.5, help="Seconds of a scene.")] = None,
    clean: Annotated[bool, typer.Option("--clean", help="Scenes without nuisances.")] = False,
    recordings: Annotated[list[Path] | None, typer.Option(help="Folder of labelled recordings, a second source of "
                                                          "sound; may be repeated.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of a manifest to train on, instead of scenes.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare clips.")] = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of this process.")] = None,
    precision: Annotated[str | None, typer.Option(help="no, bf16 or fp16.")] = None,
    cpu: Annotated[bool, typer.Option("--cpu", help="Use the CPU only.")] = False,
    tracker: Annotated[str | None, typer.Option(metavar="NAME", help="Where Accelerate logs scalars: tensorboard "
                                                "(default where installed), wandb, ..., or none.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Train a part of a system; the weights are written to OUT/export."""
    import torch

    from ..data.extractor_version import extractor_version
    from ..training.clips import scene_clips
    from ..training.loop import train as run

    entry = registry.trainable(name)
    if threads is not None:
        torch.set_num_threads(threads)
    torch.manual_seed(seed)
    objective = load(name, preset, part, set_)
    if data is not None:
        of_scenes = {"count": count, "duration": duration, "clean": clean or None, "recordings": recordings or None}
        if extra := [option for option, value in of_scenes.items() if value is not None]:
            raise PostsyncError(f"--data and --{', --'.join(extra)} cannot be combined; those are for scenes.")
        dataset: Any = manifest_features(name, objective, data)
        key = dataset.key
    else:
        dataset = scene_clips(objective.wants, seed, count or entry.count, duration_s=duration, clean=clean,
                              world=registry.resolve(entry.world)() if entry.world else None,
                              recordings=recordings or ())
        key = f"{name} {dataset.config} {dataset.seeds} {recordings} {extractor_version(objective)}"
    changes: dict[str, Any] = {"steps": steps, "batch_size": batch_size,
                               "accumulation": accumulation, "lr": lr, "max_minutes": minutes,
                               "mixed_precision": precision}
    if minutes is not None and steps is None:
        changes["steps"] = 10**9  # the time limit ends the run
    config = replace(entry.config_of(preset), seed=seed,
                     **{key: value for key, value in changes.items() if value is not None})
    export = run(objective, dataset, config, out, resume=resume, workers=workers, key=key, tracker=tracker, cpu=cpu,
                 progress=not quiet)
    if data is None:
        write_material(dataset.config.families, dataset.bank, export)
    typer.echo(str(export))


def write_material(families: Iterable[str], bank: RecordingBank | None, export: Path) -> None:
    """Write beside trained weights what they were trained on: families into `training.json`, and whose recordings into
    `credits.txt`."""
    training = export / "training.json"
    known = json.loads(training.read_text(encoding="utf-8")) | {"families": list(families)}
    training.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    if bank is not None:
        bank.write_credits(export)


def manifest_features(name: str, objective: Objective, manifest: Path, split: str = "train",
                      folder: Path | None = None) -> FeatureCache:
    """See `manifest_clips`; prints what was skipped."""
    from ..training.clips import manifest_clips

    clips = manifest_clips(name, objective, manifest, split, folder)
    if clips.skipped:
        typer.echo("skipped: " + clips.skipped, err=True)
    return clips
