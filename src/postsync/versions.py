"""Versions of all that has a say in the samples of a result."""

from __future__ import annotations

import platform
from importlib.metadata import version

_DISTRIBUTIONS = ("torch", "numpy", "diffusers", "av", "soundfile", "soxr")


def versions() -> dict[str, str]:
    """Versions by name; the number of threads is among them, as the order of sums depends on it."""
    import torch

    from . import __version__

    return {"postsync": __version__, "python": platform.python_version(),
            **{name: version(name) for name in _DISTRIBUTIONS},
            "machine": f"{platform.system()} {platform.machine()}", "threads": str(torch.get_num_threads())}
