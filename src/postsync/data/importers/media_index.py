"""The media files under a folder, looked up by name without suffix."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ...errors import MediaError
from ...media.container import AUDIO_SUFFIXES, VIDEO_SUFFIXES


@dataclass(frozen=True)
class Found:
    """The files of one name; `others` fit it as well."""

    video: Path | None
    audio: Path | None  # a sound file
    others: tuple[Path, ...] = ()


class MediaIndex:
    """The video and sound files in a folder and below it, links followed, hidden ones skipped."""

    def __init__(self, root: Path) -> None:
        """Raises MediaError if `root` is not a folder or contains no media."""
        self.root = root
        self._videos: dict[str, list[Path]] = {}
        self._sounds: dict[str, list[Path]] = {}
        if not root.is_dir():
            raise MediaError(f"{root}: is not a folder; name the folder of the media with --media")
        walked: set[str] = set()
        for place, folders, files in os.walk(root, followlinks=True):
            if (real := os.path.realpath(place)) in walked:  # a circle of links
                folders.clear()
                continue
            walked.add(real)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(files):
                path = Path(place, name)
                suffix = path.suffix.lower()
                kind = self._videos if suffix in VIDEO_SUFFIXES else self._sounds if suffix in AUDIO_SUFFIXES else None
                if kind is not None and not name.startswith("."):
                    kind.setdefault(path.stem, []).append(path)
        if not self._videos and not self._sounds:
            raise MediaError(f"{root}: contains no media; name the folder of the media with --media")

    def find(self, names: Iterable[str]) -> Found | None:
        """The files of the first of `names` that has any, videos before sounds; None if none has."""
        names = tuple(names)
        chosen = next((name for kind in (self._videos, self._sounds) for name in names if name in kind), None)
        if chosen is None:
            return None
        videos, sounds = self._videos.get(chosen, []), self._sounds.get(chosen, [])
        return Found(next(iter(videos), None), next(iter(sounds), None), (*videos[1:], *sounds[1:]))
