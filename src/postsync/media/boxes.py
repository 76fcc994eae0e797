"""What PyAV neither reads nor sets in mp4 and mov: the size at which a picture is shown, and its special boxes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_SIZE_BYTES = 8  # width and height at the end of a track's header, 16.16 fixed point (ISO 14496-12, 8.3.2)
_SPECIAL = {b"dvcC": "Dolby Vision", b"dvvC": "Dolby Vision", b"sv3d": "360-degree"}  # boxes of a picture's description


def shown_size(path: Path, track_id: int) -> bytes | None:
    """Width and height (8 bytes) at which the track is shown; None if the file has no such track."""
    with path.open("rb") as file:
        place = _place(file, track_id)
        if place is None:
            return None
        file.seek(place)
        return file.read(_SIZE_BYTES)


def set_shown_size(path: Path, track_id: int, size: bytes) -> None:
    """Change width and height (8 bytes) at which the track is shown."""
    with path.open("r+b") as file:
        place = _place(file, track_id)
        if place is not None:
            file.seek(place)
            file.write(size)


def fixed_point(width: float, height: float) -> bytes:
    """Width and height in pixels as `set_shown_size` takes them."""
    return b"".join(round(side * 65536).to_bytes(4, "big") for side in (width, height))


def special_pictures(path: Path) -> list[str]:
    """The kinds of picture, of those that `mov` as FFmpeg writes it cannot describe, that the index names."""
    with path.open("rb") as file:
        for name, start, stop in _boxes(file, 0, file.seek(0, 2)):
            if name == b"moov":
                file.seek(start)
                index = file.read(stop - start)
                return sorted({kind for box, kind in _SPECIAL.items() if box in index})
    return []


def _place(file: BinaryIO, track_id: int) -> int | None:
    """Where in the file the shown size of a track is."""
    end = file.seek(0, 2)
    for name, start, stop in _boxes(file, 0, end):
        for _, track, track_end in _boxes(file, start, stop, b"trak") if name == b"moov" else ():
            for _, header, header_end in _boxes(file, track, track_end, b"tkhd"):
                file.seek(header)
                fields = file.read(24)
                at = 20 if fields[0] == 1 else 12  # after version, flags, and two times
                if int.from_bytes(fields[at:at + 4], "big") == track_id:
                    return header_end - _SIZE_BYTES
    return None


def _boxes(file: BinaryIO, start: int, stop: int, wanted: bytes | None = None) -> Iterator[tuple[bytes, int, int]]:
    """(name, start and end of the content) of the boxes, all or the wanted ones, between two places."""
    while start + 8 <= stop:
        file.seek(start)
        header = file.read(16)
        length, content = int.from_bytes(header[:4], "big"), start + 8
        if length == 1:
            length, content = int.from_bytes(header[8:16], "big"), start + 16
        if length < 8 or start + length > stop:
            return
        if wanted in (None, header[4:8]):
            yield header[4:8], content, start + length
        start += length
