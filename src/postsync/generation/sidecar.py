"""The sidecar `<result>.json`: everything needed to repeat a result, beside a lossless soundtrack `<result>.flac`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import registry
from ..errors import ConditionError, MediaError
from ..features.envelope import ENVELOPE_RATE, Envelope
from ..media.container import check_readable, sha256_of
from ..media.picture import ClipPicture, NoPicture, Picture
from ..protocols.pipeline import Pipeline
from ..timing.readers import READERS
from ..timing.timing import Timing
from ..versions import versions
from ..weights import bundled
from .conditions import TIMING_PART, timing_source
from .delivery import DELIVERY_RATE, fingerprint
from .looking import Seen
from .naming import SOUND_SUFFIXES, lossless_path, sidecar_path
from .options import Options
from .soundtrack import Recipe, Soundtrack

FORMAT = 2  # increased when an earlier version could no longer read it
READABLE = (1, 2)  # 1: always of a clip, and without notes, captions, guides, parts and settings
RECORDINGS = ("reference", "given_sound")  # options that name one; its SHA-256 is kept


@dataclass(frozen=True)
class Provenance:
    """The origin of a result besides the clip and the options."""

    weights: dict[str, str]  # file of weights -> its SHA-256
    versions: dict[str, str]

    @classmethod
    def of(cls, folders: Mapping[str, Path]) -> Provenance:
        """The provenance of a run with the weights in these folders, by name."""
        files = {f"{name}/{file.relative_to(folder).as_posix()}": file for name, folder in folders.items()
                 for file in sorted(folder.rglob("*.safetensors"))}
        return cls({name: sha256_of(file) for name, file in files.items()}, versions())


def weight_folders(pipeline: Pipeline, options: Options) -> dict[str, Path]:
    """The folders of the weights that make a soundtrack with these options, by name."""
    folders = dict(pipeline.weights)
    reader = READERS.get(timing_source(options, pipeline) or "")
    if reader is not None and reader.weights is not None:
        folder = Path(options.parts.get(TIMING_PART, bundled(reader.weights)))
        folders[folder.name] = folder
    return folders


def values_used(pipeline: Pipeline, options: Options) -> dict[str, Any]:
    """Every value that a pipeline works with under these options, its preset's defaults too."""
    sampler = getattr(pipeline, "config", {}).get("sampler", {})
    chosen = {name: getattr(options, name) for name in ("num_inference_steps", "guidance_scale", "control_scale")}
    values = {**{name: option.default for name, option in pipeline.options.items()}, **sampler,
              **{name: value for name, value in chosen.items() if value is not None}, **options.settings}
    values.setdefault("num_inference_steps", pipeline.num_inference_steps)
    return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Sidecar:
    """A sidecar that was read. `video` is the path of the clip in it; None: the picture was not a clip's."""

    path: Path
    video: Path | None
    video_sha256: str | None
    recipes: tuple[Recipe, ...]
    recordings_sha256: tuple[Mapping[str, str | None], ...]  # for each recipe, by the option that names the recording
    gain_db: float | None
    soundtrack_sha256: str
    duration_s: float  # of the picture
    provenance: Provenance
    captions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seen: tuple[Seen, ...] = ()

    @property
    def result(self) -> Path:
        """The result it belongs to."""
        return self.path.with_suffix("")

    @property
    def needs_picture(self) -> bool:
        """Whether repeating it needs `picture_file`: not where the system makes the picture again."""
        return not self.recipes[0].created or len(self.recipes) > 1

    @property
    def picture_file(self) -> Path:
        """The file whose picture the result shows: the clip, or the result itself."""
        return self.result if self.video is None else self.video

    def picture(self, file: Path) -> Picture:
        """The result's picture, `picture_file` being at `file` now; no picture where the result is sound alone."""
        if self.video is None and self.result.suffix.lower() in SOUND_SUFFIXES:
            return NoPicture(self.duration_s)
        return ClipPicture(file)

    @classmethod
    def read(cls, path: Path) -> Sidecar:
        """Read a sidecar, given its path or its result's. Raises MediaError, ConditionError for another file."""
        path = path if path.suffix.lower() == ".json" else sidecar_path(path)
        if not path.exists():
            raise MediaError(f"{path}: no such sidecar; name the sidecar of an earlier result, or that result with its "
                             "sidecar beside it")
        check_readable(path)
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["format"] not in READABLE:
                raise ConditionError(f"it has format {data['format']}, and this version reads "
                                     f"{' and '.join(map(str, READABLE))}")
            return cls._of(data, path)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, ConditionError) as error:
            what = f"lacks {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
            raise ConditionError(f"{path}: not a readable sidecar ({what}); name one as postsync wrote "
                                 "it.") from error

    @classmethod
    def _of(cls, data: dict[str, Any], path: Path) -> Sidecar:
        """The content of a sidecar of any readable format."""
        entries = [data, *data["redo"]]
        clip = data["input"]
        if clip is None and data["format"] == 1:
            raise ConditionError("its input is not there")
        return cls(path, None if clip is None else path.parent / clip["path"], None if clip is None else clip["sha256"],
                   tuple(_recipe(entry, path.parent) for entry in entries),
                   tuple({name: entry.get(f"{name}_sha256") for name in RECORDINGS} for entry in entries),
                   None if data["gain_db"] is None else float(data["gain_db"]),
                   data["soundtrack"]["sha256"], float(data["duration_s"]),
                   Provenance(dict(data["weights"]), dict(data["versions"])),
                   tuple(map(str, data.get("captions", ()))), tuple(map(str, data.get("notes", ()))),
                   tuple(map(Seen.from_json, data.get("seen", ()))))


