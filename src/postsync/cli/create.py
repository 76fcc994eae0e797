"""`postsync create`: make clips, picture and sound, from sentences; or the picture for a recording."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import registry
from . import run_options as shared
from .run_options import MODEL, WHAT, check_takes, given_options, option

Sentences = Annotated[list[str] | None, typer.Argument(
    help="what is to be seen and heard, a clip each; with --sound it may stay away", show_default=False)]


def create(
    sentences: Sentences = None,
    negative_prompt: Annotated[str | None, option("what to avoid, in picture and sound", group=WHAT)] = None,
    sound: Annotated[Path | None, option("a recording, which is kept as it is and gets a picture", group=WHAT)] = None,
    duration: Annotated[float | None, option("seconds; rounded down to whole pictures (default: the sound's, or what "
                                             "the system was trained on)", group=WHAT)] = None,
    lufs: shared.Lufs = None,
    seed: shared.Seed = None,
    num_samples: shared.NumSamples = 1,
    steps: shared.Steps = None,
    guidance_scale: Annotated[float | None, option("how closely the sound follows the sentence, 0 to 50",
                                                   group=WHAT)] = None,
    output: Annotated[Path | None, option("a file for one clip, else a folder; default: here, named after the sentence",
                                          "--output", "-o")] = None,
    force: shared.Force = False,
    audio_codec: shared.AudioCodec = None,
    wav: shared.Wav = None,
    plot: shared.Plot = None,
    json_: shared.AsJson = False,
    quiet: shared.Quiet = False,
    system: Annotated[str | None, option(", ".join(registry.creating_systems()), group=MODEL)] = None,
    preset: shared.Preset = None,
    set_: shared.Settings = None,
    part: shared.Parts = None,
    device: shared.Device = None,
    dtype: shared.Dtype = None,
) -> None:
    """Make clips whose picture and sound belong together."""
    from ..generation.options import Options, with_settings
    from ..generation.outputs import Outputs
    from .lean_imports import import_diffusers
    from .reporting import Reporter, warnings_shown

    entry = registry.system(system or registry.creating_systems()[0])
    asked = {"system": entry.name, "preset": preset, "device": device, "dtype": dtype,
             "negative_prompt": negative_prompt, "given_sound": sound, "target_lufs": lufs, "seed": seed,
             "num_inference_steps": steps, "guidance_scale": guidance_scale, "audio_codec": audio_codec}
    options = Options(**with_settings(given_options(asked, set_ or (), part or ()), entry.options, entry.name))
    check_takes(num_samples)
    import_diffusers()  # first, before anything else imports it slowly
    from ..generation.creation import create_all, plan_clips

    outputs, reporter = Outputs(output=output, wav=wav, plot=plot, force=force), Reporter(json_, quiet)
    with warnings_shown(quiet), reporter.bars:
        planned = plan_clips(sentences or (), options, num_samples, outputs)
        report = create_all(planned, options, outputs, duration_s=duration, load=reporter.load,
                            on_result=reporter.on_result, on_progress=reporter.on_progress)
    reporter.end(report)
