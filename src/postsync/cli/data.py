"""`postsync data`: import data sets into the neutral manifest, audit them, prepare their features."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import PostsyncError
from . import exit_with
from .train import Options, Parts, Preset, load, manifest_features

app = typer.Typer(no_args_is_help=True, help="Import, audit and prepare data sets.")

Folder = Annotated[Path, typer.Argument(help="folder of a manifest")]
Workers = Annotated[int, typer.Option(min=1, max=256, help="decoding threads")]
Quiet = Annotated[bool, typer.Option("--quiet", help="no progress bar")]


@app.command("import")
def import_(
    format_name: Annotated[str, typer.Argument(metavar="FORMAT", help="vggsound-csv, audioset-csv, audiocaps-csv, "
                                               "landscape-csv, greatesthits-times, unav-json or folder")],
    annotations: Annotated[Path, typer.Argument(help="the official annotation file or folder")],
    out: Annotated[Path, typer.Option(help="folder to write the manifest to")],
    media: Annotated[Path | None, typer.Option(help="folder of the media; default: that of the annotations")] = None,
    split: Annotated[str | None, typer.Option(help="for lists that do not name it: train, val or test")] = None,
    lists: Annotated[Path | None, typer.Option(help="folder of split lists (greatesthits-times)")] = None,
    window: Annotated[float | None, typer.Option(min=0.1, help="cut clips into windows of this many seconds")] = None,
    workers: Workers = 1,
    replace: Annotated[bool, typer.Option("--replace", help="overwrite an earlier manifest")] = False,
    quiet: Quiet = False,
) -> None:
    """Find the media of official annotations and write them as a manifest; problems of a clip are flagged."""
    from ..data.importers import import_dataset
    from ..data.importers.entries import ImportOptions
    from ..data.manifest import read_meta

    if lists is not None and (format_name != "greatesthits-times" or not lists.is_dir()):
        raise PostsyncError(f"--lists {lists}: names the folder of the split lists of greatesthits-times.")
    with _progress("probing", quiet) as on_clip:
        path = import_dataset(format_name, annotations, media, out, options=ImportOptions(split, lists),
                              window_s=window, workers=workers, replace=replace, on_clip=on_clip)
    counts = read_meta(out)["imported"]
    typer.echo(f"{path}: {counts['annotated']} annotations, {counts['rows']} rows, {counts['usable']} usable")
    _print_flags(counts["flags"])


@app.command()
def audit(
    folder: Folder,
    correspondence: Annotated[str | None, typer.Option(help="compare sound and picture by gram or cavp, which are "
                              "bundled and know procedural scenes, or by the CAVP in a folder")] = None,
    held_out: Annotated[list[Path] | None, typer.Option(help="folder of another manifest whose val and test clips must "
                                                        "not be trained on; may be given several times")] = None,
    workers: Workers = 1,
    strict: Annotated[bool, typer.Option("--strict", help="exit with 2 if a clip is not fit for training")] = False,
    quiet: Quiet = False,
) -> None:
    """Examine every clip; flags and numbers go into the manifest, a report into audit.json. No row is removed."""
    from ..data.audit import REPORT
    from ..data.audit import audit as examine
    from ..data.manifest import read_manifest

    elsewhere = {row["source_id"] for other in held_out or () for row in read_manifest(other)
                 if row["split"] in ("val", "test")}
    judge = None
    if correspondence is not None:
        from ..encoders.correspondence import correspondence_by

        judge = correspondence_by(correspondence)
    with _progress("examining", quiet) as on_clip:
        report = examine(folder, correspondence=judge, held_out=elsewhere, workers=workers, on_clip=on_clip)
    typer.echo(f"{folder / REPORT}: {report['clips']} clips, {report['usable']} usable, "
               f"{report['fit_for_training']} fit for training")
    _print_flags(report["flags"])
    if strict and report["fit_for_training"] < report["clips"]:
        raise PostsyncError(f"{report['clips'] - report['fit_for_training']} of {report['clips']} clips are not fit "
                            f"for training; their reasons are in {folder / REPORT}.")


@app.command()
def cache(
    folder: Folder,
    trainable: Annotated[str, typer.Option(help="whose features: see `postsync train --help`")],
    preset: Preset = "mini",
    part: Parts = None,
    set_: Options = None,
    split: Annotated[str, typer.Option(help="train, val or test")] = "train",
    features: Annotated[Path | None, typer.Option(help="where to keep them; default: FOLDER/features/NAME")] = None,
    quiet: Quiet = False,
) -> None:
    """Prepare the features of all clips of a split, as training does; what is cached already is kept."""
    from ..data.feature_cache import fill

    clips = manifest_features(trainable, load(trainable, preset, part, set_), folder, split, features)
    with _progress("preparing", quiet) as on_clip:
        filled = fill(clips, on_clip)
    typer.echo(f"{clips.folder}: {filled.made} clips prepared, {filled.kept} already cached")
    exit_with(filled.failures, len(clips))


@app.command()
def caption(
    folder: Folder,
    captioner: Annotated[Path, typer.Option(help="folder of an audio-to-text model of transformers")],
    question: Annotated[str | None, typer.Option(help="asked of models that take one", show_default=False)] = None,
    quiet: Quiet = False,
) -> None:
    """Write what a model hears in each clip without captions into the manifest."""
    from ..data.instructions import caption_sounds
    from ..encoders.captioner import SoundCaptioner

    with _progress("captioning", quiet) as on_clip:
        count, errors = caption_sounds(folder, SoundCaptioner(captioner, question), captioner.name, on_clip)
    typer.echo(f"{folder}: {count} clips captioned")
    exit_with(errors, count + len(errors))


@app.command()
def instructions(
    folder: Folder,
    out: Annotated[Path, typer.Option(help="the JSON list to write")],
) -> None:
    """Write questions about the clips of a manifest, with their captions as answers, in the form of V2A Instruction."""
    from ..data.instructions import write_pairs

    typer.echo(f"{out}: {write_pairs(folder, out)} pairs")


@app.command()
def embed(
    recordings: Annotated[list[Path], typer.Argument(help="folders of labelled recordings")],
    out: Annotated[Path, typer.Option(help="folder of the GRAM towers that the embeddings are written into")],
    gram: Annotated[Path | None, typer.Option(help="the towers that embed; default: those of OUT")] = None,
    count: Annotated[int, typer.Option(min=1, help="scores that each family's recordings are placed on")] = 24,
) -> None:
    """Write the mean embedding of each family's recordings beside GRAM's weights: they stand in for a reference."""
    import torch

    from ..encoders.gram import SAMPLE_RATE, GramEncoder
    from ..encoders.stand_ins import StandIns
    from ..scenes.families import KNOWN
    from ..scenes.recordings import RecordingBank
    from ..scenes.sounds import recorded_sounds

    bank = RecordingBank(*recordings)
    sounds = {family: (torch.from_numpy(sound) for sound in recorded_sounds(family, bank, count))
              for family in KNOWN if family in bank.families}
    towers = GramEncoder.from_pretrained(gram or out).float().eval()
    path = StandIns.of_sounds(towers, sounds, SAMPLE_RATE).save(out)
    bank.write_credits(out)
    typer.echo(f"{path}: {len(sounds)} families")


def _print_flags(counts: Mapping[str, int]) -> None:
    from ..data.flags import FLAGS

    for name, count in counts.items():
        typer.echo(f"  {count:6d}  {name}: {FLAGS.get(name, 'a flag of another program')}")


@contextmanager
def _progress(text: str, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """`on_clip(done, total)` that moves a bar on standard error; None if nothing should be shown."""
    if quiet:
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bars:
        task: Any = bars.add_task(text, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
