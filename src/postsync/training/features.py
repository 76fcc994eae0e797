"""The features of each clip for an objective, prepared once: `objective.prepare(dataset[i])` for every i, stacked in
files.

The files are NumPy's, one a feature with a row a clip, in a folder named by the key. They are mapped into memory, not
read: a batch reads its rows, and all processes on a machine share the page cache.
"""

from __future__ import annotations

import hashlib
import logging
import math
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..data.feature_cache import STALE_S, FeatureCache
from ..errors import MediaError, PostsyncError
from ..media.output import whole_folder
from ..protocols.objective import Batch, Objective

logger = logging.getLogger(__name__)


class PreparedFeatures:
    """The stacked features in a folder that `prepare_features` wrote: name -> (clips, ...) tensor on the CPU."""

    def __init__(self, folder: Path) -> None:
        """Raises PostsyncError for a folder without complete features."""
        try:  # "c": pages that are written to are copied, so that PyTorch accepts them; the files are not modified
            self._features = {path.stem: torch.from_numpy(np.load(path, mmap_mode="c"))
                              for path in sorted(folder.glob("*.npy"))}
        except (OSError, EOFError, ValueError) as error:
            raise PostsyncError(f"{folder}: the prepared features are damaged ({error}); delete the folder, and they "
                                "are prepared again.") from error
        if len({len(value) for value in self._features.values()}) != 1:
            raise PostsyncError(f"{folder}: the prepared features are incomplete; delete the folder, and they are "
                                "prepared again.")

    def __len__(self) -> int:
        return len(next(iter(self._features.values())))

    def __iter__(self) -> Iterator[Batch]:
        """The sample of each clip, in order."""
        return ({name: value[index] for name, value in self._features.items()} for index in range(len(self)))

    def batch(self, indices: Tensor, device: torch.device) -> Batch:
        """The rows (B,) of all features, on `device`."""
        return {name: value[indices].to(device) for name, value in self._features.items()}


def features_folder(root: Path, key: str | None) -> Path:
    """The folder below `root` of the features that depend on `key`."""
    return root / ("features" if key is None else f"features-{hashlib.sha256(key.encode()).hexdigest()[:16]}")


def prepare_features(objective: Objective, dataset: Dataset, root: Path, *, key: str | None = None, workers: int = 0,
                     on_sample: Callable[[int, int], None] | None = None) -> None:
    """Write the features of all clips of `dataset` (a map-style data set of Clip, or a FeatureCache) below `root`.

    `key` describes what they depend on: objective, its configuration, clips, seeds. Existing features under this key
    are reused; without a key they are always prepared. `workers` processes decode or render and prepare (0:
    this one). `on_sample(done, total)` reports progress. Raises PostsyncError for clips of different shapes, for a data
    set without clips, and if nothing can be written.
    """
    folder = features_folder(root, key)
    if key is not None and folder.is_dir():
        logger.info("using the features in %s", folder)
        return
    _remove_stale(root)
    total = len(dataset)  # type: ignore[arg-type]
    if total == 0:
        raise PostsyncError("there are no clips to train on; increase --count.")
    prepared = dataset if isinstance(dataset, FeatureCache) else _Prepared(objective, dataset)
    try:
        with whole_folder(folder) as partial, _Writer(partial, total) as writer:
            for index, sample in enumerate(DataLoader(prepared, batch_size=None, num_workers=workers)):
                writer.add(sample)
                if on_sample is not None:
                    on_sample(index + 1, total)
    except OSError as error:
        raise MediaError(f"{folder}: the features could not be written ({error}); check the free space and permissions "
                         "of its folder.") from error


class _Prepared(Dataset):
    """`objective.prepare(dataset[i])` as a data set, for the worker processes of a DataLoader."""

    def __init__(self, objective: Objective, dataset: Dataset) -> None:
        self.objective, self.dataset = objective, dataset

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    @torch.no_grad()
    def __getitem__(self, index: int) -> Batch:
        return {name: torch.as_tensor(value) for name, value in self.objective.prepare(self.dataset[index]).items()}


class _Writer:
    """Appends samples to one NumPy file a feature; by ordinary writes, so that a full disk raises an error, not a
    signal."""

    def __init__(self, folder: Path, total: int) -> None:
        self.folder, self.total, self.done = folder, total, 0
        self._stack = ExitStack()
        self._files: dict[str, BinaryIO] = {}
        self._forms: dict[str, str] = {}

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_error: Any) -> None:
        self._stack.close()

    def add(self, sample: Batch) -> None:
        """Append the sample of the next clip. Raises PostsyncError if it differs in form from the first clip's."""
        arrays = {name: value.detach().cpu().contiguous().numpy() for name, value in sample.items()}
        forms = {name: f"shape {array.shape} of {array.dtype}" for name, array in arrays.items()}
        if not self._files:
            self._begin(arrays)
            self._forms = forms
        if differing := sorted(name for name, _form in forms.items() ^ self._forms.items()):
            name = differing[0]
            raise PostsyncError(f"clip {self.done}: '{name}' has {forms.get(name, 'no values')}, the first clip's "
                                f"{self._forms.get(name, 'no values')}; give all clips the same duration.")
        for name, array in arrays.items():
            self._files[name].write(array.tobytes())
        self.done += 1

    def _begin(self, arrays: dict[str, np.ndarray]) -> None:
        size = self.total * sum(array.nbytes for array in arrays.values())
        if size > (free := shutil.disk_usage(self.folder).free):
            raise PostsyncError(f"{self.folder.parent}: the features take {math.ceil(size / 2**20)} MiB, and "
                                f"{free // 2**20} MiB are free; name another folder for the run.")
        for name, array in arrays.items():
            self._files[name] = self._stack.enter_context((self.folder / f"{name}.npy").open("wb"))
            np.lib.format.write_array_header_1_0(self._files[name], {  # the rows follow as they are prepared
                "descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False,
                "shape": (self.total, *array.shape)})


def _remove_stale(root: Path) -> None:
    """Remove leftovers of killed processes; those of running processes are younger."""
    for left in root.glob(".features*.part"):
        newest = max((path.stat().st_mtime for path in left.glob("*")), default=left.stat().st_mtime)
        if time.time() - newest > STALE_S:
            shutil.rmtree(left, ignore_errors=True)
