"""Movers of the textures: rain, wind, waves, fire, engines, streams, crowds. Their activity follows the loudness."""

from __future__ import annotations

import numpy as np

from .canvas import Array, Canvas
from .kinetics import Maker, Mover, Rng, Timeline, wobble
from .looks import dark, material_texture, skin, varied


def fall(family: str, timeline: Timeline, rng: Rng) -> Mover:
    """Rain before a grey sky and over puddles: dense and fast where it is loud."""
    count, slant, pace = 26, rng.uniform(-0.25, 0.25), rng.uniform(2.5, 4)
    column, start = rng.uniform(-1.3, 1.3, count), rng.uniform(0, 2.6, count)
    rank, sky = rng.permutation(count) / count, varied((0.38, 0.42, 0.5), rng)

    def paint(canvas: Canvas, times: Array) -> None:
        level, way = timeline.level(times), timeline.travel(times)
        canvas.box(0.0, 0.0, 1.6, 1.6, sky, 0.55)
        canvas.box(0.0, 1.1, 1.6, 0.35, dark(sky, 0.6), 0.9)
        for x, y0, r in zip(column, start, rank):
            shown = np.clip((level * 1.15 - r) * 8, 0, 1) * 0.85
            y = (y0 + pace * (way + 0.15 * times)) % 2.6 - 1.3
            canvas.capsule(x + slant * y, y - 0.13, x + slant * (y + 0.26), y + 0.13, 0.022, (0.85, 0.92, 1.0), shown)
        for k in range(5):
            age = (k / 5 + 2.5 * way) % 1.0
            canvas.ellipse(column[k], 0.92, 0.05 + 0.25 * age, 0.02 + 0.06 * age, (0.85, 0.92, 1.0),
                           np.minimum(1, 2 * level) * (1 - age), ring=0.02)

    return paint


def sway(family: str, timeline: Timeline, rng: Rng) -> Mover:
    """A tree and tall grass that bend and tremble with the gusts."""
    green, trunk = varied((0.2, 0.5, 0.18), rng), varied((0.35, 0.24, 0.14), rng)
    crown, tremble = material_texture("leaves", rng, green), wobble(rng, 1.5, 4)
    blades, side = rng.uniform(-1.1, 1.1, 12), -1 if rng.random() < 0.5 else 1

    def paint(canvas: Canvas, times: Array) -> None:
        level, way = timeline.level(times), timeline.travel(times)
        bend = side * level * (0.45 + 0.3 * np.sin(2 * np.pi * 1.6 * way) + 0.2 * tremble(times))
        canvas.box(0.0, 1.05, 1.5, 0.3, (0.45, 0.55, 0.25))
        canvas.capsule(0.0, 0.9, 0.5 * bend, 0.0, 0.09, trunk)
        for k, (x, y) in enumerate(((-0.3, -0.2), (0.3, -0.15), (0.0, -0.55), (0.05, -0.1))):
            dx = bend * (0.9 - y * 0.6) + 0.06 * level * np.sin(30 * way + k)
            canvas.ellipse(x + dx, y + 0.2 * np.abs(bend), 0.42, 0.34, crown, angle=0.5 * bend)
        for k, x in enumerate(blades):
            tip = x + 0.45 * bend + 0.06 * level * np.sin(25 * way + 2 * k)
            canvas.capsule(x, 1.0, tip, 0.62 + 0.12 * np.abs(bend), 0.025, dark(green, 0.7 + 0.05 * (k % 5)))
        for k in range(3):
            fly = (0.4 * k + 1.2 * way) % 1.0
            canvas.ellipse(side * (fly * 2.8 - 1.4), -0.6 + 0.4 * k + 0.15 * np.sin(9 * fly + k), 0.08, 0.04,
                           (0.8, 0.6, 0.15), np.minimum(1, 2 * level), angle=9 * fly)

    return paint


