"""Movers of the families with separate sounds: balls, feet, clocks, bells, drops, dogs, bangs."""

from __future__ import annotations

import numpy as np

from .canvas import Array, Canvas
from .kinetics import Maker, Mover, Rng, Timeline, wobble
from .looks import dark, material_texture, skin, varied


def bounce(family: str, timeline: Timeline, rng: Rng) -> Mover:
    """A ball falls under gravity and bounces off the floor; between two balls the next drops in from above."""
    colour = varied(((0.95, 0.45, 0.1), (0.98, 0.5, 0.12), (0.9, 0.4, 0.15))[int(rng.integers(3))], rng)
    gaps = np.diff(timeline.onsets)
    fresh = np.r_[True, np.r_[False, gaps[1:] > gaps[:-1] * 1.05]] if len(gaps) else np.ones(len(timeline.onsets), bool)
    fresh = np.r_[fresh[1:], True]  # fresh[k]: a new ball follows onset k
    gravity, radius, drift = rng.uniform(6.5, 9), rng.uniform(0.2, 0.28), rng.uniform(-0.25, 0.25)
    floor = varied((0.45, 0.35, 0.25), rng)

    def paint(canvas: Canvas, times: Array) -> None:
        since, _, index = timeline.last(times)
        until, _ = timeline.next(times)
        new = np.where(index >= 0, fresh[index], True) if len(timeline.onsets) else np.ones(len(times), bool)
        falling = np.minimum(0.5 * gravity * np.square(np.minimum(until, 2)) + 2 * np.minimum(until, 2), 4)
        flying = np.minimum(0.5 * gravity * np.minimum(since, 3) * np.minimum(until, 3), 4)
        height = np.where(new, falling, flying)
        squash = 0.3 * np.exp(-np.minimum(since, until) / 0.025) * (index >= 0)
        x = drift * np.sin(times)
        canvas.box(0.0, 0.9, 1.3, 0.16, floor)
        canvas.ellipse(x, 0.76, radius / (1 + height), 0.045, dark(floor, 0.4))
        y = 0.74 - height - radius * (1 - squash)
        canvas.ellipse(x, y, radius * (1 + squash), radius * (1 - squash), colour)
        canvas.ellipse(x, y, radius * (1 + squash) * 0.45, radius * (1 - squash), dark(colour, 0.3), ring=0.018,
                       angle=3 * times)
        canvas.capsule(x - radius * 0.9, y, x + radius * 0.9, y, 0.018, dark(colour, 0.3))
        gone = np.where(new & (index >= 0), np.clip(since / 0.7, 0, 1), 1.0)  # the last ball rolls off
        canvas.ellipse(x + 1.8 * gone, 0.74 - radius, radius, radius, colour, 1.0 * (gone < 1))

    return paint


def walk(family: str, timeline: Timeline, rng: Rng) -> Mover:
    """Two legs walk on the spot of a moving camera: a foot stops on the floor at each step."""
    trousers, shoe = varied((0.15, 0.2, 0.42), rng), varied(((0.1, 0.1, 0.1), (0.5, 0.25, 0.12))[rng.integers(2)], rng)
    stride, lift = rng.uniform(0.35, 0.5), rng.uniform(0.22, 0.34)
    pavement, shirt = varied((0.58, 0.57, 0.55), rng), varied((0.6, 0.6, 0.6), rng, 0.3)

    def paint(canvas: Canvas, times: Array) -> None:
        beat = timeline.beats(times)
        walking = np.clip(3 - np.abs(beat - np.clip(beat, 0, max(len(timeline.onsets) - 1, 0))), 0, 1)
        canvas.box(0.0, 0.92, 1.3, 0.14, pavement)
        for line in range(4):
            canvas.box((line * 0.7 - beat * stride * walking) % 2.8 - 1.4, 0.92, 0.02, 0.13, dark(pavement, 0.6))
        bob = 0.04 * np.cos(2 * np.pi * beat) * walking
        for foot in (1, 0):
            phase = (beat - foot) % 2  # 0: lands; stands and slides back until 1; swings forward until 2
            swinging = np.clip(phase - 1, 0, 1)
            quick = swinging**2  # fastest as it lands
            x = np.where(phase < 1, stride * (1 - 2 * phase), stride * (2 * quick - 1))
            y = 0.68 - lift * 2.6 * swinging * (1 - quick) * walking
            hip, knee = -0.55 + bob, (0.12 + 0.6 * x, 0.08 - 0.25 * swinging * (1 - quick))
            cloth = trousers if foot else dark(trousers, 0.7)
            canvas.capsule(0.0, hip, knee[0], knee[1] + bob, 0.17, cloth)
            canvas.capsule(knee[0], knee[1] + bob, x, y, 0.13, cloth)
            canvas.box(x + 0.12, y + 0.04, 0.24, 0.085, shoe, angle=-0.5 * swinging * (1 - quick) * 2, corner=0.06)
        canvas.box(0.0, -0.95 + bob, 0.28, 0.4, shirt)

    return paint


