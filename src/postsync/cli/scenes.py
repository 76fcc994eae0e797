"""`postsync scenes`: render, export and preview procedural scenes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConditionError

if TYPE_CHECKING:
    from ..scenes.render import SceneConfig

app = typer.Typer(no_args_is_help=True, help="Render, export or preview procedural scenes.")

Families = Annotated[list[str] | None, typer.Option("--family", help="sound family; may be given several times")]
Clean = Annotated[bool, typer.Option("--clean", help="no nuisances, dry sound without noise")]
Duration = Annotated[float, typer.Option("--duration", min=0.5, max=600.0, help="seconds")]
Size = Annotated[int, typer.Option(min=8, max=1024, help="pixels a side")]
Fps = Annotated[float | None, typer.Option(min=1.0, max=120.0, help="default: 12 to 60, sometimes variable")]
Rate = Annotated[int, typer.Option("--sample-rate", min=8000, max=48000, help="Hz")]


@app.command()
def render(
    seed: Annotated[int, typer.Argument(min=0, help="the scene's seed; from 10000000 on held out of training")],
    out: Annotated[Path, typer.Option("--out", "-o", help="the file to write")] = Path("scene.mp4"),
    family: Families = None,
    silent: Annotated[bool, typer.Option("--silent", help="write no sound")] = False,
    clean: Clean = False,
    duration: Duration = 4.0,
    size: Size = 64,
    fps: Fps = None,
    sample_rate: Rate = 16000,
) -> None:
    """Render one scene as an mp4 and print what sounds in it, and when."""
    from rich.console import Console

    from ..scenes.export import render_mp4
    from ..scenes.render import render_scene

    clip = render_scene(seed, _config(family, clean, duration, size, fps, sample_rate))
    render_mp4(clip, out, with_audio=not silent)
    onsets = ", ".join(f"{e.t:.2f}" + ("" if e.visible else " (unseen)") for e in clip.events)
    Console(soft_wrap=True).print(f'{out}: "{clip.captions[0]}" ({clip.label}), onsets at {onsets} s', markup=False)


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="folder to write the data set to")],
    count: Annotated[int, typer.Option(min=1, help="number of clips")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="the first seed; the others follow")] = 0,
    family: Families = None,
    clean: Clean = False,
    duration: Duration = 4.0,
    size: Size = 64,
    fps: Fps = None,
    sample_rate: Rate = 16000,
    sounds: Annotated[Path | None, typer.Option(help="folder of labelled recordings to use as well")] = None,
    recordings: Annotated[float, typer.Option(min=0.0, max=1.0, help="share of clips with recorded sound")] = 0.5,
) -> None:
    """Write scenes as an ordinary data set: mp4 files and a manifest with every onset."""
    from dataclasses import replace

    from rich.console import Console
    from rich.progress import track

    from ..scenes.export import export as export_scenes

    config, bank = _config(family, clean, duration, size, fps, sample_rate), None
    if sounds is not None:
        from ..scenes.recordings import RecordingBank

        bank = RecordingBank(sounds)
        config = replace(config, sound=replace(config.sound, recordings=recordings))
    path = export_scenes(folder, track(range(seed, seed + count), "rendering"), config, bank)
    Console(soft_wrap=True).print(f"{path}: {count} clips", markup=False)


@app.command()
def preview(
    out: Annotated[Path, typer.Option("--out", "-o", help="the PNG to write")] = Path("scenes.png"),
    count: Annotated[int, typer.Option(min=1, max=50, help="number of clips")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="the first seed")] = 0,
    family: Families = None,
    clean: Clean = False,
    duration: Duration = 4.0,
    size: Size = 64,
    fps: Fps = None,
) -> None:
    """Draw a sheet of scenes: frames, waveform, envelope, onsets."""
    from rich.console import Console

    from ..scenes.preview import preview as draw
    from ..scenes.render import render_scene

    config = _config(family, clean, duration, size, fps, 16000)
    draw([render_scene(k, config) for k in range(seed, seed + count)], out)
    Console(soft_wrap=True).print(f"{out}: {count} clips", markup=False)


def _config(families: list[str] | None, clean: bool, duration_s: float, size: int, fps: float | None,
            rate: int) -> SceneConfig:
    from ..scenes.families import FAMILIES
    from ..scenes.render import clean_scenes, full_scenes

    unknown = [name for name in families or () if name not in FAMILIES]
    if unknown:
        raise ConditionError(f"no sound family {', '.join(unknown)}; choose from {', '.join(FAMILIES)}")
    changes = {"families": tuple(families or FAMILIES), "duration_s": duration_s, "size": size, "sample_rate": rate}
    if clean:
        return clean_scenes(**changes, fps=fps or 25.0)
    return full_scenes(**changes, fps=fps)