def roll(family: str, timeline: Timeline, rng: Rng) -> Mover:
    """A sea whose waves run in, higher and whiter where they are loud."""
    sea, sand = varied((0.05, 0.4, 0.55), rng), varied((0.88, 0.78, 0.55), rng)
    starts = rng.random(3)

    def paint(canvas: Canvas, times: Array) -> None:
        level, way = timeline.level(times), timeline.travel(times)
        canvas.box(0.0, 0.4, 1.6, 0.75, sea)
        for k in range(3):
            depth = 0.05 + 0.28 * k
            high = (0.05 + 0.2 * level) * (0.6 + 0.25 * k)
            phase = (0.55 + 0.12 * k) * (way * 1.6 + 0.1 * times) + starts[k]
            for crest in range(4):
                x = (phase + crest * 0.75) % 3.0 - 1.5
                canvas.ellipse(x, depth, 0.48, high, dark(sea, 1.15 + 0.2 * k))
                canvas.ellipse(x + 0.12, depth - high * 0.75, 0.3, high * 0.35, (0.96, 0.98, 1.0), 0.2 + 0.8 * level)
        wash = 0.9 - 0.35 * level + 0.06 * np.sin(2 * np.pi * 1.1 * way)
        canvas.box(0.0, wash + 0.55, 1.6, 0.5, sand)
        canvas.ellipse(0.0, wash + 0.06, 1.6, 0.07, (0.97, 0.98, 1.0))

    return paint


def flicker(family: str, timeline: Timeline, rng: Rng) -> Mover:
    """A camp fire: flames whose height follows the loudness, sparks, a glow on everything."""
    log, places = varied((0.3, 0.17, 0.08), rng), rng.uniform(-0.38, 0.38, 7)
    dance = [wobble(rng, 3, 8) for _ in places]

    def paint(canvas: Canvas, times: Array) -> None:
        level, way = timeline.level(times), timeline.travel(times)
        lick = [curve(way * 2 + 0.2 * times) for curve in dance]
        canvas.wash((1.0, 0.45, 0.1), 0.22 * level * (1 + 0.3 * lick[0]))
        for colour, width, share in (((0.95, 0.3, 0.05), 0.24, 1.0), ((1.0, 0.65, 0.1), 0.17, 0.75),
                                     ((1.0, 0.95, 0.55), 0.1, 0.45)):
            for x, curve in zip(places, lick):
                tall = share * (0.15 + level * (0.6 - 0.5 * abs(x)) * (1 + 0.35 * curve))
                canvas.ellipse(x * (0.5 + 0.5 * share) + 0.06 * level * curve, 0.55 - tall, width, tall, colour)
        for k, x in enumerate(places[:5]):
            rise = (k / 5 + 1.4 * way) % 1.0
            canvas.ellipse(x * (1 + rise), 0.3 - 1.2 * rise, 0.035, 0.035, (1.0, 0.8, 0.3), level * (1 - rise))
        for turn in (0.25, -0.25):
            canvas.box(0.0, 0.65, 0.65, 0.1, log, angle=turn, corner=0.06)

    return paint


def vibrate(family: str, timeline: Timeline, rng: Rng) -> Mover:
    """A motor: its block trembles, fan and belt whose speed follows the loudness."""
    paint_colour = varied(((0.15, 0.3, 0.65), (0.7, 0.2, 0.15), (0.35, 0.4, 0.42))[int(rng.integers(3))], rng)
    jitter_x, jitter_y = wobble(rng, 10, 16), wobble(rng, 10, 16)
    blades, pace = int(rng.integers(3, 6)), rng.uniform(2.2, 3.5)

    def paint(canvas: Canvas, times: Array) -> None:
        level, way = timeline.level(times), timeline.travel(times)
        dx, dy = 0.05 * level * jitter_x(times), 0.05 * level * jitter_y(times)
        canvas.box(0.0, 0.85, 0.95, 0.1, (0.25, 0.25, 0.25))
        canvas.box(0.2 + dx, 0.2 + dy, 0.68, 0.52, paint_colour, corner=0.08)
        for k in range(4):
            canvas.box(0.05 + 0.22 * k + dx, -0.38 + dy, 0.075, 0.2, (0.6, 0.62, 0.65))
        canvas.box(0.75 + dx, 0.3 + dy, 0.12, 0.07, (0.9, 0.8, 0.3))
        canvas.ellipse(-0.42 + dx, 0.22 + dy, 0.46, 0.46, (0.12, 0.12, 0.13))
        for blade in range(blades):
            angle = 2 * np.pi * (pace * way + blade / blades)
            canvas.ellipse(-0.42 + dx + 0.22 * np.cos(angle), 0.22 + dy + 0.22 * np.sin(angle), 0.22, 0.09,
                           (0.85, 0.87, 0.9), angle=angle)
        canvas.ellipse(-0.42 + dx, 0.22 + dy, 0.1, 0.1, (0.8, 0.3, 0.1))

    return paint


