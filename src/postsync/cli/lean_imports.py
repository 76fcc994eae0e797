"""Import of diffusers in a second instead of six, for a program that only runs models.

What a pipeline's base classes pull in is for compiling (torch._dynamo, with sympy and FSDP), for adapters (peft,
transformers' quantizers and losses), for schedulers (scipy), or for other models (package files of diffusers that
import all transformers, U-Nets and autoencoders). diffusers copes without each of these. They are hidden while it is
imported, and found again afterwards; only diffusers itself goes on as if transformers, peft and scipy were not
installed. That is why the command line does this and the library does not.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HIDDEN = ("torch._dynamo", "transformers", "peft", "scipy")
PACKAGES = ("diffusers.models.transformers", "diffusers.models.unets", "diffusers.models.autoencoders",
            "diffusers.hooks")  # their submodules are imported one by one
WANTED = ("diffusers.models.modeling_utils", "diffusers.models.autoencoders.autoencoder_kl",
          "diffusers.pipelines.pipeline_utils")


def import_diffusers() -> None:
    """Import `WANTED` without what only other uses need; all of it where this version of diffusers needs that."""
    if "diffusers" in sys.modules:
        return
    import torch  # noqa: F401  (the heavy part of it comes in before anything is hidden)

    gc.disable()  # a million new objects, none of them garbage
    try:
        with _hidden():
            _skip_compiler(importlib.import_module("diffusers.utils.torch_utils"))
            for name in WANTED:
                importlib.import_module(name)
    except (ImportError, AttributeError, RuntimeError):
        for name in [n for n in sys.modules if n.split(".")[0] == "diffusers"]:
            del sys.modules[name]
        for name in WANTED:
            importlib.import_module(name)
    finally:
        gc.freeze()  # what is imported stays: half a second less at the program's end
        gc.enable()


@contextlib.contextmanager
def _hidden() -> Iterator[None]:
    """Within the block `HIDDEN` cannot be imported and the `__init__` files of `PACKAGES` are not run."""
    import torch

    spec = importlib.util.find_spec("diffusers")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("diffusers is not installed")
    root = Path(next(iter(spec.submodule_search_locations))).parent
    replaced: dict[str, Any] = dict.fromkeys(HIDDEN)
    for name in PACKAGES:
        replaced[name] = types.ModuleType(name)
        replaced[name].__path__ = [str(root.joinpath(*name.split(".")))]
    before = {name: sys.modules[name] for name in replaced if name in sys.modules}
    disable = torch.compiler.disable
    sys.modules.update(replaced)
    setattr(torch.compiler, "disable", _undecorated)  # noqa: B010 (mypy)
    try:
        yield
    finally:
        torch.compiler.disable = disable
        for name in replaced:
            sys.modules.pop(name, None)
        sys.modules.update(before)


def _skip_compiler(torch_utils: types.ModuleType) -> None:
    """diffusers imports the compiler to ask whether a module is compiled; none is while the compiler is not there."""
    original = torch_utils.is_compiled_module
    setattr(torch_utils, "is_compiled_module",  # noqa: B010 (mypy)
            lambda module: "torch._dynamo" in sys.modules and original(module))


def _undecorated(fn: Any = None, **_options: Any) -> Any:
    """Replaces `torch.compiler.disable`, as a decorator with or without arguments: nothing here is compiled."""
    return fn if fn is not None else lambda function: function
