"""`postsync generate`: put sound to a clip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import torch

    from ..generation import Result


def generate(
    video: Annotated[Path, typer.Argument(help="the clip; its own sound is never listened to")],
    prompt: Annotated[str | None, typer.Option(help="what is to be heard")] = None,
    negative_prompt: Annotated[str | None, typer.Option(help="what is not to be heard")] = None,
    reference: Annotated[Path | None, typer.Option(help="a recording whose timbre is imitated")] = None,
    seed: Annotated[int, typer.Option(help="-1 draws one and prints it")] = -1,
    steps: Annotated[int | None, typer.Option(min=1, max=1000, help="denoising steps")] = None,
    guidance_scale: Annotated[float | None, typer.Option(min=0.0, max=50.0, help="how closely to follow words")] = None,
    envelope: Annotated[Path | None, typer.Option(help="CSV `seconds,value` (RMS 0..1) instead of the motion")] = None,
    save_envelope: Annotated[Path | None, typer.Option(help="write the envelope that was used as CSV")] = None,
    control_scale: Annotated[float | None, typer.Option(min=0.0, max=5.0, help="how closely to follow time")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="default: <stem>.postsync.<ext>")] = None,
    plot: Annotated[Path | None, typer.Option(help="draw spectrogram, envelope and onsets as PNG")] = None,
    wav: Annotated[Path | None, typer.Option(help="also write the soundtrack alone as WAV")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, mps")] = "cpu",
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16")] = "float32",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="say nothing but errors")] = False,
    system: Annotated[str, typer.Option(help="see `postsync info`")] = "foleygram",
    preset: Annotated[str, typer.Option(help="see `postsync info`")] = "mini",
) -> None:
    """Put sound to a silent clip; the pictures are copied packet by packet."""
    from rich.console import Console

    from ..media.container import check_readable
    from ..media.mux import check_container, default_output
    from ..media.output import check_writable

    check_readable(video)
    target = output if output is not None else default_output(video)
    if target.suffix.lower() != ".wav":
        check_container(target)
    for path in (target, wav, plot, save_envelope):  # refuse before the work, not after it
        if path is not None:
            check_writable(path, inputs=(video,))
    from .lean_imports import import_diffusers

    import_diffusers()  # before anything else does it the long way
    import torch
    from diffusers.utils import logging as diffusers_logging

    from .. import generation

    diffusers_logging.disable_progress_bar()  # of loading, which takes less than a second
    pipeline = generation.load(system, preset, device=checked_device(device), dtype=checked_dtype(dtype))
    pipeline.set_progress_bar_config(disable=quiet, desc="denoising", leave=False)
    seed = generation.fresh_seed() if seed < 0 else seed
    with torch.inference_mode():
        result = generation.generate(
            video, prompt, negative_prompt=negative_prompt, pipeline=pipeline, reference=reference, seed=seed,
            num_inference_steps=steps, guidance_scale=guidance_scale, envelope=envelope, control_scale=control_scale)
    written = _write(result, target, wav, save_envelope, plot)
    if not quiet:
        console = Console(highlight=False, soft_wrap=True)
        console.print(f"{result.duration_s:.3f} s, {len(result.onsets_s)} onsets, seed {result.seed}")
        for path in written:
            console.print(f"wrote {path}")


def _write(result: Result, target: Path, wav: Path | None, save_envelope: Path | None, plot: Path | None) -> list[Path]:
    """Write all that was asked for; returns what was written."""
    written = [result.save(target)]
    if wav is not None:
        written.append(result.save(wav))
    if save_envelope is not None:
        result.save_envelope(save_envelope)
        written.append(save_envelope)
    if plot is not None:
        result.plot(plot)
        written.append(plot)
    return written


def checked_device(name: str) -> str:
    """The device if it is here; raises ConditionError naming those that are."""
    import torch

    from ..errors import ConditionError

    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not here.get(name.split(":")[0], False):
        choice = ", ".join(name for name, there in here.items() if there)
        raise ConditionError(f"no device '{name}' here; choose one of {choice}.")
    return name


def checked_dtype(name: str) -> torch.dtype:
    """The torch dtype of that name; raises ConditionError for others than float32 and bfloat16."""
    import torch

    from ..errors import ConditionError

    if name not in ("float32", "bfloat16"):
        raise ConditionError(f"no dtype '{name}'; choose float32 or bfloat16.")
    return torch.float32 if name == "float32" else torch.bfloat16
