"""Files of published weights. The only place where foreign pickles are read, and of them tensors and plain values."""

from __future__ import annotations

import contextlib
import pickle
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..errors import WeightsError


def read_state(path: Path) -> dict[str, Tensor]:
    """State dict of a `.safetensors` file or of a checkpoint, where it may lie under `state_dict`, `model`, `module`.

    Raises WeightsError as `read_pickle`, and where no tensors are found.
    """
    if path.suffix == ".safetensors" and path.is_file():
        try:
            return load_file(path)
        except SafetensorError as error:
            raise WeightsError(f"{path} is damaged ({error}); download it again.") from error
    content = read_pickle(path)
    for name in ("state_dict", "model", "module"):
        if isinstance(content.get(name), dict):
            content = content[name]
    state = {k: v for k, v in content.items() if isinstance(v, Tensor)}
    if not state:
        raise WeightsError(f"{path} holds no tensors by name; is it a checkpoint?")
    return state


def read_pickle(path: Path) -> dict[str, Any]:
    """Content of a foreign `.pt` file, tensors and plain values only. Raises WeightsError for anything else."""
    if not path.is_file():
        raise WeightsError(f"no checkpoint at {path}; download it and name the file.")
    try:
        with _numpy_scalars(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of torch, on kinds of files that are then refused
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
def _numpy_scalars() -> Iterator[None]:
    """Within the block numbers of NumPy may lie beside the tensors, as in the files of LAION; they run no code."""
    scalar = np._core.multiarray.scalar  # type: ignore[attr-defined]
    kinds = [type(np.dtype(name)) for name in ("float64", "float32", "int64", "int32", "bool")]
    allowed: list[Any] = [(scalar, "numpy.core.multiarray.scalar"), scalar, np.dtype, *kinds]
    with torch.serialization.safe_globals(allowed):
        yield
