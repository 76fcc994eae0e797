"""MPEG-4 in avi with "packed B-frames": two pictures in one packet, then an empty one. Unpacked, one packet a picture.

avi has no presentation times either; they follow from the kinds of the pictures (ISO 14496-2, 6.1.3.7).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from av.bitstream import BitStreamFilterContext
from av.packet import Packet
from av.video.stream import VideoStream

_PACKED = re.compile(rb"\x00\x00\x01\xb2DivX\d+(?:b|Build)\d+p")  # the encoder's mark in the user data
_PICTURE = b"\x00\x00\x01\xb6"  # start code of a picture; the next two bits are its kind
_B_PICTURE = 2


def unpacked(packets: Iterable[Packet], stream: VideoStream) -> Iterator[Packet]:
    """The packets, in which packed pictures of `stream` are taken apart and get their times; others are unchanged."""
    unpacker: _Unpacker | None = None
    first = stream.codec_context.name == "mpeg4"
    for packet in packets:
        if first and packet.stream_index == stream.index:
            first = False
            unpacker = _Unpacker(stream) if _PACKED.search(bytes(packet)) else None
        if unpacker is None or packet.stream_index != stream.index:
            yield packet
        else:
            yield from unpacker.parts(packet)


class _Unpacker:
    """Takes packets apart. A B-picture is shown when it is decoded, each other when the next such one is decoded."""

    def __init__(self, stream: VideoStream) -> None:
        self.stream = stream
        self.split = BitStreamFilterContext("mpeg4_unpack_bframes", stream)
        self.waiting: list[Packet] = []  # a picture whose time is still unknown, and the B-pictures after it
        self.end = 0

    def parts(self, packet: Packet) -> Iterator[Packet]:
        """The packets that are complete once `packet` is known; an empty one, the end, releases all."""
        at_end = not packet.size  # asked first: the filter empties the packet
        for part in self.split.filter(None if at_end else packet):
            part.stream = self.stream
            if part.dts is not None:
                yield from self._timed(part)
        if at_end:
            if self.waiting and _kind(self.waiting[0]) != _B_PICTURE:
                self.waiting[0].pts = self.end
            yield from self.waiting
            yield packet

    def _timed(self, part: Packet) -> Iterator[Packet]:
        ticks = part.dts or 0
        self.end = ticks + (part.duration or 1)
        if _kind(part) == _B_PICTURE:
            part.pts = ticks
        elif self.waiting:
            self.waiting[0].pts = ticks
            yield from self.waiting
            self.waiting = []
        self.waiting.append(part)


def _kind(packet: Packet) -> int:
    """0 to 3: I, P, B, S."""
    data = bytes(packet)
    at = data.find(_PICTURE) + len(_PICTURE)
    return data[at] >> 6 if len(_PICTURE) <= at < len(data) else 0
