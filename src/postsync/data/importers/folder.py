"""Any folder of clips, with an optional CSV file of columns `name` and `caption`, as av-benchmark has them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ...errors import MediaError
from ...media.container import VIDEO_SUFFIXES
from .entries import Entry, ImportOptions, named_rows, split_called


def folder(path: Path, options: ImportOptions) -> Iterator[Entry]:
    """The clips of the folder `path`, or of the folder around the CSV file `path`; a name may have several captions.

    Without a given split, the clips are a training set. Clips that the CSV does not name, and names without a clip, are
    kept and flagged. Raises MediaError where no clip is named or found.
    """
    split = split_called(options.split, "--split") if options.split else "train"
    place, captions_file = (path, _only_csv(path)) if path.is_dir() else (path.parent, path)
    captions = _captions(captions_file) if captions_file else {}
    clips = {clip.stem for clip in place.rglob("*") if clip.suffix.lower() in VIDEO_SUFFIXES and clip.is_file()
             and not clip.name.startswith(".")}
    if not captions and not clips:
        raise MediaError(f"{path}: holds no clips; give a folder of mp4 files, or its CSV file of names and captions")
    dataset = re.sub(r"[^A-Za-z0-9_]+", "_", place.resolve().name).strip("_") or "folder"
    for name in sorted(clips | captions.keys()):
        words = captions.get(name, ())
        notes = {} if words or captions_file is None else {"unannotated": f"{captions_file.name} does not name it"}
        yield Entry(dataset, name, split, whole_names=(name,), captions=words,
                    caption_source="human" if words else None, notes=notes)


def _only_csv(place: Path) -> Path | None:
    files = sorted(place.glob("*.csv"))
    if len(files) > 1:
        raise MediaError(f"{place}: holds {len(files)} CSV files; name the one with the captions instead of the folder")
    return files[0] if files else None


def _captions(path: Path) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for _, row in named_rows(path, ("name", "caption"), comments=False):
        name = Path(row["name"])
        stem = name.stem if name.suffix.lower() in VIDEO_SUFFIXES else name.name
        found[stem] = (*found.get(stem, ()), row["caption"]) if row["caption"] else found.get(stem, ())
    return found