def _recipe(data: dict[str, Any], folder: Path) -> Recipe:
    """One recipe; paths of recordings are relative to the sidecar's folder."""
    options, span = Options.from_json(data["options"]), data.get("span")
    options = options.replaced({name: str(folder / path) for name in RECORDINGS
                                if (path := getattr(options, name)) is not None})
    span = None if span is None else (float(span[0]), float(span[1]))
    guides = tuple(map(str, data.get("guides", ())))
    used, created = dict(data.get("used", {})), bool(data.get("created", False))  # absent from earlier sidecars
    if data["envelope"] is None:  # the system took the timing from the picture itself
        return Recipe(options, None, span, guides, used, created)
    values = torch.tensor(data["envelope"], dtype=torch.float32)
    timing = Timing(Envelope(values, float(data["envelope_rate"]), estimated=bool(data["estimated"])),
                    torch.tensor([t for t, _ in data["onsets"]], dtype=torch.float64))
    return Recipe(options, timing, span, guides, used)


def describe(soundtrack: Soundtrack, duration_s: float, clip: Path | None, input_sha256: str | None, target: Path,
             provenance: Provenance) -> str:
    """The text of the sidecar of `target`. `duration_s`: of its picture; `clip`: the picture's file, None without one.
    """
    base, *later = soundtrack.recipes
    data = {
        "format": FORMAT,
        "input": None if clip is None else {"name": clip.name, "path": _path_from(target.parent, clip),
                                            "sha256": input_sha256},
        "duration_s": duration_s,
        **_described(base, target.parent),
        "gain_db": soundtrack.gain_db,
        "captions": soundtrack.captions,
        "notes": soundtrack.notes,
        "seen": [one.to_json() for one in soundtrack.seen],
        "soundtrack": {"file": lossless_path(target).name, "sample_rate": DELIVERY_RATE,
                       "samples": soundtrack.waveform.shape[1], "sha256": fingerprint(soundtrack.waveform)},
        "redo": [{"span": recipe.span, **_described(recipe, target.parent)} for recipe in later],
        "weights": provenance.weights,
        "versions": provenance.versions,
    }
    return "{\n" + ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in data.items()) + "\n}\n"


def _described(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """One recipe; its envelope and onsets are without the offset, which is among the options."""
    timing, options = recipe.timing, recipe.options.to_json()
    recordings = {name: getattr(recipe.options, name) for name in RECORDINGS}
    options |= {name: _path_from(folder, Path(path)) for name, path in recordings.items() if path is not None}
    options["parts"] = {name: str(Path(part).absolute()) for name, part in recipe.options.parts.items()}
    if Path(recipe.options.preset).is_dir() and recipe.options.preset not in registry.system(options["system"]).presets:
        options["preset"] = str(Path(recipe.options.preset).absolute())
    described = {"seed": recipe.options.seed, "options": options, "used": dict(recipe.used), "guides": recipe.guides,
                 "created": recipe.created, **{f"{name}_sha256": None if path is None else sha256_of(path)
                                               for name, path in recordings.items()}}
    if timing is None:
        return described | {"timing": None, "envelope": None}
    files = [name for name in ("envelope", "onsets") if getattr(recipe.options, name) is not None]
    return described | {"timing": files[0] if files else recipe.options.timing or "envelope",
                        "estimated": timing.estimated,
                        "onsets": [[t, s] for t, s in zip(timing.onsets_s.tolist(), _short(timing.strengths))],
                        "envelope_rate": ENVELOPE_RATE, "envelope": _short(timing.envelope.values)}


def _short(values: Tensor) -> list[float]:
    """float32 values in the fewest digits that restore them exactly."""
    return [float(str(value)) for value in np.asarray(values, dtype=np.float32)]


def _path_from(folder: Path, file: Path) -> str:
    """`file` as seen from `folder`, so that both can be moved together; absolute if they share no drive."""
    try:
        return Path(os.path.relpath(file.absolute(), folder.absolute())).as_posix()
    except ValueError:
        return file.absolute().as_posix()
