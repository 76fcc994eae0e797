"""The score of a scene: what happens when. Pictures and sounds are both rendered from it, so they match."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..protocols.clip import Event
from .families import KNOWN

ACTIVITY_RATE = 100
UNSEEN_PROBABILITY = 0.1
LATE_START_PROBABILITY = 0.3
SPARSE_PROBABILITY = 0.08  # clips with only one or two events

Rng = np.random.Generator


@dataclass(frozen=True)
class Score:
    """What happens in a scene.

    `events` are sorted by onset and lie within the clip. `activity` has shape (round(100 * duration_s),) and values
    0..1: the speed of a scrape, the liveliness of a texture, zeros for strikes and separate events.
    """

    family: str
    duration_s: float
    events: tuple[Event, ...]
    activity: np.ndarray


def plan_score(family: str, duration_s: float, rng: Rng) -> Score:
    """Draw when a family sounds in a clip of `duration_s` seconds (0.5 or more for at least one event).

    Raises KeyError for an unknown family, ValueError for a duration that is not positive.
    """
    if not duration_s > 0:
        raise ValueError(f"duration_s is {duration_s}; a score needs a positive duration in seconds")
    kind = KNOWN[family].kind
    start = rng.uniform(0.3, 1.2) if rng.random() < LATE_START_PROBABILITY else rng.uniform(0.05, 0.35)
    start = min(start, 0.25 * duration_s)
    if kind == "texture":
        events, activity = _texture(family, duration_s, rng)
    elif kind == "scrape":
        events, activity = _strokes(family, duration_s, start, rng)
    else:
        plan = _EVENT_PLANS.get(family, _irregular)
        onsets, strengths = plan(duration_s, start, rng)
        if rng.random() < SPARSE_PROBABILITY:
            onsets, strengths = onsets[:2], strengths[:2]
        events, activity = _separate(family, duration_s, onsets, strengths, rng), np.zeros(_length(duration_s))
    return Score(family, duration_s, _maybe_unseen(events, rng), activity.astype(np.float32))


def _length(duration_s: float) -> int:
    return round(duration_s * ACTIVITY_RATE)


# ---- separate events: (onsets, strengths) ----------------------------------------------------------------------------

_Plan = tuple[np.ndarray, np.ndarray]


def _irregular(duration_s: float, start: float, rng: Rng) -> _Plan:
    """Strikes at irregular gaps, or in a rhythm of equal gaps some of which are omitted."""
    if rng.random() < 0.3:
        return _regular(duration_s, start, rng, rng.uniform(0.25, 0.9), jitter=0.01, omit=0.12)
    shortest = rng.uniform(0.25, 0.6)
    longest = rng.uniform(shortest + 0.1, 1.5)
    gaps = rng.uniform(shortest, longest, int(duration_s / shortest) + 2)
    onsets = start + np.concatenate([[0.0], np.cumsum(gaps)])
    return onsets, rng.uniform(0.3, 1.0, len(onsets))


def _regular(duration_s: float, start: float, rng: Rng, period: float, *, jitter: float, omit: float = 0.0,
             weakest: float = 0.3) -> _Plan:
    count = int(duration_s / period) + 2
    onsets = start + period * np.arange(count) + rng.uniform(-jitter, jitter, count) * period
    keep = rng.random(count) >= omit
    keep[0] = True
    accent = np.tile(rng.uniform(weakest, 1.0, rng.integers(1, 5)), count)[:count]
    strengths = np.clip(accent + rng.normal(0, 0.05, count), weakest, 1.0)
    return np.maximum(onsets[keep], 0.02), strengths[keep]


def _footsteps(duration_s: float, start: float, rng: Rng) -> _Plan:
    return _regular(duration_s, start, rng, rng.uniform(0.32, 0.75), jitter=0.03, weakest=0.55)


def _clock_tick(duration_s: float, start: float, rng: Rng) -> _Plan:
    return _regular(duration_s, start, rng, rng.choice([0.3, 0.4, 0.5, 0.75, 1.0]), jitter=0.0, weakest=0.6)


def _slow(duration_s: float, start: float, rng: Rng) -> _Plan:
    return _regular(duration_s, start, rng, rng.uniform(0.9, 2.2), jitter=0.04, weakest=0.5)


def _bounce(duration_s: float, start: float, rng: Rng) -> _Plan:
    """Balls dropped one after the other: each gap is the one before times the restitution, as is the impact speed."""
    onsets: list[float] = []
    strengths: list[float] = []
    t = start
    while t < duration_s:
        restitution, gap, speed = rng.uniform(0.68, 0.88), rng.uniform(0.5, 0.95), rng.uniform(0.7, 1.0)
        while gap > 0.07 and speed > 0.06:
            onsets.append(t)
            strengths.append(speed)
            t, gap, speed = t + gap, gap * restitution, speed * restitution
        t += rng.uniform(0.6, 1.4)
    return np.array(onsets), np.array(strengths)


def _groups(sizes: tuple[int, ...], gap: tuple[float, float], rest: tuple[float, float]) -> Callable[..., _Plan]:
    """Quick groups (knocks, barks) with rests between them."""

    def plan(duration_s: float, start: float, rng: Rng) -> _Plan:
        inner, onsets, t = rng.uniform(*gap), [], start
        while t < duration_s:
            size = int(rng.choice(sizes))
            onsets += list(t + np.cumsum(inner * rng.uniform(0.92, 1.08, size)) - inner)
            t = onsets[-1] + rng.uniform(*rest)
        return np.maximum(np.array(onsets), 0.02), rng.uniform(0.55, 1.0, len(onsets))

    return plan


def _engine_start(duration_s: float, start: float, rng: Rng) -> _Plan:
    """One ignition, rarely two: an engine needs time to crank and to idle."""
    if duration_s > 5 and rng.random() < 0.5:
        return np.array([start, start + rng.uniform(2.8, 3.6)]), rng.uniform(0.7, 1.0, 2)
    late = start + rng.uniform(0, max(0.0, min(1.2, duration_s - start - 1.5)))
    return np.array([late]), np.array([1.0])


_EVENT_PLANS: dict[str, Callable[..., _Plan]] = {
    "ball_bounce": _bounce, "footsteps": _footsteps, "clock_tick": _clock_tick, "bell": _slow, "cymbal": _slow,
    "bang": _slow, "splash": _slow, "door_knock": _groups((2, 3, 3, 4), (0.16, 0.3), (0.7, 1.6)),
    "bark": _groups((1, 2, 2, 3), (0.28, 0.5), (0.6, 1.5)), "whistle": _groups((1, 1, 2, 3), (0.4, 0.6), (0.8, 1.8)),
    "engine_start": _engine_start,
    "step_grass": _footsteps, "step_gravel": _footsteps, "step_metal": _footsteps, "step_snow": _footsteps,
    "step_water": _footsteps, "gun_shot": _groups((1, 1, 2, 3), (0.25, 0.6), (0.8, 2.0)), "explosion": _slow,
    "fireworks": _slow, "thunder": _slow, "door_slam": _slow, "door_creak": _slow, "glass_break": _slow,
    "ceramic_break": _slow, "rooster": _slow, "baby_cry": _slow, "sneeze": _slow, "cow": _slow, "horse": _slow,
    "roar": _slow, "scream": _slow, "laugh": _slow, "car_horn": _slow, "sheep": _slow,
}

LENGTHS_S = {  # (shortest, longest) from onset until the sound has fallen by 40 dB; the next onset may come earlier
    "wood_strike": (0.12, 0.22), "metal_strike": (0.8, 1.6), "glass_strike": (0.35, 0.7),
    "ceramic_strike": (0.15, 0.28),
    "plastic_strike": (0.06, 0.11), "cardboard_strike": (0.06, 0.11), "stone_strike": (0.03, 0.06),
    "drum_strike": (0.25, 0.5), "water_strike": (0.15, 0.3), "gravel_strike": (0.14, 0.28),
    "leaves_strike": (0.16, 0.32), "cloth_strike": (0.1, 0.2),
    "ball_bounce": (0.1, 0.16), "footsteps": (0.14, 0.22), "door_knock": (0.1, 0.16), "clock_tick": (0.03, 0.05),
    "bell": (1.5, 2.5), "splash": (0.5, 0.8), "bark": (0.16, 0.26), "whistle": (0.22, 0.38),
    "engine_start": (2.0, 3.2), "cymbal": (0.9, 1.8), "clap": (0.06, 0.12), "bang": (0.6, 1.0),
    "door_slam": (0.4, 0.8), "door_creak": (0.6, 1.2), "gun_shot": (0.5, 1.0), "gun_handling": (0.3, 0.7),
    "explosion": (1.2, 2.4), "fireworks": (0.8, 1.8), "thunder": (1.6, 3.0), "glass_break": (0.5, 1.0),
    "ceramic_break": (0.4, 0.8), "wood_break": (0.4, 0.8), "coins": (0.3, 0.6), "punch": (0.15, 0.3),
    "whoosh": (0.2, 0.4), "step_grass": (0.2, 0.35), "step_gravel": (0.2, 0.35), "step_metal": (0.2, 0.35),
    "step_snow": (0.2, 0.35), "step_water": (0.25, 0.45), "hi_hat": (0.08, 0.25), "snare_drum": (0.15, 0.3),
    "bass_drum": (0.2, 0.4), "cat": (0.6, 1.0), "rooster": (1.0, 1.8), "cow": (1.0, 1.8), "horse": (0.8, 1.6),
    "sheep": (0.6, 1.0), "duck": (0.3, 0.6), "bird": (0.3, 0.7), "roar": (0.8, 1.6), "baby_cry": (0.8, 1.4),
    "sneeze": (0.4, 0.8), "laugh": (0.8, 1.6), "scream": (0.6, 1.2), "bite": (0.15, 0.3), "car_horn": (0.5, 1.0),
}


def _separate(family: str, duration_s: float, onsets: np.ndarray, strengths: np.ndarray, rng: Rng) -> list[Event]:
    shortest, longest = LENGTHS_S[family]
    length = rng.uniform(shortest, longest)
    return [Event(float(t), float(min(t + length, duration_s)), family, strength=float(s))
            for t, s in zip(onsets, strengths, strict=True) if t < duration_s - min(0.1, 0.2 * duration_s)]


# ---- strokes and textures: events and activity -----------------------------------------------------------------------


def _strokes(family: str, duration_s: float, start: float, rng: Rng) -> tuple[list[Event], np.ndarray]:
    """Rubbing: strokes with a speed that rises and falls, back and forth or with pauses."""
    activity = np.zeros(_length(duration_s))
    steady = rng.random() < 0.5  # back and forth: strokes of like length follow each other with short stops
    length = rng.uniform(0.3, 0.6)
    events: list[Event] = []
    t = start
    while t < duration_s - 0.15:
        span = min(length * rng.uniform(0.9, 1.1) if steady else rng.uniform(0.2, 1.1), duration_s - t)
        strength = rng.uniform(0.4, 1.0)
        first = int(np.ceil(t * ACTIVITY_RATE))
        phase = (np.arange(first, min(int((t + span) * ACTIVITY_RATE) + 1, len(activity))) / ACTIVITY_RATE - t) / span
        # a stroke sets off fast (within 20 ms), then follows the hand: sine-like, with a tremble of its own
        profile = np.minimum(phase * span / 0.02, 1) * np.sin(np.pi * np.clip(0.18 + 0.82 * phase, 0, 1)) ** 0.7
        tremble = 1 + rng.uniform(0, 0.3) * np.sin(2 * np.pi * (rng.uniform(4, 11) * phase * span + rng.random()))
        activity[first:first + len(phase)] = strength * np.clip(profile * tremble / 1.3, 0, 1)
        events.append(Event(float(t), float(t + span), family, strength=float(strength)))
        t += span + (rng.uniform(0.06, 0.14) if steady else rng.uniform(0.1, 0.9))
    return events, activity


def _texture(family: str, duration_s: float, rng: Rng) -> tuple[list[Event], np.ndarray]:
    """Slow swells; at times the sound starts or stops suddenly, and each sudden start is an onset."""
    count = _length(duration_s)
    time = np.arange(count) / ACTIVITY_RATE
    swell = np.zeros(count)
    for _ in range(3):
        swell += rng.uniform(0.3, 1) * np.sin(2 * np.pi * (rng.uniform(0.08, 0.7) * time + rng.random()))
    spread = max(float(np.ptp(swell)), 1e-6)
    floor = rng.uniform(0.15, 0.6)
    activity = np.minimum(floor + (1 - floor) * (swell - swell.min()) / spread, 1.0)
    spans = [(0.0, duration_s)]
    if rng.random() < 0.45:
        spans, t = [], rng.uniform(0.1, 0.3) * duration_s
        while t < duration_s - 0.3:
            end = min(t + rng.uniform(0.6, 2.5), duration_s)
            spans.append((float(t), float(end)))
            t = end + rng.uniform(0.3, 1.2)
        gate = np.zeros(count)
        for t, end in spans:
            # up within 20 ms from the onset, down within 60 ms: the onset is where the sound leaves silence
            gate = np.maximum(gate, np.clip((time - t) / 0.02, 0, 1) * np.clip((end - time) / 0.06, 0, 1))
        activity = activity * gate
    events = [Event(t, end, family, strength=float(activity[int(t * 100):max(int(end * 100), int(t * 100) + 1)].max()))
              for t, end in spans]
    return events, activity


def _maybe_unseen(events: list[Event], rng: Rng) -> tuple[Event, ...]:
    """In one clip of ten, one event is caused outside the frame; a clip keeps at least one visible event."""
    if len(events) > 1 and rng.random() < UNSEEN_PROBABILITY:
        unseen = int(rng.integers(len(events)))
        events[unseen] = replace(events[unseen], visible=False)
    return tuple(events)
