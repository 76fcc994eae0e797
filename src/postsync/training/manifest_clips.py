"""The clips of a manifest as a trainable wants them: fit for training, in its sizes and rates, kept by content."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from torch import nn

from .. import registry
from ..data.feature_cache import FeatureCache
from ..data.flags import UNFIT_FOR_TRAINING, UNUSABLE
from ..data.manifest import ManifestDataset
from ..errors import PostsyncError


def manifest_clips(name: str, objective: nn.Module, folder: Path, split: str = "train",
                   features: Path | None = None) -> FeatureCache:
    """The features of a split of the manifest in `folder` for the trainable `name`, prepared when asked for.

    Frames have the size that the objective names as `picture_size`, or that of the scenes the trainable learns from
    otherwise, whose rates frames and sound have. Of a training split the clips flagged as unfit are left out, of others
    those that cannot be read. Raises PostsyncError where no clip is left.
    """
    from ..scenes.render import SceneConfig

    entry = registry.trainable(name)
    scenes: dict[str, Any] = {f.name: f.default for f in fields(SceneConfig)} | dict(entry.scenes)
    fps = entry.scenes.get("fps")  # None: every frame at its own time
    needs: frozenset[str] = objective.needs  # type: ignore[assignment]
    parts = {"frames": "no_picture", "waveform": "no_sound"}
    unfit = UNFIT_FOR_TRAINING if split == "train" else UNUSABLE
    unfit = unfit - set(parts.values()) | {parts[need] for need in needs}
    if "frames" not in needs:
        unfit -= {"static", "black", "mismatched"}
    size = getattr(objective, "picture_size", None) or scenes["size"]
    dataset = ManifestDataset(folder, needs, split=split, size=(size, size), fps=fps,
                              sample_rate=scenes["sample_rate"], unfit=unfit)
    reads = getattr(objective, "reads", None)
    if reads is not None:
        there = [row for row in dataset.rows if all(path.is_file() for path in reads(row["clip_id"]))]
        if len(there) < len(dataset.rows):
            dataset.left_out["without a file of features"] = len(dataset.rows) - len(there)
        dataset.rows = there
    if not len(dataset):
        why = ", ".join(f"{count} {flag}" for flag, count in sorted(dataset.left_out.items())) or "it is empty"
        raise PostsyncError(f"{folder}: no clip of the {split} split can be used ({why}); import or name another.")
    return FeatureCache(objective, dataset, features or dataset.root / "features" / name)
