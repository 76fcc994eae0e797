"""Reading a clip in one pass: every picture as small luma, some of them as RGB, decoded only once.

Which pictures are wanted depends on the clip's exact length, known only once all of it was decoded. So plans are made
for the declared length and for lengths near it; the pictures of these plans are kept, and the exact plan is served from
them. Only if the declared length was wrong is the file read a second time.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np

from ..errors import ConditionError
from .picture import Picture
from .video import Converter, Frame, OnFraction, Shown, VideoInfo, hold_slack

_STEP = 10  # frames between two reports of progress


@dataclass(frozen=True)
class FramePlan:
    """Pictures to take: those shown at `times_s`, ascending seconds from the first picture, as (width, height) `size`.

    A picture counts as reached up to `slack_s` before its time, at most a quarter of the one before it; a time at which
    nothing is shown takes the last picture taken.
    """

    times_s: tuple[float, ...]
    size: tuple[int, int]
    slack_s: float = 0.0


Plan = Callable[[VideoInfo], FramePlan | None]


@dataclass(frozen=True)
class Watched:
    """The clip's exact length and size, and the planned pictures (n, H, W, 3) uint8 RGB; None if none were planned."""

    info: VideoInfo
    frames: np.ndarray | None


def spread(info: VideoInfo, count: int, size: tuple[int, int], first: int = 0, last: int | None = None) -> FramePlan:
    """Those numbered `first` to `last` (excluded) of `count` pictures spread evenly over the whole clip by time.

    GRAM's test rule: the pictures are split as by `numpy.array_split`, element (len + 1) // 2 - 1 of each part is
    taken. Each lasts the same share of the clip, and at a constant rate the picture at its middle is frame i itself.
    If more pictures are wanted than exist, some repeat.
    """
    slots = np.arange(max(info.num_frames, count))
    middles = [part[(len(part) + 1) // 2 - 1] + 0.5 for part in np.array_split(slots, count)]
    times = [float(middle * info.duration_s / len(slots)) for middle in middles]
    return FramePlan(tuple(times[first:last]), size)


def regular(start_s: float, end_s: float, fps: float, count: int, size: tuple[int, int]) -> FramePlan:
    """`count` pictures at start_s + k / fps, as `iter_frames` holds them; from `end_s` on the last one is repeated."""
    times = [start_s + k / fps for k in range(count)]
    inside = [time for time in times if time < end_s - 1e-9] or times[:1]
    return FramePlan(tuple(inside + inside[-1:] * (count - len(inside))), size, hold_slack(fps))


def watch(picture: Picture, *, on_luma: Callable[[Frame], None] | None = None, luma_size: tuple[int, int] = (96, 96),
          plan: Plan | None = None, on_progress: OnFraction | None = None) -> Watched:
    """Decode the whole picture once.

    on_luma: receives every frame, its image (H, W) uint8 luma of (width, height) `luma_size`.
    plan: gives the wanted pictures, called once with the declared and once with the exact facts.
    on_progress: receives the finished share, about every ten frames; an exception from it ends the work.

    Raises MediaError for a picture that cannot be read, and whatever the callbacks raise.
    """
    expected = picture.expected() if plan is not None or on_progress is not None else None
    luma = Converter(picture.name, luma_size, "gray")
    taken, found = _Taken(picture.name, _likely(plan, expected, picture.known)), list[VideoInfo]()
    with closing(picture.shown(found)) as shown:
        for count, one in enumerate(shown, start=1):
            time, duration, frame = one
            if on_luma is not None:
                on_luma(Frame(time, duration, luma(frame)))
            taken.push(one)
            if on_progress is not None and count % _STEP == 0:
                on_progress(min(1.0, (time + duration) / expected.duration_s) if expected is not None else 0.0)
    info, = found
    wanted = plan(info) if plan is not None else None
    if wanted is None:
        return Watched(info, None)
    frames = taken.pictures(wanted)
    return Watched(info, _read_again(picture, taken.numbers(wanted), wanted.size, on_progress)
                   if frames is None else frames)


def _likely(plan: Plan | None, expected: VideoInfo | None, known: VideoInfo | None) -> list[FramePlan]:
    """The plans for the expected length, and, if that is uncertain, for one picture more or less and for a last one
    that is shown longer or not at all."""
    if plan is None or expected is None:
        return []
    step_s = expected.duration_s / expected.num_frames
    plans = []
    for more, longer in ((0, 0),) if known is not None else ((0, 0), (1, 1), (-1, -1), (0, 1), (0, -1)):
        likely = replace(expected, num_frames=expected.num_frames + more,
                         duration_s=expected.duration_s + longer * step_s)
        if likely.num_frames > 0 and likely.duration_s > 0:
            try:
                plans.append(plan(likely))
            except ConditionError:  # such as a part beyond the end: the exact length decides
                continue
    return [one for one in plans if one is not None]


class _Taken:
    """Pictures of some plans, taken during the pass, and the times of all frames."""

    def __init__(self, name: str, plans: Sequence[FramePlan]) -> None:
        self._plans, self._next = plans, [0] * len(plans)
        self._convert = {plan.size: Converter(name, plan.size, "rgb24") for plan in plans}
        self._images: dict[tuple[int, tuple[int, int]], np.ndarray] = {}
        self._ends, self._durations = array("d"), array("d")

    def push(self, shown: Shown) -> None:
        """Record the frame's time, and its picture if a plan wants it."""
        time, duration, frame = shown
        for number, plan in enumerate(self._plans):
            before = self._next[number]
            while self._next[number] < len(plan.times_s) and (
                    plan.times_s[self._next[number]] < time + duration - min(plan.slack_s, 0.25 * duration)):
                self._next[number] += 1
            place = (len(self._ends), plan.size)
            if self._next[number] > before and place not in self._images:
                self._images[place] = self._convert[plan.size](frame)
        self._ends.append(time + duration)
        self._durations.append(duration)

    def numbers(self, plan: FramePlan) -> list[int]:
        """For each time of the plan, the number of the frame shown."""
        ends = np.asarray(self._ends) - np.minimum(plan.slack_s, 0.25 * np.asarray(self._durations))
        numbers = np.searchsorted(ends, plan.times_s, side="right")
        shown = numbers[numbers < len(ends)]
        return np.minimum(numbers, shown.max() if len(shown) else len(ends) - 1).tolist()

    def pictures(self, plan: FramePlan) -> np.ndarray | None:
        """The plan's pictures (n, H, W, 3), or None if one was not taken."""
        images = [self._images.get((number, plan.size)) for number in self.numbers(plan)]
        return None if any(image is None for image in images) else np.stack([i for i in images if i is not None])


def _read_again(picture: Picture, numbers: Sequence[int], size: tuple[int, int],
                on_progress: OnFraction | None) -> np.ndarray:
    """The frames with these numbers, from a second reading."""
    convert, wanted, images = Converter(picture.name, size, "rgb24"), set(numbers), dict[int, np.ndarray]()
    with closing(picture.shown([])) as shown:
        for number, (_, _, frame) in enumerate(shown):
            if number in wanted:
                images[number] = convert(frame)
            if on_progress is not None and number % _STEP == 0:
                on_progress(1.0)
            if len(images) == len(wanted):
                break
    return np.stack([images[number] for number in numbers])
