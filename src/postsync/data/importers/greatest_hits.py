"""Greatest Hits (Owens et al., 2016): a `<take>_times.txt` for each take, and lists of the takes of each split.

A line is `seconds material action reaction`, separated by blanks, `None` for what is unknown; the time is that of the
physical contact. Several incompatible splits were published, as `train.txt`, `test.txt` (official), `val.txt` beside
them (SyncFusion), JSON lists (CondFoleyGen) or segment lists (`flist_train.txt`): a take is in the split whose list
names it.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import MediaError
from .entries import Entry, ImportOptions, seconds, split_called, split_in_name

TIMES = "_times.txt"
_MEDIA = ("_denoised", "_mic", "", "_denoised_thumb", "_mic_thumb")  # after the take, best first
_ENDING = re.compile(r"(?:_denoised|_mic)(?:_thumb(?:-\d+)?)?$")


def greatest_hits(folder: Path, options: ImportOptions) -> Iterator[Entry]:
    """The takes of a folder, each a whole file with its events. Lists lie in the folder, or in `options.lists`."""
    if not folder.is_dir():
        raise MediaError(f"{folder}: is not a folder; give the folder of the {TIMES} files")
    annotated = {file.name.removesuffix(TIMES): file for file in sorted(folder.rglob("*" + TIMES))}
    if not annotated:
        raise MediaError(f"{folder}: holds no {TIMES} files; give the folder of the annotations")
    splits = _listed(options.lists or folder)
    if not splits and options.split is None:
        raise MediaError(f"{options.lists or folder}: contains no lists of takes such as train.txt and test.txt; name "
                         "their folder with --lists, or give --split")
    for take in sorted({_take(name): None for name in annotated} | splits):
        file = annotated.get(take) or annotated.get(take + "_denoised") or annotated.get(take + "_mic")
        names = splits.get(take, [])
        notes = {} if file else {"unannotated": f"named in a list, but there is no {take}{TIMES}"}
        if len(names) > 1:
            notes["repeated"] = f"listed in {' and '.join(names)}"
        if not names and splits:
            notes["unlisted"] = "no list names this take"
        split = names[-1] if names else split_called(options.split, "--split") if options.split else "unlisted"
        events = tuple(read_times(file)) if file else ()
        yield Entry("greatesthits", take, split, whole_names=tuple(take + ending for ending in _MEDIA), notes=notes,
                    label=label_of(events), captions=captions_of(events), caption_source="events", events=events)


def read_times(path: Path) -> Iterator[dict[str, Any]]:
    """Events {t, end, label, reaction} of a times file; end and unknown values are None, `None None` has no label.

    Raises MediaError naming the invalid line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MediaError(f"cannot read {path}: {error}; copy it again") from error
    for number, line in enumerate(lines, 1):
        cells = line.split()
        if not cells or cells[0].startswith("#"):
            continue
        if len(cells) > 4:
            raise MediaError(f"{path}, line {number}: '{line}' is not `seconds material action reaction`")
        time = seconds(cells[0], f"{path}, line {number}")
        material, action, reaction = [None if c in ("None", "none") else c for c in (*cells[1:], *[None] * 3)][:3]
        yield {"t": time, "end": None, "label": " ".join(filter(None, (material, action))) or None,
               "reaction": reaction}


def label_of(events: Sequence[Mapping[str, Any]]) -> str | None:
    """The most frequent `material action`, None if none is known."""
    counts = Counter(event["label"] for event in events if event["label"])
    return counts.most_common(1)[0][0] if counts else None


def captions_of(events: Sequence[Mapping[str, Any]]) -> tuple[str]:
    """One sentence in the compact form of Stable-V2A: `A person hit multiple times on rock and wood with a wooden
    stick.`, with `something` where no material is known. Events are counted; that code counts kinds of action.
    """
    hits: dict[str, list[str | None]] = {}
    for event in events:
        words = (event["label"] or "").split()
        action = words.pop() if words and words[-1] in ("hit", "scratch") else "hit"
        hits.setdefault(action, []).append(" ".join(words) or None)
    if not hits:
        hits = {"hit": [None]}
    parts = []
    for action, materials in hits.items():
        known = list(dict.fromkeys(m for m in materials if m)) or ["something"]
        on = known[0] if len(known) == 1 else ", ".join(known[:-1]) + " and " + known[-1]
        parts.append(f"{action} {'once' if len(materials) == 1 else 'multiple times'} on {on}")
    return (f"A person {' and '.join(parts)} with a wooden stick.",)


def _listed(folder: Path) -> dict[str, list[str]]:
    """Take -> the splits whose lists name it, in the order train, val, test."""
    found: dict[str, list[str]] = {}
    files = sorted(file for file in folder.iterdir() if file.suffix in (".txt", ".json") and split_in_name(file)
                   and not file.name.endswith(TIMES))
    for split in ("train", "val", "test"):
        for file in files:
            for name in _names(file) if split_in_name(file) == split else ():
                if split not in found.setdefault(_take(name), []):
                    found[_take(name)].append(split)
    return found


def _names(path: Path) -> list[str]:
    """The first cell of each line of a text list, or the strings of a JSON list; raises MediaError for others."""
    try:
        if path.suffix == ".txt":
            with path.open(newline="", encoding="utf-8-sig") as file:
                return [row[0].strip() for row in csv.reader(file) if row and row[0].strip()]
        names = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, csv.Error) as error:
        raise MediaError(f"cannot read {path}: {error}. Give a list of takes, one a line or in JSON.") from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise MediaError(f"{path}: is not a JSON list of takes")
    return names


def _take(name: str) -> str:
    """The take of a file's or a segment's name: `.../2015-02-16-16-49-06_denoised_thumb-003.mp4` -> its date part."""
    base = name.replace("\\", "/").rsplit("/", 1)[-1].removesuffix(TIMES)
    return _ENDING.sub("", re.sub(r"\.(mp4|wav|mov|avi)$", "", base))
