"""Official annotations and a folder of media -> the neutral manifest. One entry a format; no annotation is dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from ...errors import MediaError, PostsyncError
from ..flags import UNUSABLE, flag_counts
from ..manifest import MANIFEST, write_manifest
from ..windows import Words, cut_windows
from . import folder, greatest_hits, unav, youtube
from .entries import Entry, ImportOptions, merged
from .media_index import MediaIndex
from .rows import build_row


@dataclass(frozen=True)
class Format:
    """An official form of annotations."""

    read: Callable[[Path, ImportOptions], Iterator[Entry]]
    annotation_licence: str | None  # of the annotations; the media have their own
    label_of: Words | None = None  # events -> label of a window, where the events determine it
    captions_of: Words | None = None


FORMATS: Mapping[str, Format] = {
    "vggsound-csv": Format(youtube.vggsound, "CC BY 4.0"),
    "audioset-csv": Format(youtube.audioset, "CC BY 4.0"),
    "audiocaps-csv": Format(youtube.audiocaps, "academic use (text of the repository; its licence file is MIT)"),
    "landscape-csv": Format(youtube.landscape, None),
    "greatesthits-times": Format(greatest_hits.greatest_hits, "research use; no explicit licence found",
                                 greatest_hits.label_of, greatest_hits.captions_of),
    "unav-json": Format(unav.unav, "MIT (repository)", unav.label_of, unav.captions_of),
    "folder": Format(folder.folder, None),
}


def import_dataset(format_name: str, annotations: Path, media: Path | None, out: Path, *,
                   options: ImportOptions | None = None, window_s: float | None = None, workers: int = 1,
                   replace: bool = False, on_clip: Callable[[int, int], None] | None = None) -> Path:
    """Write the manifest of a data set into the folder `out` and return its path.

    `media`: where the files lie (None: in the folder of the annotations). `window_s`: cut the clips into windows of
    this length. `workers`: probing threads. `on_clip(done, total)` reports progress. Every annotated clip becomes a row
    (or several); its problems are flagged. Raises PostsyncError for an unknown format, MediaError for annotations of
    another form, for media none of whose files was found, and for an existing manifest unless `replace`.
    """
    if format_name not in FORMATS:
        raise PostsyncError(f"no format '{format_name}'; the formats are: {', '.join(FORMATS)}")
    if not annotations.exists():
        raise MediaError(f"{annotations}: no such file or folder; name the annotations")
    if (out / MANIFEST).exists() and not replace:
        raise MediaError(f"{out}: contains a manifest already; name another folder, or replace it with --replace")
    form, options = FORMATS[format_name], options or ImportOptions()
    read = list(form.read(annotations, options))
    entries = merged(read)
    if not entries:
        raise MediaError(f"{annotations}: contains no annotated clip; give the file that lists the clips")
    index = MediaIndex(media or (annotations if annotations.is_dir() else annotations.parent))
    rows = _rows(entries, index, out, workers, on_clip)
    if all("missing" in row["flags"] for row in rows):
        raise MediaError(f"{index.root}: holds none of the {len(rows)} clips, the first: "
                         f"{rows[0]['stats']['reasons']['missing']}; name the folder of the media with --media")
    if window_s is not None:
        rows = list(chain.from_iterable(cut_windows(row, window_s, form.label_of, form.captions_of) for row in rows))
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(f"{out}: cannot be created ({error.strerror}); choose another folder") from error
    return write_manifest(out, rows, {
        "command": f"postsync data import {format_name}", "annotations": annotations.name,
        "split_lists": str(options.lists) if options.lists else None, "split": options.split, "window_s": window_s,
        "annotation_licence": form.annotation_licence, "filters": [],
        "imported": {"annotated": len(read), "clips": len(entries), "rows": len(rows),
                     "usable": sum(not UNUSABLE & set(row["flags"]) for row in rows),
                     "flags": flag_counts(rows), "splits": dict(Counter(row["split"] for row in rows))}})


def _rows(entries: list[Entry], index: MediaIndex, out: Path, workers: int,
          on_clip: Callable[[int, int], None] | None) -> list[dict[str, Any]]:
    rows = []
    with ThreadPoolExecutor(max(1, workers)) as pool:  # decoding releases the interpreter lock
        for row in pool.map(lambda entry: build_row(entry, index, out), entries):
            rows.append(row)
            if on_clip is not None:
                on_clip(len(rows), len(entries))
    return rows
