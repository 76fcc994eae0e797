"""`postsync create`: make clips, picture and sound, from sentences; or the picture for a recording."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .. import registry
from .generate import MODEL, WHAT, option
from .tables import PARTS_HELP, SETTINGS_HELP

Sentences = Annotated[list[str] | None, typer.Argument(
    help="what is to be seen and heard, a clip each; with --sound it may stay away", show_default=False)]


def create(
    sentences: Sentences = None,
    negative_prompt: Annotated[str | None, option("what to avoid, in picture and sound", group=WHAT)] = None,
    sound: Annotated[Path | None, option("a recording, which is kept as it is and gets a picture", group=WHAT)] = None,
    duration: Annotated[float | None, option("seconds; rounded down to whole pictures (default: the sound's, or what "
                                             "the system was trained on)", group=WHAT)] = None,
    lufs: Annotated[float | None, option("loudness of the sound, LUFS, -70 to 0 (default -20)", group=WHAT)] = None,
    seed: Annotated[int | None, option("default -1: drawn at random and printed", group=WHAT)] = None,
    num_samples: Annotated[int, option("takes, with seed, seed + 1, ... (default 1)", group=WHAT)] = 1,
    steps: Annotated[int | None, option("denoising steps", group=WHAT)] = None,
    guidance_scale: Annotated[float | None, option("how closely the sound follows the sentence, 0 to 50",
                                                   group=WHAT)] = None,
    output: Annotated[Path | None, option("a file for one clip, else a folder; default: here, named after the sentence",
                                          "--output", "-o")] = None,
    force: Annotated[bool, option("overwrite earlier results; without it a new one gets a number", "--force")] = False,
    audio_codec: Annotated[str | None, option("aac, opus, flac or pcm (24 bits); default: the container's usual one")]
    = None,
    wav: Annotated[Path | None, option("also the soundtrack alone, WAV")] = None,
    plot: Annotated[Path | None, option("also a picture of spectrogram, envelope and onsets, PNG")] = None,
    json_: Annotated[bool, option("report as JSON on standard output", "--json")] = False,
    quiet: Annotated[bool, option("print errors only", "--quiet", "-q")] = False,
    system: Annotated[str | None, option(", ".join(registry.creating_systems()), group=MODEL)] = None,
    preset: Annotated[str | None, option("a preset, or the folder of a saved pipeline", group=MODEL)] = None,
    set_: Annotated[list[str] | None, option(SETTINGS_HELP, "--set", group=MODEL)] = None,
    part: Annotated[list[str] | None, option(PARTS_HELP, group=MODEL)] = None,
    device: Annotated[str | None, option("cpu, cuda, mps", group=MODEL)] = None,
    dtype: Annotated[str | None, option(" or ".join(registry.DTYPES), group=MODEL)] = None,
) -> None:
    """Make clips whose picture and sound belong together."""
    from ..errors import ConditionError
    from ..generation.options import Options, with_settings
    from ..generation.outputs import Outputs
    from ..protocols.system import read_pairs
    from .lean_imports import import_diffusers
    from .reporting import Reporter, warnings_shown

    import_diffusers()
    from ..generation.creation import create_all, default_system, plan_clips

    given: dict[str, Any] = {
        "system": system or default_system(), "preset": preset, "device": device, "dtype": dtype,
        "negative_prompt": negative_prompt, "given_sound": None if sound is None else str(sound), "target_lufs": lufs,
        "seed": seed, "num_inference_steps": steps, "guidance_scale": guidance_scale, "audio_codec": audio_codec,
        "parts": read_pairs(part, "--part NAME=FOLDER") if part else None,
        "settings": read_pairs(set_, "--set NAME=VALUE") if set_ else None}
    if not 1 <= num_samples <= 1000:
        raise ConditionError(f"--num-samples is {num_samples}; it must be between 1 and 1000.")
    entry = registry.system(given["system"])
    options = Options(**with_settings({name: value for name, value in given.items() if value is not None},
                                      entry.options, entry.name))
    outputs, reporter = Outputs(output=output, wav=wav, plot=plot, force=force), Reporter(json_, quiet)
    with warnings_shown(quiet), reporter.bars:
        planned = plan_clips(sentences or (), options, num_samples, outputs)
        report = create_all(planned, options, outputs, duration_s=duration, load=reporter.load,
                            on_result=reporter.on_result, on_progress=reporter.on_progress)
    reporter.end(report)
