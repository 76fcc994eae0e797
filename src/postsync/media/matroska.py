"""The shape in which mkv and webm show a picture, which PyAV cannot set: put into the header of a finished file.

The new elements take their room from the padding that FFmpeg leaves after the list of contents, so that nothing behind
the header moves (RFC 8794, RFC 9559).
"""

from __future__ import annotations

import zlib
from fractions import Fraction
from pathlib import Path

_SEGMENT, _SEEK_HEAD, _VOID, _INFO, _TRACKS = 0x18538067, 0x114D9B74, 0xEC, 0x1549A966, 0x1654AE6B
_TRACK, _VIDEO, _SEEK, _SEEK_ID, _SEEK_POSITION, _CRC = 0xAE, 0xE0, 0x4DBB, 0x53AB, 0x53AC, 0xBF
_WIDTH, _HEIGHT, _DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT = 0xB0, 0xBA, 0x54B0, 0x54BA, 0x54B2
_AS_PIXELS, _AS_ASPECT = 0, 3  # display units; webm knows only the first
_HEADER_BYTES = 1 << 20  # read at most; headers are far shorter

Element = tuple[int, bytes]  # identifier, content


def set_pixel_aspect(path: Path, aspect: Fraction, webm: bool) -> bool:
    """State the shape (width over height) of the first picture's pixels in a file that FFmpeg wrote.

    Returns False, with the file unchanged, where its header is of another kind or has no room.
    """
    with path.open("r+b") as file:
        data = file.read(_HEADER_BYTES)
        _, at, length = _head(data, 0)
        name, start, _ = _head(data, at + length)
        parts: list[Element] = []
        at = start
        while name == _SEGMENT and at < len(data) and (not parts or parts[-1][0] != _TRACKS):
            child, content, length = _head(data, at)
            parts.append((child, data[content:content + length]))
            at = content + length
        if [child for child, _ in parts] != [_SEEK_HEAD, _VOID, _INFO, _TRACKS]:
            return False
        seek, _, info, tracks = (content for _, content in parts)
        info_element, tracks_element = _element(_INFO, info), _element(_TRACKS, _with_aspect(tracks, aspect, webm))
        tracks_at = at - len(tracks_element)
        info_at = tracks_at - len(info_element)
        seek_element = _element(_SEEK_HEAD, _moved(seek, {_INFO: info_at - start, _TRACKS: tracks_at - start}))
        room = info_at - start - len(seek_element)
        if room < 9:
            return False
        void = _VOID.to_bytes(1, "big") + (1 << 56 | room - 9).to_bytes(8, "big") + bytes(room - 9)
        file.seek(start)
        file.write(seek_element + void + info_element + tracks_element)
    return True


def _with_aspect(tracks: bytes, aspect: Fraction, webm: bool) -> bytes:
    entries = _children(tracks)
    for number, (name, entry) in enumerate(entries):
        fields = _children(entry) if name == _TRACK else []
        place = next((k for k, (field, _) in enumerate(fields) if field == _VIDEO), None)
        if place is not None:
            video = [field for field in _children(fields[place][1])
                     if field[0] not in (_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT)]
            width, height = (int.from_bytes(dict(video)[side], "big") for side in (_WIDTH, _HEIGHT))
            shape = aspect * Fraction(width, height)
            shown = (round(width * aspect), height) if webm else (shape.numerator, shape.denominator)
            video += [(_DISPLAY_WIDTH, _number(shown[0])), (_DISPLAY_HEIGHT, _number(shown[1])),
                      (_DISPLAY_UNIT, _number(_AS_PIXELS if webm else _AS_ASPECT))]
            fields[place] = (_VIDEO, _joined(video))
            entries[number] = (_TRACK, _joined(fields))
            break
    return _checked(entries)


def _moved(seek_head: bytes, places: dict[int, int]) -> bytes:
    """The list of contents, in which these elements lie elsewhere (bytes from the segment's start)."""
    entries = _children(seek_head)
    for number, (name, entry) in enumerate(entries):
        fields = dict(_children(entry)) if name == _SEEK else {}
        found = int.from_bytes(fields.get(_SEEK_ID, b""), "big")
        if found in places:
            fields[_SEEK_POSITION] = _number(places[found])
            entries[number] = (_SEEK, _joined(list(fields.items())))
    return _checked(entries)


def _checked(elements: list[Element]) -> bytes:
    """The elements, with a fresh checksum if they begin with one."""
    if elements and elements[0][0] == _CRC:
        content = _joined(elements[1:])
        return _element(_CRC, zlib.crc32(content).to_bytes(4, "little")) + content
    return _joined(elements)


def _children(data: bytes) -> list[Element]:
    elements, at = [], 0
    while at < len(data):
        name, start, length = _head(data, at)
        elements.append((name, data[start:start + length]))
        at = start + length
    return elements


def _head(data: bytes, at: int) -> tuple[int, int, int]:
    """(identifier, where the content starts, its length) of the element at `at`."""
    width = 9 - data[at].bit_length()
    name, at = int.from_bytes(data[at:at + width], "big"), at + width
    width = 9 - data[at].bit_length()
    return name, at + width, int.from_bytes(data[at:at + width], "big") & ((1 << 7 * width) - 1)


def _joined(elements: list[Element]) -> bytes:
    return b"".join(_element(*element) for element in elements)


def _element(name: int, content: bytes) -> bytes:
    width = next(width for width in range(1, 9) if len(content) < (1 << 7 * width) - 1)
    return _number(name) + (1 << 7 * width | len(content)).to_bytes(width, "big") + content


def _number(value: int) -> bytes:
    return value.to_bytes(max((value.bit_length() + 7) // 8, 1), "big")
