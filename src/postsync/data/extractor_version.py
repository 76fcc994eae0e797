"""The version of a feature extractor: a hash of its code, its settings and its frozen weights.

Cached features must not depend on trained weights, which change during use: those are excluded, so the seed of an
untrained model does not matter. The code is that of the class's module and of every module of its package that it
depends on, directly or indirectly.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from collections.abc import Mapping, Set
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from ..protocols.objective import Objective

_FOREIGN = {"torch", "diffusers", "transformers", "builtins"}
_PLAIN = (str, bytes, int, float, complex, bool, type(None))


def extractor_version(objective: Objective) -> str:
    """16 hexadecimal digits that change with the class, code, settings, or frozen weights of a trainable.

    An objective whose `prepare` depends on only some of it names them: `preparation()` gives settings and parts
    (modules) by name. Other changes then leave the cached features valid.
    """
    digest = hashlib.sha256()
    settings, parts = objective.preparation()
    lines = [line for name, part in sorted(parts.items()) for line in (name, *_settings(part))]
    for line in (*_code(objective), _text(settings, 0), *lines):
        digest.update(line.encode() + b"\0")
    trained = {id(p) for group in objective.parameter_groups() for p in group["params"]}
    values = [(f"{name}.{key}", value) for name, part in parts.items()
              for key, value in (*part.named_parameters(), *part.named_buffers())]
    for name, value in sorted(values, key=lambda item: item[0]):
        if id(value) not in trained:
            digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode() + b"\0" + tensor_bytes(value))
    return digest.hexdigest()[:16]


def tensor_bytes(tensor: Tensor) -> bytes:
    """The raw bytes of a tensor's values."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _code(objective: Objective) -> list[str]:
    """Name and byte code of `prepare`, and the sources it depends on."""
    prepare = type(objective).prepare
    parts = [f"{type(objective).__module__}.{type(objective).__qualname__}", prepare.__qualname__]
    if isinstance(prepare, FunctionType):
        parts.append(_byte_code(prepare.__code__))
    seen: dict[str, ModuleType] = {}
    owners = {type(module).__module__ for module in objective.modules()} | {prepare.__module__}
    packages = {owner.split(".")[0] for owner in owners} - _FOREIGN | {__name__.split(".")[0]}
    for owner in owners & set(sys.modules):
        _add_dependencies(sys.modules[owner], packages, seen)
    for name in sorted(seen):
        file = getattr(seen[name], "__file__", None)
        if file is not None and Path(file).is_file():
            parts.append(name + hashlib.sha256(Path(file).read_bytes()).hexdigest())
    return parts


def _add_dependencies(module: ModuleType, packages: set[str], seen: dict[str, ModuleType]) -> None:
    """Gather `module` and those of `packages` whose functions, classes or selves it refers to.

    The submodules that a package happens to have loaded do not count: they differ from process to process.
    """
    if module.__name__ in seen or module.__name__.split(".")[0] not in packages:
        return
    seen[module.__name__] = module
    for value in list(vars(module).values()):
        name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if not isinstance(name, str) or name not in sys.modules:
            continue
        if not (isinstance(value, ModuleType) and name.startswith(module.__name__ + ".")):
            _add_dependencies(sys.modules[name], packages, seen)


def _byte_code(code: CodeType) -> str:
    constants = [_byte_code(c) if isinstance(c, CodeType) else _text(c, 0) for c in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


def _settings(objective: nn.Module) -> list[str]:
    """The public attributes of the objective and of all modules in it, and their configurations."""
    found = []
    for name, module in objective.named_modules():
        for key, value in sorted(vars(module).items()):
            if not key.startswith("_") and key != "training":
                found.append(f"{name}.{key}={_text(value, 0)}")
        if isinstance(config := getattr(module, "config", None), Mapping):
            kept = {key: value for key, value in config.items() if not str(key).startswith("_")}
            found.append(f"{name}.config={_text(kept, 0)}")
    return found


def _text(value: Any, depth: int) -> str:
    """A value in words that are the same in every process: no address, no order of hashing."""
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, Tensor):
        return hashlib.sha256(tensor_bytes(value)).hexdigest() + str(value.dtype)
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, Mapping):
        return "{" + ",".join(sorted(f"{_text(k, depth)}:{_text(v, depth)}" for k, v in value.items())) + "}"
    if isinstance(value, Set):
        return "{" + ",".join(sorted(_text(v, depth) for v in value)) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_text(v, depth) for v in value) + "]"
    if hasattr(value, "__code__"):
        return f"{value.__module__}.{value.__qualname__} {_byte_code(value.__code__)}"
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if hasattr(value, "get_vocab"):  # a tokenizer, whose settings change with its use
        return _text(value.get_vocab(), depth)
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, nn.Module):  # a part that is not registered, else it is among the modules
        return name + _text(value.state_dict(), depth)
    if dataclasses.is_dataclass(value) or (hasattr(value, "__dict__") and depth < 4):
        return name + _text(vars(value) if hasattr(value, "__dict__") else dataclasses.asdict(value), depth + 1)
    return name
