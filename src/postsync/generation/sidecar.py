"""The sidecar `<result>.json`: all that repeats a result, beside a lossless soundtrack `<result>.flac`."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ConditionError, MediaError
from ..media.container import check_readable, sha256_of
from ..media.output import whole_file
from ..timing.timing import strengths_in
from .options import Options
from .provenance import Provenance
from .result import Recipe, Result
from .soundtrack import DELIVERY_RATE, fingerprint, write_lossless
from .timing_of_clip import Timing, timing_name

FORMAT = 1  # raised when a reader of this version could no longer read it


def sidecar_path(result: Path) -> Path:
    """`clip.postsync.mp4` -> `clip.postsync.mp4.json`."""
    return result.with_name(result.name + ".json")


def lossless_path(result: Path) -> Path:
    """`clip.postsync.mp4` -> `clip.postsync.mp4.flac`."""
    return result.with_name(result.name + ".flac")


def publish(result: Result, target: Path, provenance: Provenance, input_sha256: str) -> Path:
    """Write the result with its sidecar and lossless soundtrack, all of them or none. Raises MediaError."""
    sidecar, lossless = sidecar_path(target), lossless_path(target)
    with whole_file(sidecar) as text, whole_file(lossless) as sound:
        write_lossless(sound, result.waveform, lossless)
        text.write_text(_describe(result, target, provenance, input_sha256), encoding="utf-8")
        return result.save(target)


@dataclass(frozen=True)
class Sidecar:
    """A sidecar that was read; `video` is where it says the clip lies."""

    path: Path
    video: Path
    video_sha256: str
    recipes: tuple[Recipe, ...]
    reference_sha256: tuple[str | None, ...]  # for each recipe
    gain_db: float | None
    soundtrack_sha256: str
    provenance: Provenance

    @property
    def result(self) -> Path:
        """The result beside which it lies."""
        return self.path.with_suffix("")

    @classmethod
    def read(cls, path: Path) -> Sidecar:
        """Read a sidecar, named by itself or by its result. Raises MediaError, ConditionError for what is not one."""
        path = path if path.suffix.lower() == ".json" else sidecar_path(path)
        if not path.exists():
            raise MediaError(f"{path}: no such sidecar; name the sidecar of an earlier result, or that result with its "
                             "sidecar beside it")
        check_readable(path)
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["format"] != FORMAT:
                raise ConditionError(f"it has format {data['format']}, and this version reads {FORMAT}")
            entries = [data, *data["redo"]]
            return cls(path, path.parent / data["input"]["path"], data["input"]["sha256"],
                       tuple(_recipe(entry, path.parent) for entry in entries),
                       tuple(entry["reference_sha256"] for entry in entries),
                       None if data["gain_db"] is None else float(data["gain_db"]),
                       data["soundtrack"]["sha256"], Provenance(dict(data["weights"]), dict(data["versions"])))
        except (OSError, ValueError, KeyError, TypeError, RecursionError, ConditionError) as error:
            what = f"lacks {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
            raise ConditionError(f"{path}: not a sidecar that can be read ({what}); name one as postsync wrote "
                                 "it.") from error


def _recipe(data: dict[str, Any], folder: Path) -> Recipe:
    """One recipe; paths of references are read from the sidecar's folder."""
    options, span = Options.from_json(data["options"]), data.get("span")
    if options.reference is not None:
        options = options.replaced({"reference": str(folder / options.reference)})
    span = None if span is None else (float(span[0]), float(span[1]))
    if data["envelope"] is None:  # the system took the timing from the picture itself
        return Recipe(options, None, span)
    timing = Timing(torch.tensor(data["envelope"], dtype=torch.float32),
                    torch.tensor([t for t, _ in data["onsets"]], dtype=torch.float64), bool(data["estimated"]))
    if timing.envelope.dim() != 1 or not bool(((timing.envelope >= 0) & (timing.envelope <= 1)).all()):
        raise ConditionError("its envelope is not a list of values in 0..1")
    return Recipe(options, timing, span)


def _describe(result: Result, target: Path, provenance: Provenance, input_sha256: str) -> str:
    base, *later = result.recipes
    data = {
        "format": FORMAT,
        "input": {"name": result.video.path.name, "path": _path_from(target.parent, result.video.path),
                  "sha256": input_sha256},
        "duration_s": result.duration_s,
        **_described(base, target.parent),
        "gain_db": result.gain_db,
        "soundtrack": {"file": lossless_path(target).name, "sample_rate": DELIVERY_RATE,
                       "samples": result.waveform.shape[1], "sha256": fingerprint(result.waveform)},
        "redo": [{"span": recipe.span, **_described(recipe, target.parent)} for recipe in later],
        "weights": provenance.weights,
        "versions": provenance.versions,
    }
    return "{\n" + ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in data.items()) + "\n}\n"


def _described(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """One recipe; its envelope and onsets are without the offset, which is among the options."""
    timing, reference = recipe.timing, recipe.options.reference
    options = recipe.options.to_json()
    if reference is not None:
        options["reference"] = _path_from(folder, Path(reference))
    described = {"seed": recipe.options.seed, "options": options,
                 "reference_sha256": None if reference is None else sha256_of(reference)}
    if timing is None:
        return described | {"timing": None, "envelope": None}
    strengths = strengths_in(timing.envelope, timing.onsets_s)
    return described | {"timing": timing_name(recipe.options), "estimated": timing.estimated,
                        "onsets": [[t, s] for t, s in zip(timing.onsets_s.tolist(), _short(strengths))],
                        "envelope_rate": 100, "envelope": _short(timing.envelope)}


def _short(values: Tensor) -> list[float]:
    """float32 values in as few digits as bring them back exactly."""
    return [float(str(value)) for value in np.asarray(values, dtype=np.float32)]


def _path_from(folder: Path, file: Path) -> str:
    """`file` as seen from `folder`, so that both can be moved together; absolute where they share no drive."""
    try:
        return Path(os.path.relpath(file.absolute(), folder.absolute())).as_posix()
    except ValueError:
        return file.absolute().as_posix()
