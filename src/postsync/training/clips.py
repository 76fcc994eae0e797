"""Training clips: rendered scenes, or those of a manifest, as requested by the objective."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..data.feature_cache import FeatureCache
from ..data.flags import UNFIT_FOR_TRAINING, UNUSABLE
from ..data.manifest import ManifestDataset
from ..errors import PostsyncError
from ..protocols.objective import ClipRequest, Objective
from ..scenes.families import FAMILIES, KNOWN
from ..scenes.recordings import RecordingBank
from ..scenes.render import HELD_OUT_SEED, SceneDataset, clean_scenes, full_scenes
from ..scenes.sounds import SoundConfig

RECORDED = 0.5  # share of the clips with a recorded sound, if the bank has one of their family


def scene_clips(wants: ClipRequest, seed: int, count: int, *, world: dict[str, Any] | None = None,
                duration_s: float | None = None, clean: bool = False, recordings: Sequence[Path] = ()) -> SceneDataset:
    """`count` scenes for training; run `seed` s uses the seeds from s * count on, below the held-out ones. Their sound
    is mono, however many channels the objective wants.

    `world`: further arguments of SceneConfig. `clean`: no nuisances. `recordings`: folders of labelled recordings: a
    second source of sound, and the only one of the families that have no synthesis, or of all where the world's sounds
    are recorded alone. Raises PostsyncError unless all of these are training scenes.
    """
    first = seed * count
    if seed < 0 or first + count > HELD_OUT_SEED:
        raise PostsyncError(f"scenes {first} to {first + count} are not all training scenes (0 to {HELD_OUT_SEED}); "
                            "use another --seed.")
    scenes: dict[str, Any] = {"duration_s": duration_s or wants.duration_s, **(world or {})}
    if wants.sample_rate is not None:
        scenes["sample_rate"] = wants.sample_rate
    if wants.frames is not None:
        scenes["size"] = wants.frames.size
    if wants.frames is not None and wants.frames.fps is not None:  # otherwise the scene's own, often variable
        scenes["fps"] = wants.frames.fps
    bank = None
    if recordings:
        bank = RecordingBank(*recordings)
        scenes.setdefault("sound", SoundConfig(recordings=RECORDED))
        drawn = () if scenes["sound"].recordings == 1 else FAMILIES
        scenes.setdefault("families", tuple(name for name in KNOWN if name in drawn or name in bank.families))
    if clean:
        config = clean_scenes(**{name: value for name, value in scenes.items() if name != "nuisances"})
    else:
        config = full_scenes(**scenes)
    return SceneDataset(config, range(first, first + count), wants.needs, bank=bank)


def manifest_clips(name: str, objective: Objective, manifest: Path, split: str = "train",
                   folder: Path | None = None) -> FeatureCache:
    """The features of a split of the manifest in the folder `manifest` for the trainable `name`, prepared on demand and
    cached in `folder` (default: features/NAME beside the manifest).

    Clips flagged as unfit are skipped in a training split, unreadable ones in others. Raises PostsyncError if no clip
    is left.
    """
    wants = objective.wants
    parts = {"frames": "no_picture", "waveform": "no_sound"}
    unfit = UNFIT_FOR_TRAINING if split == "train" else UNUSABLE
    unfit = unfit - set(parts.values()) | {parts[need] for need in wants.needs}
    if wants.frames is None:
        unfit -= {"static", "black", "mismatched"}
    size, fps = (None, None) if wants.frames is None else ((wants.frames.size,) * 2, wants.frames.fps)
    dataset = ManifestDataset(manifest, wants.needs, split=split, size=size, fps=fps, sample_rate=wants.sample_rate,
                              mono=wants.channels == 1, unfit=unfit)
    there = [row for row in dataset.rows if all(path.is_file() for path in objective.reads(row["clip_id"]))]
    if len(there) < len(dataset.rows):
        dataset.skipped["without a file of features"] = len(dataset.rows) - len(there)
    dataset.rows = there
    if not len(dataset):
        why = ", ".join(f"{count} {flag}" for flag, count in sorted(dataset.skipped.items())) or "it is empty"
        raise PostsyncError(f"{manifest}: no clip of the {split} split can be used ({why}); import or name another.")
    return FeatureCache(objective, dataset, folder or dataset.root / "features" / name)
