"""Options that `generate` and `create` share: the same words, and the same way from the command line to values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import registry
from ..errors import ConditionError
from ..protocols.system import read_pairs
from .tables import PARTS_HELP, SETTINGS_HELP


def option(text: str, *names: str, group: str = "What is written") -> typer.models.OptionInfo:
    """An option with its help, under a heading."""
    return typer.Option(*names, help=text, rich_help_panel=group, show_default=False)


WHAT, MODEL = "Sound", "The model"

Lufs = Annotated[float | None, option("loudness of the sound, LUFS, -70 to 0 (default -20)", group=WHAT)]
Seed = Annotated[int | None, option("default -1: drawn at random and printed", group=WHAT)]
NumSamples = Annotated[int, option("takes, with seed, seed + 1, ... (default 1)", group=WHAT)]
Steps = Annotated[int | None, option("denoising steps", group=WHAT)]
Force = Annotated[bool, option("overwrite earlier results; without it a new one gets a number", "--force")]
AudioCodec = Annotated[str | None, option("of a video's sound: aac, opus, flac or pcm (24 bits); default: the "
                                          "container's usual one")]
Wav = Annotated[Path | None, option("also the soundtrack alone, WAV")]
Plot = Annotated[Path | None, option("also a picture of spectrogram, envelope and onsets, PNG")]
AsJson = Annotated[bool, option("report as JSON on standard output", "--json")]
Quiet = Annotated[bool, option("print errors only", "--quiet", "-q")]
Preset = Annotated[str | None, option("a preset, or the folder of a saved pipeline", group=MODEL)]
Settings = Annotated[list[str] | None, option(SETTINGS_HELP, "--set", group=MODEL)]
Parts = Annotated[list[str] | None, option(PARTS_HELP, group=MODEL)]
Device = Annotated[str | None, option("cpu, cuda, mps", group=MODEL)]
Dtype = Annotated[str | None, option(" or ".join(registry.DTYPES), group=MODEL)]


def given_options(asked: Mapping[str, Any], settings: Sequence[str], parts: Sequence[str]) -> dict[str, Any]:
    """Fields of `Options` by name: those that were given, paths as text, and what --set and --part name. Raises
    ConditionError for pairs of another form."""
    given = {name: str(value) if isinstance(value, Path) else value for name, value in asked.items()
             if value is not None}
    given |= {"parts": read_pairs(parts, "--part NAME=FOLDER")} if parts else {}
    given |= {"settings": read_pairs(settings, "--set NAME=VALUE")} if settings else {}
    return given


def check_takes(num_samples: int) -> None:
    """Raise ConditionError for no takes, or too many."""
    if not 1 <= num_samples <= 1000:
        raise ConditionError(f"--num-samples is {num_samples}; it must be between 1 and 1000.")
