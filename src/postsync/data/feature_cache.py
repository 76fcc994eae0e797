"""A content-addressed cache of a trainable's `prepare` over the clips of a manifest: one safetensors file a clip.

An entry's name is a hash of all that it depends on: the bytes of the media (read each time, for sizes and dates say
nothing), the clip's row, how it is decoded, and the extractor's version. A changed clip gets another name, so no entry
is ever stale; entries are written atomically, and one that cannot be read, or whose values differ from those written,
is prepared again. Several processes may fill one cache.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.utils.data import Dataset

from ..errors import MediaError, PostsyncError
from ..media.container import sha256_of
from ..media.output import whole_file
from ..protocols.objective import Batch, Objective
from .extractor_version import extractor_version, tensor_bytes
from .manifest import ManifestDataset

STALE_S = 3600.0  # a temporary file older than this was left by a killed process
_USED_BY_PREPARE = ("clip_id", "start", "end", "duration", "sample_rate", "label", "captions", "events")
_logger = logging.getLogger(__name__)


class FeatureCache(Dataset):
    """`objective.prepare(dataset[i])` as a map-style data set, cached in `folder`."""

    def __init__(self, objective: Objective, dataset: ManifestDataset, folder: Path) -> None:
        """Raises MediaError where the folder cannot be made."""
        self.objective, self.dataset, self.folder = objective, dataset, folder
        self.version = extractor_version(objective)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MediaError(f"{folder}: cannot be created ({error.strerror}); keep the features elsewhere") from error

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Batch:
        return self.obtain(index)[0]

    def obtain(self, index: int) -> tuple[Batch, bool]:
        """The features of clip `index`, and whether they had to be prepared; they are cached then.

        Raises PostsyncError for a clip that cannot be read or prepared, or that changes meanwhile.
        """
        path = self.path(index)
        kept = read_entry(path)
        if kept is not None:
            return kept, False
        with torch.no_grad():
            features = {name: torch.as_tensor(v).detach().cpu().clone(memory_format=torch.contiguous_format)
                        for name, v in self.objective.prepare(self.dataset[index]).items()}
        if self.path(index) != path:
            raise MediaError(f"clip {self.dataset.rows[index]['clip_id']}: its files changed while they were "
                             "read; run again when nothing writes to them")
        write_entry(path, features)
        return features, True

    @property
    def skipped(self) -> str:
        """The clips that the data set skipped, in words: how many carry which flag; empty if none."""
        return ", ".join(f"{count} {name}" for name, count in sorted(self.dataset.skipped.items()))

    @property
    def key(self) -> str:
        """What all features depend on, in words, without reading the media: of those, sizes and dates."""
        files = {path for index in range(len(self)) for path in self._files(index) if path is not None}
        seen = [(str(path), *_size_and_date(path)) for path in sorted(files)]
        about = [self._about(index) for index in range(len(self))]
        return json.dumps([about, seen], sort_keys=True)

    def path(self, index: int) -> Path:
        """Where the entry of clip `index` lies, from the content of its files as they are now."""
        files = self._files(index)
        hashes = {path: sha256_of(path) for path in files if path is not None}
        key = {"media": [None if path is None else hashes[path] for path in files], **self._about(index)}
        name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
        return self.folder / f"{name}.safetensors"

    def _files(self, index: int) -> list[Path | None]:
        """The files that are read of clip `index`: picture, sound, envelope (None: not read), and the objective's."""
        row, dataset = self.dataset.rows[index], self.dataset
        wanted = (row["video_path"] if "frames" in dataset.needs else None,
                  row["audio_path"] if "waveform" in dataset.needs else None, row["features"].get("envelope"))
        return [None if name is None else dataset.root / name for name in wanted] + [
            *self.objective.reads(row["clip_id"])]

    def _about(self, index: int) -> dict[str, Any]:
        row, dataset = self.dataset.rows[index], self.dataset
        return {"version": self.version, "row": {name: row[name] for name in _USED_BY_PREPARE},
                "decoded": [sorted(dataset.needs), dataset.size, dataset.fps, dataset.sample_rate,
                            dataset.mono]}


def _size_and_date(path: Path) -> tuple[int, int]:
    """Bytes and nanoseconds; zeros for a missing file, which is reported when it is read."""
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


def write_entry(path: Path, features: Batch) -> None:
    """Write features atomically, with the hash of name and values. Raises MediaError where that fails."""
    with whole_file(path) as temporary:
        save_file(features, temporary, metadata={"sha256": _hash(path.name, features)})


def read_entry(path: Path) -> Batch | None:
    """The features of an entry; None for a missing or a damaged one."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            stored = (file.metadata() or {}).get("sha256")
            features = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError, ValueError) as error:
        _logger.warning("%s: an incomplete entry (%s); it is prepared again", path, error)
        return None
    if stored != _hash(path.name, features):
        _logger.warning("%s: its values are not those that were written under this name; it is prepared again", path)
        return None
    return features


def _hash(entry: str, features: Batch) -> str:
    digest = hashlib.sha256(entry.encode() + b"\0")  # so that an entry copied over another is detected
    for name in sorted(features):
        value = features[name]
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode() + b"\0" + tensor_bytes(value))
    return digest.hexdigest()


@dataclass
class Filled:
    """The outcome of filling a cache."""

    made: int = 0
    kept: int = 0  # already cached
    failures: list[str] = field(default_factory=list)  # a sentence for each clip that could not be prepared


def fill(cache: FeatureCache, on_clip: Callable[[int, int], None] | None = None) -> Filled:
    """Prepare every clip without a valid entry. Errors of single clips are recorded and the others still prepared.

    Concurrent processes visit the clips in different orders, so that they share the work.
    """
    remove_stale(cache.folder)
    filled = Filled()
    order = np.random.default_rng(os.getpid()).permutation(len(cache))
    for done, index in enumerate(order.tolist(), 1):
        try:
            made = cache.obtain(index)[1]
            filled.made, filled.kept = filled.made + made, filled.kept + (not made)
        except PostsyncError as error:
            filled.failures.append(f"{cache.dataset.rows[index]['clip_id']}: {error}")
        if on_clip is not None:
            on_clip(done, len(cache))
    filled.failures.sort()
    return filled


def remove_stale(folder: Path) -> None:
    """Remove the temporary files that killed processes left; those of running processes are younger."""
    for path in folder.glob(".*.part.safetensors"):
        try:
            if time.time() - path.stat().st_mtime > STALE_S:
                path.unlink()
        except FileNotFoundError:  # renamed or removed by its process in the meantime
            continue
