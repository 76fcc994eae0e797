"""`postsync train`: one of the trainables, on rendered scenes or on the clips of a manifest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import registry
from ..errors import PostsyncError

CodecFolder = Annotated[Path | None, typer.Option("--codec", help="folder of another codec: vae/ and vocoder/ "
                                                  "(mgaudio)")]
CavpFolder = Annotated[Path | None, typer.Option("--cavp", help="folder of another CAVP (mgaudio)")]
VideoFeatures = Annotated[Path | None, typer.Option("--video-features", help="folder of CAVP's features CLIP_ID.npz, "
                                                    "used in place of pictures (mgaudio)")]
RECORDED = 0.5  # part of the clips that sound a recording, where the bank has one of their family


def train(
    name: Annotated[str, typer.Argument(help="What to train: " + ", ".join(registry.TRAINABLES))],
    out: Annotated[Path, typer.Option(help="Folder of the run: state, log, export.")],
    preset: Annotated[str, typer.Option(help="Sizes: mini, tiny (of some), paper-S, -B, -L, -XL (mgaudio)")] = "mini",
    steps: Annotated[int | None, typer.Option(min=1, help="Optimiser steps.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Wall-clock budget, preparing not counted.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Clips worked on at once.")] = None,
    accumulation: Annotated[int | None, typer.Option(min=1, help="Such batches to an optimiser step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of scenes, batches and noise.")] = 0,
    count: Annotated[int | None, typer.Option(min=1, help="Number of scenes.")] = None,
    duration: Annotated[float | None, typer.Option(min=0.5, help="Seconds of a scene.")] = None,
    clean: Annotated[bool, typer.Option("--clean", help="Scenes without nuisances.")] = False,
    recordings: Annotated[Path | None, typer.Option(help="Labelled recordings, a second sound source.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of a manifest to train on, not scenes.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare clips.")] = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of this process.")] = None,
    precision: Annotated[str | None, typer.Option(help="no, bf16 or fp16.")] = None,
    cpu: Annotated[bool, typer.Option("--cpu", help="Leave accelerators alone.")] = False,
    base: Annotated[Path | None, typer.Option(help="Trained pipeline to start from (foleygram_control).")] = None,
    codec: CodecFolder = None,
    cavp: CavpFolder = None,
    video_features: VideoFeatures = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Train a part of a mini; the weights come out in OUT/export."""
    import torch

    from ..data.extractor_version import extractor_version
    from ..training.loop import train as run

    entry = registry.trainable(name)
    if threads is not None:
        torch.set_num_threads(threads)
    torch.manual_seed(seed)
    parts = {"codec": codec, "cavp": cavp, "video_features": video_features}
    objective = registry.load_objective(name, preset, base, parts)
    cache: dict[str, Any] = {}
    if data is not None:
        dataset = _clips_of(data, name, objective, {"count": count, "duration": duration, "clean": clean or None,
                                                    "recordings": recordings})
    else:
        scenes = dict(entry.scenes) | (registry.resolve(entry.world)() if entry.world else {})
        scenes |= {"duration_s": duration} if duration else {}
        count = count or entry.count
        dataset = scene_dataset(scenes, seed, count, objective.needs, clean, recordings)
        key = f"{name} {scenes} {seed} {count} clean={clean} {recordings} {extractor_version(objective)}"
        cache = {"cache": out / "features", "cache_key": key}
    changes: dict[str, Any] = {"steps": steps, "batch_size": batch_size,
                               "accumulation": accumulation, "lr": lr, "max_minutes": minutes,
                               "mixed_precision": precision}
    if minutes is not None and steps is None:
        changes["steps"] = 10**9  # the clock ends the run
    config = replace(entry.config_of(preset), seed=seed,
                     **{key: value for key, value in changes.items() if value is not None})
    export = run(objective, dataset, config, out, resume=resume, workers=workers, fit=entry.fits, cpu=cpu,
                 progress=not quiet, **cache)
    typer.echo(str(export))


def _clips_of(folder: Path, name: str, objective: Any, of_scenes: dict[str, Any]) -> Any:
    """The clips of the manifest in `folder`, with their features kept; `of_scenes`: options that say nothing of them.

    Raises PostsyncError where one of those was given.
    """
    from ..training.manifest_clips import manifest_clips

    if extra := [option for option, value in of_scenes.items() if value is not None]:
        raise PostsyncError(f"--data and --{', --'.join(extra)} do not go together; those are for scenes.")
    clips = manifest_clips(name, objective, folder)
    if clips.left_out:
        typer.echo("left out: " + clips.left_out, err=True)
    return clips


def scene_dataset(scenes: dict[str, Any], seed: int, count: int, needs: frozenset[str], clean: bool,
                  recordings: Path | None) -> Any:
    """`count` scenes for training; run `seed` s uses the seeds from s * count on, below the held-out ones."""
    from ..scenes.render import HELD_OUT_SEED, SceneDataset, clean_scenes, full_scenes
    from ..scenes.sounds import SoundConfig

    first = seed * count
    if seed < 0 or first + count > HELD_OUT_SEED:
        raise PostsyncError(f"scenes {first} to {first + count} are not all training scenes (0 to {HELD_OUT_SEED}); "
                            "use another --seed.")
    bank = None
    if recordings is not None:
        from ..scenes.recordings import RecordingBank

        bank = RecordingBank(recordings)
        scenes = scenes | {"sound": SoundConfig(recordings=RECORDED)}
    if clean:
        config = clean_scenes(**{name: value for name, value in scenes.items() if name != "nuisances"})
    else:
        config = full_scenes(**scenes)
    return SceneDataset(config, range(first, first + count), needs, bank=bank)
