"""The bundled checkpoints: one folder each, with safetensors, JSON configuration and a model card (README.md)."""

from __future__ import annotations

import json
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


def taught_families(folder: Path) -> tuple[str, ...] | None:
    """The sound families of the scenes that the weights in `folder` were trained on; None where it does not say."""
    training = folder / "training.json"
    if not training.is_file():
        return None
    found = json.loads(training.read_text(encoding="utf-8")).get("families")
    return None if found is None else tuple(found)


def available() -> list[str]:
    """Names of the bundled checkpoints, sorted."""
    return sorted(p.name for p in ROOT.iterdir() if p.is_dir() and any(p.rglob("*.safetensors")))
