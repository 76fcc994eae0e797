"""Files of published weights. The only place where foreign pickles are read, and only their tensors and plain
values."""

from __future__ import annotations

import argparse
import contextlib
import pickle
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..errors import WeightsError


def read_state(path: str | Path, containers: Sequence[str] = ("state_dict", "model", "module")) -> dict[str, Tensor]:
    """State dict of a `.safetensors` file, of Keras weights (`.h5`), or of a checkpoint, where it may be nested under
    `containers`, which are tried in this order, and within each other.

    Raises WeightsError as `read_pickle`, and if no tensors are found.
    """
    path = Path(path)
    if path.suffix == ".h5" and path.is_file():
        return read_keras(path)
    if path.suffix == ".safetensors" and path.is_file():
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{path} is damaged and holds no plain tensors ({error}); download it again.") from error
    content = read_pickle(path)
    for name in containers:
        if isinstance(content.get(name), dict):
            content = content[name]
    state = {k: v for k, v in content.items() if isinstance(v, Tensor)}
    if not state:
        raise WeightsError(f"{path} holds no state dict: no tensors by name, neither directly nor under "
                           f"{', '.join(containers)}. Use the checkpoint as it was published.")
    return state


def read_keras(path: Path) -> dict[str, Tensor]:
    """All arrays of a Keras file by their paths in it. Raises WeightsError where it is damaged, or h5py is missing."""
    try:
        import h5py
    except ImportError as error:
        raise WeightsError(f"{path}: reading .h5 files needs h5py: pip install 'postsync[eval]'.") from error
    state: dict[str, Tensor] = {}

    def keep(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            state[name] = torch.from_numpy(np.asarray(item))

    try:
        with h5py.File(path, "r") as file:
            file.visititems(keep)
    except (OSError, TypeError, RuntimeError) as error:
        raise WeightsError(f"{path} is damaged or no Keras file ({error}); download it again.") from error
    return state


def read_pickle(path: str | Path) -> dict[str, Any]:
    """Content of a foreign `.pt` file, tensors and plain values only. Raises WeightsError for anything else."""
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"no checkpoint at {path}; download it and name the file.")
    try:
        with _harmless_classes(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # from torch, about kinds of files that are then refused
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError, LookupError, AttributeError,
            TypeError) as error:
        raise WeightsError(f"{path} is not a checkpoint of plain tensors ({error.__class__.__name__}); it is refused, "
                           "because other pickles can run code. If it is damaged, download it again; if you trust it, "
                           "write its tensors with safetensors.torch.save_file and give that file.") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds a {type(content).__name__}, not a state dict.")
    return content


@contextlib.contextmanager
def _harmless_classes() -> Iterator[None]:
    """Within the block, classes that run no code are allowed beside the tensors: numbers of NumPy, as in the files of
    LAION, and the arguments of a training run (`argparse.Namespace`), as in those of REPA."""
    scalar = np._core.multiarray.scalar  # type: ignore[attr-defined]
    kinds = [type(np.dtype(name)) for name in ("float64", "float32", "int64", "int32", "bool")]
    allowed: list[Any] = [(scalar, "numpy.core.multiarray.scalar"), scalar, np.dtype, *kinds, argparse.Namespace]
    with torch.serialization.safe_globals(allowed):
        yield