def pendulum(family: str, timeline: Timeline, rng: Rng) -> Mover:
    """A clock: its hand jumps at each tick, its pendulum is at an extreme of its swing."""
    case, swing = varied((0.35, 0.18, 0.08), rng), rng.uniform(0.5, 0.75)
    face, start = varied((0.97, 0.95, 0.85), rng, 0.02), rng.uniform(0, 6)

    def paint(canvas: Canvas, times: Array) -> None:
        beat = timeline.beats(times)
        since, _, index = timeline.last(times)
        jump = index + 1 - np.exp(-since / 0.03) * np.cos(60 * np.minimum(since, 1)) * 0.6
        canvas.box(0.0, -0.05, 0.62, 1.05, case, corner=0.1)
        canvas.box(0.0, 0.5, 0.48, 0.42, dark(case, 0.35))
        angle = swing * np.cos(np.pi * beat)
        x, y = 0.62 * np.sin(angle), 0.05 + 0.62 * np.cos(angle)
        canvas.capsule(0.0, 0.05, x, y, 0.025, (0.85, 0.7, 0.25))
        canvas.ellipse(x, y, 0.14, 0.14, (0.98, 0.82, 0.3))
        canvas.ellipse(0.0, -0.45, 0.5, 0.5, face)
        canvas.ellipse(0.0, -0.45, 0.5, 0.5, (0.75, 0.6, 0.2), ring=0.03)
        for hour in range(0, 12, 3):
            turn = hour * np.pi / 6
            canvas.ellipse(0.4 * np.sin(turn), -0.45 - 0.4 * np.cos(turn), 0.035, 0.035, (0.1, 0.1, 0.1))
        canvas.capsule(0.0, -0.45, 0.2 * np.cos(start), -0.45 + 0.2 * np.sin(start), 0.035, (0.1, 0.1, 0.1))
        hand = start + jump * np.pi / 6
        canvas.capsule(0.0, -0.45, 0.4 * np.sin(hand), -0.45 - 0.4 * np.cos(hand), 0.025, (0.8, 0.1, 0.1))

    return paint


def toll(family: str, timeline: Timeline, rng: Rng) -> Mover:
    """A bell on a beam: the clapper flies against its wall, the bell recoils."""
    bronze, beam = varied((0.80, 0.58, 0.18), rng), varied((0.35, 0.22, 0.12), rng)
    shine = material_texture("metal", rng, bronze)
    corners = np.array([[-0.2, -0.5], [0.2, -0.5], [0.34, 0.0], [0.58, 0.5], [-0.58, 0.5], [-0.34, 0.0]])

    def paint(canvas: Canvas, times: Array) -> None:
        recoil = 0.1 * (timeline.ringing(times, 1.3, 0.7) - timeline.burst(times, 0.12))
        apart = timeline.height(times, 0.25, 0.9)
        canvas.box(0.0, -0.85, 1.0, 0.12, beam)
        canvas.capsule(0.0, -0.8, 0.55 * np.sin(recoil), -0.75 + 0.25 * np.cos(recoil), 0.05, dark(beam))
        cx, cy = -0.72 * np.sin(recoil), -0.75 + 0.72 * np.cos(recoil)
        clapper = recoil + 0.4 - 0.95 * apart
        x, y = -1.31 * np.sin(clapper), -0.75 + 1.34 * np.cos(clapper)
        canvas.capsule(cx, cy, x, y, 0.045, (0.2, 0.18, 0.15))
        canvas.ellipse(x, y, 0.14, 0.14, (0.2, 0.18, 0.15))
        canvas.convex(cx, cy, corners, shine, angle=recoil)

    return paint


