"""The version of the package, and of everything else that affects the samples of a result."""

from __future__ import annotations

__version__ = "0.1.0"
_DISTRIBUTIONS = ("torch", "numpy", "diffusers", "av", "soundfile", "soxr")


def versions() -> dict[str, str]:
    """Versions by name; the number of threads is among them, as the order of sums depends on it."""
    import platform
    from importlib.metadata import version

    import torch

    return {"postsync": __version__, "python": platform.python_version(),
            **{name: version(name) for name in _DISTRIBUTIONS},
            "machine": f"{platform.system()} {platform.machine()}", "threads": str(torch.get_num_threads())}
