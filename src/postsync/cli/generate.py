"""`postsync generate`: put sound to a clip, to the clips of a folder, or to the rows of a CSV file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperCommand

from .. import registry
from ..timing.readers import READERS
from . import run_options as shared
from .run_options import MODEL, WHAT, option
from .tables import GUIDES_HELP

ClipArgument = Annotated[list[Path] | None, typer.Argument(
    help="clips, folders of clips, or CSV files `video,prompt[,negative_prompt,cues,seed,start,end]`; with --redo one "
         "earlier result or its sidecar. A clip's own sound is never listened to.", show_default=False)]


class Command(TyperCommand):
    """The command with `--mix`, whose number is optional."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        return super().parse_args(ctx, with_gain(args))


def with_gain(arguments: list[str]) -> list[str]:
    """The arguments with 0 inserted after a `--mix` that no number follows."""
    complete = []
    for position, argument in enumerate(arguments):
        complete.append(argument)
        if argument == "--mix" and not _is_number(arguments[position + 1:position + 2]):
            complete.append("0")
    return complete


def _is_number(words: list[str]) -> bool:
    try:
        return bool(words) and isinstance(float(words[0]), float)
    except ValueError:
        return False


WHEN, PART, OWN = "Timing", "Parts and repetitions", "The clip's own sound"


def generate(
    videos: ClipArgument = None,
    prompt: Annotated[str | None, option("the sound to generate", group=WHAT)] = None,
    negative_prompt: Annotated[str | None, option("the sound to avoid", group=WHAT)] = None,
    cues: Annotated[Path | None, option("prompts over time, CSV `start,end,prompt`", group=WHAT)] = None,
    captioner: Annotated[Path | None, option("folder of an image-to-text model that says what is seen, in place of a "
                                             "prompt", group=WHAT)] = None,
    no_look: Annotated[bool, option("do not say by the picture what sounds where there is no prompt", "--no-look",
                                    group=WHAT)] = False,
    reference: Annotated[Path | None, option("a recording whose timbre is imitated", group=WHAT)] = None,
    lufs: shared.Lufs = None,
    seed: shared.Seed = None,
    num_samples: shared.NumSamples = 1,
    steps: shared.Steps = None,
    guidance_scale: Annotated[float | None, option("how closely to follow the prompt or the picture, 0 to 50",
                                                    group=WHAT)] = None,
    guide: Annotated[list[str] | None, option(GUIDES_HELP, group=WHAT)] = None,
    timing: Annotated[str | None, option("reader of the picture's timing: " + " or ".join(READERS), group=WHEN)] = None,
    kind: Annotated[str | None, option("of the sound: impulsive (hits), sustained (rubbing) or textured (rain); "
                                       "default: as the words say", group=WHEN)] = None,
    envelope: Annotated[Path | None, option("loudness, CSV or JSON `seconds,value` (RMS 0..1)", group=WHEN)] = None,
    onsets_in: Annotated[Path | None, option("hits, CSV, JSON or labels `seconds[,strength]`", group=WHEN)] = None,
    offset_ms: Annotated[float | None, option("move the sound: positive is later", group=WHEN)] = None,
    control_scale: Annotated[float | None, option("how closely to follow the timing, 0 to 5", group=WHEN)] = None,
    start: Annotated[float | None, option("start of the part that gets sound (seconds)", group=PART)] = None,
    duration: Annotated[float | None, option("length of the part that gets sound (seconds)", group=PART)] = None,
    redo: Annotated[tuple[float, float] | None, option("START END: regenerate this span of an earlier result",
                                                       group=PART)] = None,
    from_: Annotated[Path | None, option("a sidecar whose result is repeated", "--from", group=PART)] = None,
    replace: Annotated[bool, option("replace it (default)", "--replace", group=OWN)] = False,
    mix: Annotated[float | None, option("DB, or no value for 0: keep it and add the new sound at this gain",
                                        group=OWN)] = None,
    keep: Annotated[bool, option("keep it as the first track, the new sound as second", "--keep", group=OWN)] = False,
    output: Annotated[Path | None, option("a file for one result, else a folder; default: beside the clip, "
                                          "<stem>.postsync.<ext>", "--output", "-o")] = None,
    skip_existing: Annotated[bool, option("skip results whose file exists", "--skip-existing")] = False,
    force: shared.Force = False,
    audio_codec: shared.AudioCodec = None,
    wav: shared.Wav = None,
    save_envelope: Annotated[Path | None, option("also the envelope that was used, CSV or JSON")] = None,
    save_onsets: Annotated[Path | None, option("also the hits: .csv, .json, .txt (Audacity) or .edl markers")] = None,
    edl_fps: Annotated[float | None, option("frames a second of the timeline in an .edl (default: the clip's)")] = None,
    plot: shared.Plot = None,
    json_: shared.AsJson = False,
    quiet: shared.Quiet = False,
    system: Annotated[str | None, option(f"{', '.join(registry.SYSTEMS)}; see `postsync info`", group=MODEL)] = None,
    preset: shared.Preset = None,
    set_: shared.Settings = None,
    part: shared.Parts = None,
    device: shared.Device = None,
    dtype: shared.Dtype = None,
) -> None:
    """Put sound to silent clips; the pictures are copied packet by packet."""
    from . import generate_run

    own = [name for name, wanted in (("replace", replace), ("mix", mix is not None), ("keep", keep)) if wanted]
    asked = {"system": system, "preset": preset, "device": device, "dtype": dtype, "prompt": prompt,
             "negative_prompt": negative_prompt, "captioner": captioner, "look": False if no_look else None,
             "reference": reference, "seed": seed, "num_inference_steps": steps, "guidance_scale": guidance_scale,
             "control_scale": control_scale, "timing": timing, "kind": kind, "envelope": envelope, "onsets": onsets_in,
             "offset_ms": offset_ms, "start_s": start, "duration_s": duration, "mix_db": mix, "target_lufs": lufs,
             "audio_codec": audio_codec, "guides": tuple(guide) if guide else None}
    generate_run.generate(
        videos or (), asked, {"set": set_ or (), "part": part or ()}, cues, own, num_samples, redo, from_,
        skip_existing,
        {"output": output, "wav": wav, "save_envelope": save_envelope, "save_onsets": save_onsets, "plot": plot,
         "edl_fps": edl_fps, "force": force},
        as_json=json_, quiet=quiet)
