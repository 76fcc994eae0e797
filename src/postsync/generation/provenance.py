"""Where a result came from: versions of what made it, and hashes of weights and files."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from .. import __version__, weights
from ..media.hashing import sha256_of

_DISTRIBUTIONS = ("torch", "numpy", "diffusers", "av", "soundfile", "soxr")


@dataclass(frozen=True)
class Provenance:
    """What made a result besides the clip and the options."""

    weights: dict[str, str]  # file of weights -> its SHA-256
    versions: dict[str, str]

    @classmethod
    def of(cls, pipeline: Any, timing: str | None) -> Provenance:
        """That of a run with this pipeline and this source of timing (see `timing_source`)."""
        folders = weight_folders(pipeline)
        if timing == "predicted":
            folders.append(weights.bundled("timing"))
        files = {f"{folder.name}/{file.relative_to(folder).as_posix()}": file for folder in folders
                 for file in sorted(folder.rglob("*.safetensors"))}
        return cls({name: sha256_of(file) for name, file in files.items()}, versions())


def weight_folders(pipeline: Any) -> list[Path]:
    """The folders that a pipeline was loaded from: its own, and the bundled ones of parts that it shares."""
    return list(pipeline.weights.values())


def versions() -> dict[str, str]:
    """Versions of all that has a say in the samples; the number of threads has one, as sums depend on it."""
    return {"postsync": __version__, "python": platform.python_version(),
            **{name: version(name) for name in _DISTRIBUTIONS},
            "machine": f"{platform.system()} {platform.machine()}", "threads": str(torch.get_num_threads())}
