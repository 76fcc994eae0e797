"""The bundled checkpoints: one folder each, with safetensors, JSON configuration and a model card (README.md)."""

from __future__ import annotations

from pathlib import Path

from ..errors import WeightsError

ROOT = Path(__file__).parent


def bundled(name: str) -> Path:
    """Folder of the bundled checkpoint `name`; raises WeightsError if it is absent."""
    folder = ROOT / name
    if not any(folder.rglob("*.safetensors")):
        raise WeightsError(f"no bundled weights named '{name}'; there are: {', '.join(available()) or 'none'}. "
                           "Reinstall postsync, or name a folder with weights.")
    return folder


def available() -> list[str]:
    """Names of the bundled checkpoints, sorted."""
    return sorted(p.name for p in ROOT.iterdir() if p.is_dir() and any(p.rglob("*.safetensors")))
