"""How things move around their sounds: curves in continuous time, so that they can be sampled at any frame times.

The rule of film timing: an impact is where motion stops. Curves reach contact at full speed and leave it slowly.

A mover is a function that paints itself on a canvas at given times; its appearance and manner were drawn at its
creation. It fills the square -1..1 of its canvas.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .canvas import Array, Canvas
from .events import Score

Rng = np.random.Generator
Mover = Callable[[Canvas, Array], None]
FAR_S = 1e3  # "no such event"


@dataclass(frozen=True)
class Manner:
    """How a tool moves between hits: its up-swing takes `up` times as long as usual; with `winds_up` it rests where it
    struck and rises only before the next hit; `rebound` is the height of its bounce after a hit, 0..1; `limbs` (1 or 2)
    take turns; `near` is its size beside the usual one."""

    up: float = 1.0
    winds_up: bool = False
    rebound: float = 0.0
    limbs: int = 1
    near: float = 1.0

    @classmethod
    def draw_from(cls, share: float, rng: Rng) -> Manner:
        """The usual manner, but in a `share` of draws another: swings up as fast as down, bounces, two limbs, far away.
        """
        drawn, up, winds_up, bounces, limbs, far = rng.random(6).tolist()
        if drawn >= share:
            return cls()
        return cls(0.2 * 5 ** up, winds_up < 0.4, max(0.0, 0.5 * (bounces - 0.5)), 2 if limbs < 0.35 else 1,
                   min(1.0, 0.4 + far))


class Timeline:
    """The visible part of a score: visible events, and activity without the parts whose cause is out of the frame."""

    def __init__(self, score: Score, manner: Manner | None = None) -> None:
        self.manner = manner or Manner()
        events = sorted((e for e in score.events if e.visible), key=lambda e: e.t)
        self.duration_s = score.duration_s
        self.onsets = np.array([e.t for e in events], np.float64)
        self.ends = np.array([e.end for e in events], np.float64)
        self.strengths = np.array([e.strength for e in events], np.float64)
        level = np.array(score.activity, np.float64, copy=True)
        grid = np.arange(len(level)) / 100
        for hidden in (e for e in score.events if not e.visible):
            level[(grid >= hidden.t) & (grid < hidden.end)] = 0
        self._grid, self._level = grid, level
        self._travel = np.concatenate([[0.0], np.cumsum(level) / 100])

    def last(self, times: Array) -> tuple[Array, Array, Array]:
        """(seconds since the last onset, its strength, its index) a frame; FAR_S, 0, -1 before the first."""
        index = np.searchsorted(self.onsets, times, side="right") - 1
        if not len(self.onsets):
            return np.full(len(times), FAR_S), np.zeros(len(times)), index
        known = np.maximum(index, 0)
        since = np.where(index >= 0, times - self.onsets[known], FAR_S)
        return since, np.where(index >= 0, self.strengths[known], 0.0), index

    def next(self, times: Array) -> tuple[Array, Array]:
        """(seconds until the next onset, its strength) a frame; FAR_S, 0 after the last."""
        if not len(self.onsets):
            return np.full(len(times), FAR_S), np.zeros(len(times))
        index = np.searchsorted(self.onsets, times, side="right")
        known = np.minimum(index, len(self.onsets) - 1)
        ahead = index < len(self.onsets)
        return np.where(ahead, self.onsets[known] - times, FAR_S), np.where(ahead, self.strengths[known], 0.0)

    def height(self, times: Array, down_s: float = 0.16, up_s: float = 0.4) -> Array:
        """Height 0..1 of a tool above what it strikes: 0 at each onset, reached at full speed and left slowly, or in
        another manner."""
        until, coming = self.next(times)
        since, strength, _ = self.last(times)
        fall = np.clip(until / down_s, 0, 1)
        up_s = self.manner.up * up_s
        rise = np.clip(since / up_s, 0, 1)
        if self.manner.winds_up:
            rise = np.minimum(rise, 1 - np.clip((until - down_s) / up_s, 0, 1))
        reach = np.where(until < FAR_S, 0.55 + 0.45 * coming, 0.6)
        falling = 1 - np.square(1 - fall)
        bounces = np.abs(np.sin(np.pi * np.minimum(since, 2) / 0.14))
        bounce = self.manner.rebound * strength * np.exp(-since / 0.12) * bounces
        return np.maximum(reach * np.minimum(falling, rise * rise * (3 - 2 * rise)), bounce * falling)

    def ringing(self, times: Array, frequency: float = 9.0, decay_s: float = 0.12) -> Array:
        """Damped oscillation -1..1 of what was struck, starting at its largest push at the onset."""
        since, strength, _ = self.last(times)
        return strength * np.exp(-since / decay_s) * np.cos(2 * np.pi * frequency * np.minimum(since, 10))

    def burst(self, times: Array, decay_s: float = 0.15) -> Array:
        """Strength of the last onset, decaying: flashes, dents, puffs of dust. 0..1."""
        since, strength, _ = self.last(times)
        return strength * np.exp(-since / decay_s)

    def gate(self, times: Array, attack_s: float = 0.04, release_s: float = 0.12) -> Array:
        """Openness 0..1 while an event lasts: snaps open at its onset, falls shut after its end."""
        since, strength, index = self.last(times)
        if not len(self.onsets):
            return np.zeros(len(times))
        over = times - self.ends[np.maximum(index, 0)]
        shut = np.clip(1 - np.maximum(over, 0) / release_s, 0, 1)
        return (0.5 + 0.5 * strength) * np.clip(since / attack_s, 0, 1) * shut * (index >= 0)

    def beats(self, times: Array) -> Array:
        """A clock that reads k exactly at onset k and runs evenly between; before and after at the median pace."""
        if not len(self.onsets):
            return np.zeros(len(times))
        if len(self.onsets) == 1:
            return times - self.onsets[0]
        pace = float(np.median(np.diff(self.onsets)))
        knots = np.concatenate([[self.onsets[0] - 50 * pace], self.onsets, [self.onsets[-1] + 50 * pace]])
        return np.interp(times, knots, np.concatenate([[-50], np.arange(len(self.onsets)), [len(self.onsets) + 49]]))

    def level(self, times: Array) -> Array:
        """Activity 0..1 a frame."""
        return np.interp(times, self._grid, self._level)

    def travel(self, times: Array) -> Array:
        """Integral of the activity in seconds: the distance covered at the speed of the activity."""
        return np.interp(times, np.arange(len(self._travel)) / 100, self._travel)


Maker = Callable[[str, Timeline, Rng], Mover]  # from the family, its timeline and a random generator


def triangle(phase: Array) -> Array:
    """Triangle wave -1..1 with period 1: constant speed there and back."""
    return 4 * np.abs((phase + 0.25) % 1 - 0.5) - 1


def wobble(rng: Rng, slowest: float, fastest: float,
           parts: int = 4) -> Callable[[Array], Array]:
    """A smooth random curve of time, about -1..1, of `parts` sines between two frequencies in Hz."""
    frequency = rng.uniform(slowest, fastest, parts)
    phase, weight = rng.uniform(0, 2 * np.pi, parts), rng.uniform(0.5, 1, parts)
    weight = weight / np.linalg.norm(weight)

    def curve(times: Array) -> Array:
        return np.sin(2 * np.pi * np.outer(times, frequency) + phase) @ weight

    return curve
