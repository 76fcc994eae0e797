"""The bundled checkpoints: one folder each, with safetensors, JSON configuration and a model card (README.md)."""

from __future__ import annotations

import json
import os
from pathlib import Path

from safetensors import safe_open

from ..errors import WeightsError

ROOT = Path(__file__).parent
PROVENANCE = "provenance.json"  # beside fetched and converted weights: where they are from
STAND_INS = "recordings.safetensors"  # beside GRAM's weights: embeddings of recordings, by family


def cache_folder() -> Path:
    """Where fetched and converted weights lie: $POSTSYNC_CACHE, or ~/.cache/postsync; may be absent."""
    root = os.environ.get("POSTSYNC_CACHE")
    return Path(root).expanduser() if root else Path.home() / ".cache" / "postsync"


def bundled(name: str) -> Path:
    """Folder of the bundled checkpoint `name`; raises WeightsError if it is absent."""
    folder = ROOT / name
    if not any(folder.rglob("*.safetensors")):
        raise WeightsError(f"no bundled weights named '{name}'; there are: {', '.join(available()) or 'none'}. "
                           "Reinstall postsync, or name a folder with weights.")
    return folder


def taught_families(folder: Path) -> tuple[str, ...] | None:
    """The sound families that the weights in `folder` were trained on, or hold embeddings of recordings of; None where
    it names none."""
    training, stand_ins = folder / "training.json", folder / STAND_INS
    families = json.loads(training.read_text(encoding="utf-8")).get("families", ()) if training.is_file() else ()
    if stand_ins.is_file():
        with safe_open(stand_ins, framework="numpy") as file:
            families = (*families, *file.keys())
    return tuple(dict.fromkeys(families)) or None


def available() -> list[str]:
    """Names of the bundled checkpoints, sorted."""
    return sorted(p.name for p in ROOT.iterdir() if p.is_dir() and any(p.rglob("*.safetensors")))
