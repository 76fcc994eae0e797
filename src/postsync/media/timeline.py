"""The timeline on which an editor lays a clip: its frame rate and the timecode of its first frame.

A clip of a variable rate lies on the rate that it was recorded for, not on the average of its frames.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConditionError
from .container import open_media, picture_stream

DEFAULT_START = "01:00:00:00"  # where editors begin a timeline
_STANDARD = (24000 / 1001, 24.0, 25.0, 30000 / 1001, 30.0, 48000 / 1001, 48.0, 50.0, 60000 / 1001, 60.0, 100.0,
             120000 / 1001, 120.0, 240000 / 1001, 240.0)
_DROPPED = 1.25  # a recording lacks at most a fifth of its frames
_TIMECODE = re.compile(r"(\d{1,2}):(\d{2}):(\d{2})([:;.])(\d{2,3})")


@dataclass(frozen=True)
class Timeline:
    """Frames a second, and the timecode `HH:MM:SS:FF` of the first frame; `;` before the frames: drop frame."""

    fps: float
    start: str = DEFAULT_START

    @property
    def nominal(self) -> int:
        """The frames that a second of timecode counts: 30 for 29.97."""
        return max(1, math.ceil(self.fps - 0.1))

    @property
    def drops(self) -> bool:
        """Whether the timecode leaves out numbers to keep pace with the clock; only NTSC rates do."""
        return ";" in self.start and self.nominal % 30 == 0 and self.fps < self.nominal

    def at(self, fps: float | None) -> Timeline:
        """The same start on a timeline of another rate. Raises ConditionError unless it is 1 to 1000."""
        if fps is None:
            return self
        if not 1 <= fps <= 1000:
            raise ConditionError(f"a timeline of {fps:g} frames a second; give a number from 1 to 1000.")
        head, separator, frame = re.split("([:;.])(?=[^:;.]*$)", self.start)
        number = int(frame) * Timeline(fps).nominal // self.nominal
        return Timeline(fps, f"{head}{separator}{number:02d}")

    def timecode(self, frame: int) -> str:
        """The timecode of frame number `frame`, counted from the clip's first."""
        number = self._number(self.start) + frame
        if self.drops:
            number += self._dropped_before(number)
        seconds, frames = divmod(number, self.nominal)
        width = 3 if self.nominal > 100 else 2  # as FFmpeg writes it
        return (f"{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
                f"{';' if self.drops else ':'}{frames:0{width}d}")

    def _number(self, code: str) -> int:
        """The frames from midnight to a timecode."""
        found = _TIMECODE.fullmatch(code)
        if found is None:
            raise ConditionError(f"'{code}' is not a timecode HH:MM:SS:FF.")
        hours, minutes, seconds, frames = (int(found[n]) for n in (1, 2, 3, 5))
        number = ((hours * 60 + minutes) * 60 + seconds) * self.nominal + frames
        minutes += hours * 60
        return number - self._per_minute * (minutes - minutes // 10) if self.drops else number

    @property
    def _per_minute(self) -> int:
        """Numbers that drop frame leaves out each minute but every tenth (SMPTE ST 12-1)."""
        return self.nominal // 15

    def _dropped_before(self, number: int) -> int:
        minute = self.nominal * 60 - self._per_minute
        tens, rest = divmod(number, self.nominal * 600 - 9 * self._per_minute)
        return self._per_minute * (9 * tens + max(0, (rest - self._per_minute) // minute))


def clip_timeline(path: Path, average_fps: float) -> Timeline:
    """The timeline of a clip whose frames come at `average_fps`: its timecode, if it has one, and the rate it was
    recorded for. Raises MediaError if it cannot be read."""
    with open_media(path) as source:
        stream = picture_stream(source, path)
        rates = [float(rate) for rate in (stream.base_rate, stream.guessed_rate) if rate]
        codes = [m["timecode"] for m in (stream.metadata, *(s.metadata for s in source.streams), source.metadata)
                 if "timecode" in m]
    start = next((code for code in codes if _TIMECODE.fullmatch(code)), DEFAULT_START)
    return Timeline(nominal_rate(average_fps, rates), start)


def nominal_rate(average_fps: float, declared: Sequence[float]) -> float:
    """The rate a clip was recorded for.

    A declared rate, or a standard one, that the average agrees with; else one of which some frames are missing, as
    phones record; the average where none is near.
    """
    def agrees(rate: float, tolerance: float) -> bool:
        return abs(rate / average_fps - 1) < tolerance

    def lacks_frames(rate: float) -> bool:
        return 1 <= rate / average_fps < _DROPPED

    closest = sorted(declared, key=lambda rate: abs(rate - average_fps))
    standard = [rate for rate in closest if any(abs(rate / known - 1) < 1e-4 for known in _STANDARD)]
    candidates = (*(rate for rate in closest if agrees(rate, 1e-3)),
                  *(rate for rate in _STANDARD if agrees(rate, 3e-4)),
                  *(rate for rate in standard if lacks_frames(rate)),
                  *(rate for rate in _STANDARD if rate.is_integer() and lacks_frames(rate)))
    return next(iter(candidates), average_fps)
