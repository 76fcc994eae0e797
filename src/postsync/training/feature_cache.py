"""What an objective needs of each clip, prepared once: `objective.prepare(dataset[i])` for every i, stacked.

Kept in memory for the run. Of rendered scenes, which are what their key says, also as one safetensors file named by the
key, so that a resumed run does not prepare again; clips of files come as a `data.feature_cache.FeatureCache`, which
keeps each by its content.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ..data.feature_cache import FeatureCache
from ..errors import PostsyncError
from ..media.output import whole_file

logger = logging.getLogger(__name__)


def prepare_features(objective: nn.Module, dataset: Dataset, *, workers: int = 0, folder: Path | None = None,
                     key: str = "", on_sample: Callable[[int, int], None] | None = None) -> dict[str, Tensor]:
    """Features of all clips of `dataset` (a map-style data set of Clip, or a FeatureCache): name -> (clips, ...) tensor
    on the CPU.

    `workers` processes render and prepare (0: this one). `key` says in words what the features depend on: objective,
    its configuration, scenes, seeds. `on_sample(done, total)` reports progress.
    """
    path = folder / f"features-{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors" if folder else None
    if path is not None and path.is_file():
        logger.info("reading the prepared features from %s", path)
        return load_file(path)
    features = _prepare(objective, dataset, workers, on_sample)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            save_file(features, partial)
    return features


def _prepare(objective: nn.Module, dataset: Dataset, workers: int,
             on_sample: Callable[[int, int], None] | None) -> dict[str, Tensor]:
    prepared = dataset if isinstance(dataset, FeatureCache) else _Prepared(objective, dataset)
    loader = DataLoader(prepared, batch_size=None, num_workers=workers)
    total = len(dataset)  # type: ignore[arg-type]
    if total == 0:
        raise PostsyncError("there are no clips to train on; ask for more with --count.")
    features: dict[str, Tensor] = {}
    for index, sample in enumerate(loader):
        if not features:
            features = {name: torch.empty((total, *value.shape), dtype=value.dtype) for name, value in sample.items()}
        for name, value in sample.items():
            if value.shape != features[name].shape[1:]:
                raise PostsyncError(f"clip {index}: '{name}' has shape {tuple(value.shape)}, the first clip's was "
                                    f"{tuple(features[name].shape[1:])}; give all clips the same duration.")
            features[name][index] = value
        if on_sample is not None:
            on_sample(index + 1, total)
    return features


class _Prepared(Dataset):
    """`objective.prepare(dataset[i])` as a data set, for the worker processes of a DataLoader."""

    def __init__(self, objective: nn.Module, dataset: Dataset) -> None:
        self.objective, self.dataset = objective, dataset

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    @torch.no_grad()
    def __getitem__(self, index: int) -> dict[str, Tensor]:
        prepare: Callable[..., dict[str, Tensor]] = self.objective.prepare  # type: ignore[assignment]
        return {name: torch.as_tensor(value) for name, value in prepare(self.dataset[index]).items()}
