"""Where a result came from: versions of what made it, and hashes of weights and files."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from .. import __version__, weights
from ..errors import MediaError
from ..media.container import check_readable, one_line

_DISTRIBUTIONS = ("torch", "numpy", "diffusers", "av", "soundfile", "soxr")


@dataclass(frozen=True)
class Provenance:
    """What made a result besides the clip and the options."""

    weights: dict[str, str]  # file of weights -> its SHA-256
    versions: dict[str, str]

    @classmethod
    def of(cls, pipeline: Any, timing: str) -> Provenance:
        """That of a run with this pipeline and this source of timing (see `timing_name`)."""
        folders = weight_folders(pipeline)
        if timing == "predicted":
            folders.append(weights.bundled("timing"))
        files = {f"{folder.name}/{file.relative_to(folder).as_posix()}": file for folder in folders
                 for file in sorted(folder.rglob("*.safetensors"))}
        return cls({name: sha256_of(file) for name, file in files.items()}, versions())


def weight_folders(pipeline: Any) -> list[Path]:
    """The folders that a pipeline was loaded from: its own, and the bundled ones of parts that it shares."""
    if not pipeline.name_or_path:
        return []  # built from parts in memory
    own = Path(pipeline.name_or_path)
    shared = [part for part in ("codec", "gram") if not (own / part).is_dir()]
    return [own, *(weights.bundled(pipeline.config[f"{part}_folder"]) for part in shared)]


def versions() -> dict[str, str]:
    """Versions of all that has a say in the samples; the number of threads has one, as sums depend on it."""
    return {"postsync": __version__, "python": platform.python_version(),
            **{name: version(name) for name in _DISTRIBUTIONS},
            "machine": f"{platform.system()} {platform.machine()}", "threads": str(torch.get_num_threads())}


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file, hexadecimal. Raises MediaError where it cannot be read."""
    check_readable(Path(path))
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MediaError(f"{path}: could not be read ({one_line(error)}); check the disk, or copy the file") from error