def drop(family: str, timeline: Timeline, rng: Rng) -> Mover:
    """Something falls into a pond: rings spread and drops fly up where it goes under."""
    pond, stone = varied((0.1, 0.35, 0.6), rng), varied((0.5, 0.3, 0.2), rng, 0.15)
    speed_x, speed_y = rng.uniform(-1.3, 1.3, 8), rng.uniform(1.8, 3.2, 8)
    gravity = rng.uniform(7, 10)

    def paint(canvas: Canvas, times: Array) -> None:
        since, strength, _ = timeline.last(times)
        until, coming = timeline.next(times)
        canvas.box(0.0, 0.75, 1.5, 0.55, pond)
        canvas.box(0.0, 0.22, 1.5, 0.03, (0.6, 0.8, 0.95))
        for delay in (0.0, 0.12, 0.26):
            age = np.clip(since - delay, 0, 5)
            canvas.ellipse(0.0, 0.5, 0.1 + 0.9 * age, 0.03 + 0.24 * age, (0.85, 0.95, 1.0),
                           (since > delay) * strength * np.exp(-age / 0.45), ring=0.03)
        y = 0.35 - 0.5 * gravity * np.square(np.minimum(until, 1)) - np.minimum(until, 1)
        canvas.ellipse(0.0, y, 0.12 + 0.1 * coming, 0.12 + 0.1 * coming, stone, 1.0 * (until < 1))
        age = np.minimum(since, 5)
        for vx, vy in zip(speed_x, speed_y):
            height = vy * (0.4 + 0.6 * strength) * age - 0.5 * gravity * age**2
            canvas.ellipse(vx * age * 0.6, 0.45 - height, 0.055, 0.07, (0.9, 0.97, 1.0), 1.0 * (height > 0))

    return paint


def open_shut(family: str, timeline: Timeline, rng: Rng) -> Mover:
    """A dog's head: the muzzle snaps open with each bark and the head jerks."""
    fur = varied(((0.55, 0.35, 0.18), (0.30, 0.22, 0.16), (0.75, 0.6, 0.4))[int(rng.integers(3))], rng)
    sway = wobble(rng, 0.2, 0.6)

    def paint(canvas: Canvas, times: Array) -> None:
        gape = timeline.gate(times)
        jerk = 0.16 * timeline.burst(times, 0.09) - 0.02 * sway(times)
        canvas.ellipse(0.45, 0.9, 0.6, 0.75, dark(fur, 0.8), angle=-0.4)
        canvas.box(-0.45 - jerk, 0.3 + 0.1 * gape, 0.4, 0.1, dark(fur, 0.75), angle=-0.65 * gape, corner=0.08)
        canvas.ellipse(-0.25 - jerk, 0.2, 0.32, 0.05 + 0.2 * gape, (0.65, 0.1, 0.12), 1.0 * (gape > 0.03))
        canvas.box(-0.45 - jerk, 0.06 - jerk - 0.08 * gape, 0.45, 0.16, fur, angle=0.35 * gape, corner=0.13)
        canvas.ellipse(0.05 - jerk, -0.12 - jerk, 0.46, 0.46, fur)
        canvas.ellipse(-0.85 - jerk, -0.02 - jerk - 0.22 * gape, 0.1, 0.08, (0.05, 0.05, 0.05))
        canvas.ellipse(-0.12 - jerk, -0.25 - jerk, 0.075, 0.075, (0.05, 0.04, 0.03))
        canvas.ellipse(0.32 - 0.6 * jerk, -0.1 - jerk, 0.15, 0.4, dark(fur, 0.5), angle=-0.3 - 2 * jerk)

    return paint


def puff(family: str, timeline: Timeline, rng: Rng) -> Mover:
    """A cheek swells behind a whistle, and breath shoots out of it."""
    face, metal, hair = skin(rng), varied((0.95, 0.85, 0.1), rng), varied((0.2, 0.12, 0.06), rng, 0.1)
    turns = rng.uniform(-0.25, 0.25, 6)

    def paint(canvas: Canvas, times: Array) -> None:
        blow = timeline.gate(times, 0.04, 0.08)
        since, _, _ = timeline.last(times)
        nod = 0.1 * blow
        canvas.ellipse(0.62 + nod, -0.55, 0.62, 0.5, hair)
        canvas.ellipse(0.55 + nod, -0.1, 0.58, 0.7, face)
        canvas.ellipse(0.4 + nod, -0.3, 0.06, 0.09 * (1 - 0.8 * blow), (0.05, 0.05, 0.05))
        canvas.ellipse(0.42 + nod, 0.22, 0.16 + 0.12 * blow, 0.14 + 0.12 * blow, (0.92, 0.5, 0.42), 0.75)
        canvas.box(-0.12 + nod, 0.18, 0.2, 0.07, metal, corner=0.03)
        canvas.ellipse(-0.22 + nod, 0.28, 0.17, 0.17, metal)
        canvas.ellipse(-0.22 + nod, 0.28, 0.06, 0.06, dark(metal, 0.3))
        for k, turn in enumerate(turns):
            way = (0.25 * k + 3.5 * np.minimum(since, 9)) % 1.0
            canvas.capsule(-0.4 - 0.5 * way, 0.15 + turn * (0.5 + way), -0.55 - 0.5 * way, 0.15 + turn * (0.7 + way),
                           0.035, (1.0, 1.0, 1.0), blow * (1 - 0.6 * way))

    return paint