def flow(family: str, timeline: Timeline, rng: Rng) -> Mover:
    """A brook falls over a ledge and runs between stones: streaks whose speed and brightness follow the loudness."""
    water, stone = varied((0.2, 0.5, 0.7), rng), varied((0.4, 0.4, 0.38), rng)
    lanes, starts = rng.uniform(-0.42, 0.42, 14), rng.random(14)
    moss = material_texture("leaves", rng, (0.25, 0.42, 0.15))

    def paint(canvas: Canvas, times: Array) -> None:
        level, way = timeline.level(times), timeline.travel(times)
        wide = 0.3 + 0.25 * level
        canvas.box(0.0, -0.2, wide, 1.0, water)
        canvas.ellipse(0.0, 0.85, 1.1, 0.35, dark(water, 0.85))
        for lane, start in zip(lanes, starts):
            y = (start + 1.5 * (way + 0.08 * times)) % 1.0 * 1.9 - 1.1
            canvas.capsule(lane * wide * 1.9, y - 0.16, lane * wide * 1.9, y + 0.16, 0.03, (0.9, 0.97, 1.0),
                           0.25 + 0.75 * level)
        for k, start in enumerate(starts[:6]):
            age = (start + 1.7 * way) % 1.0
            canvas.ellipse((k - 2.5) * 0.16 * (1 + 2 * age), 0.72 - 0.25 * np.sin(np.pi * age), 0.1, 0.07,
                           (0.97, 0.99, 1.0), level * (1 - age))
        for x, y, size in ((-0.8, -0.1, 0.42), (0.85, 0.05, 0.45), (-0.75, 0.75, 0.3), (0.7, 0.85, 0.28)):
            canvas.ellipse(x, y, size, size * 0.9, stone)
            canvas.ellipse(x, y - size * 0.55, size * 0.7, size * 0.35, moss)

    return paint


def mill(family: str, timeline: Timeline, rng: Rng) -> Mover:
    """People in rows: heads bob, arms go up, mouths open, more where it is loud."""
    people = [(x + rng.uniform(-0.08, 0.08), row) for row, y in enumerate((-0.35, 0.1, 0.6))
              for x in np.linspace(-0.95, 0.95, 5 - row % 2)]
    coats = [varied((0.5, 0.45, 0.45), rng, 0.4) for _ in people]
    faces, rates = [skin(rng) for _ in people], rng.uniform(1.2, 2.4, len(people))
    phases, eager = rng.uniform(0, 6.3, len(people)), rng.random(len(people))

    def paint(canvas: Canvas, times: Array) -> None:
        level, way = timeline.level(times), timeline.travel(times)
        for (x, row), coat, face, rate, phase, rank in zip(people, coats, faces, rates, phases, eager):
            y = (-0.35, 0.1, 0.6)[row]
            turn = 2 * np.pi * rate * way + phase
            px, py = x + 0.06 * level * np.sin(turn * 0.7), y - 0.16 * level * np.abs(np.sin(turn))
            canvas.box(px, py + 0.42, 0.2, 0.3, coat, corner=0.1)
            if rank < 0.5:
                up = np.clip((level - rank) * 3, 0, 1)
                canvas.capsule(px + 0.17, py + 0.3, px + 0.24, py + 0.35 - 0.6 * up, 0.055, coat)
            canvas.ellipse(px, py, 0.15, 0.18, face)
            canvas.ellipse(px, py - 0.11, 0.15, 0.1, (0.15, 0.1, 0.06))
            canvas.ellipse(px, py + 0.08, 0.05, 0.015 + 0.05 * level * np.abs(np.sin(turn * 1.7)), (0.35, 0.05, 0.05))

    return paint


ELEMENTS: dict[str, Maker] = {
    "fall": fall, "sway": sway, "roll": roll, "flicker": flicker, "vibrate": vibrate, "flow": flow, "mill": mill,
}