def shake(family: str, timeline: Timeline, rng: Rng) -> Mover:
    """A car: it jolts when the starter bites, then trembles and smokes while the engine runs."""
    body = varied(((0.1, 0.45, 0.3), (0.75, 0.7, 0.1), (0.2, 0.55, 0.6))[int(rng.integers(3))], rng)
    jitter_x, jitter_y = wobble(rng, 9, 14), wobble(rng, 9, 14)

    def paint(canvas: Canvas, times: Array) -> None:
        run = timeline.gate(times, 0.03, 0.3)
        kick = timeline.ringing(times, 5, 0.25)
        dx, dy = 0.05 * run * jitter_x(times) + 0.05 * kick, 0.05 * run * jitter_y(times) - 0.12 * kick
        since, _, _ = timeline.last(times)
        for k in range(4):
            age = (0.25 * k + 1.3 * np.minimum(since, 9)) % 1.0
            grey = 0.75 - 0.1 * k
            canvas.ellipse(0.85 + 0.4 * age, 0.45 - 0.5 * age, 0.08 + 0.2 * age, 0.08 + 0.2 * age, (grey, grey, grey),
                           0.8 * run * (1 - age))
        canvas.convex(0.02 + dx, -0.15 + dy, np.array([[-0.3, -0.28], [0.3, -0.28], [0.52, 0.2], [-0.55, 0.2]]),
                      (0.7, 0.85, 0.95))
        canvas.box(0.02 + dx, -0.15 + dy, 0.03, 0.26, body)
        canvas.box(0.0 + dx, 0.24 + dy, 0.9, 0.24, body, corner=0.12)
        canvas.ellipse(-0.8 + dx, 0.18 + dy, 0.09, 0.09, (1.0, 0.95, 0.6))
        for x in (-0.5 + dx * 0.3, 0.5 + dx * 0.3):
            canvas.ellipse(x, 0.5, 0.22, 0.22, (0.08, 0.08, 0.08))
            canvas.ellipse(x, 0.5, 0.1, 0.1, (0.7, 0.7, 0.7))

    return paint


def flash(family: str, timeline: Timeline, rng: Rng) -> Mover:
    """A cannon: it fires with a flash that lights everything, recoils and smokes."""
    iron, wheel = varied((0.2, 0.2, 0.22), rng), varied((0.5, 0.3, 0.12), rng)
    turns = rng.uniform(0, np.pi, 5)

    def paint(canvas: Canvas, times: Array) -> None:
        since, strength, _ = timeline.last(times)
        since = np.minimum(since, 9)
        glare = timeline.burst(times, 0.05)
        back = 0.35 * strength * (np.exp(-since / 0.5) - np.exp(-since / 0.02))
        canvas.wash((1.0, 0.95, 0.75), 0.5 * glare)
        for k in range(4):
            grey = 0.8 - 0.07 * k
            canvas.ellipse(-0.75 - 0.2 * k * since, -0.15 - (0.3 + 0.15 * k) * since, 0.1 + 0.35 * since,
                           0.1 + 0.3 * since, (grey, grey, grey), strength * np.exp(-since / 0.5) * (since > 0.02))
        canvas.capsule(0.45 + back, 0.25, -0.5 + back, -0.1, 0.17, iron)
        canvas.ellipse(-0.55 + back, -0.12, 0.09, 0.19, (0.05, 0.05, 0.05), angle=0.35)
        canvas.ellipse(0.25 + back, 0.5, 0.34, 0.34, wheel, ring=0.05)
        for spoke in (0.0, 1.05, 2.1):
            turn = spoke + 3 * back
            canvas.capsule(0.25 + back - 0.3 * np.cos(turn), 0.5 - 0.3 * np.sin(turn),
                           0.25 + back + 0.3 * np.cos(turn), 0.5 + 0.3 * np.sin(turn), 0.03, wheel)
        for turn in turns:
            canvas.ellipse(-0.8, -0.22, 0.65, 0.1, (1.0, 0.75, 0.15), glare, angle=turn)
        canvas.ellipse(-0.8, -0.22, 0.25, 0.25, (1.0, 1.0, 0.85), glare)

    return paint


GESTURES: dict[str, Maker] = {
    "bounce": bounce, "walk": walk, "pendulum": pendulum, "toll": toll, "drop": drop,
    "open_shut": open_shut, "puff": puff, "shake": shake, "flash": flash,
}
