"""Movers: one for each kind of motion that a family names, and silent ones.

Special motions are in `gestures.py` and `elements.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .canvas import Array, Canvas
from .elements import ELEMENTS
from .events import Score
from .families import KNOWN
from .gestures import GESTURES
from .kinetics import Maker, Manner, Mover, Rng, Timeline, triangle, wobble
from .looks import COLOURS, MaterialObject, dark, material_texture, skin, varied


def make_mover(score: Score, rng: Rng, manner: Manner | None = None) -> Mover:
    """The mover of a score's family; it stops, turns or starts at each visible event, in this manner."""
    if manner is not None and manner.limbs == 2:
        return _two_limbs(score, rng, replace(manner, limbs=1))
    makers: dict[str, Maker] = {"swing": swing, "slide": slide, "knock": knock, "tilt": tilt,
                               "collide": collide, **GESTURES, **ELEMENTS}
    return makers[KNOWN[score.family].motion](score.family, Timeline(score, manner), rng)


def _two_limbs(score: Score, rng: Rng, manner: Manner) -> Mover:
    """Two movers side by side that share a score's events, in turns or at random, as the hands of a drummer do."""
    in_turns = np.arange(len(score.events)) % 2
    whose = in_turns if rng.random() < 0.5 else rng.integers(2, size=len(score.events))
    hands = [make_mover(replace(score, events=tuple(e for e, other in zip(score.events, whose) if other == hand)), rng,
                        manner) for hand in (0, 1)]
    apart, size, mirrored = rng.uniform(0.45, 0.6), rng.uniform(0.5, 0.7), bool(rng.random() < 0.5)

    def paint(canvas: Canvas, times: Array) -> None:
        for hand, mover in enumerate(hands):
            mover(canvas.placed((2 * hand - 1) * apart, 0.1, size, mirrored and hand == 1), times)

    return paint


def swing(family: str, timeline: Timeline, rng: Rng) -> Mover:
    """A stick or hammer swings down and stops abruptly on an object, which gives way and throws up bits."""
    material = KNOWN[family].material or "wood"
    thing, hand = MaterialObject.draw_from(material, rng), skin(rng)
    stick = varied(((0.85, 0.68, 0.42), (0.25, 0.22, 0.2), (0.9, 0.9, 0.88))[int(rng.integers(3))], rng)
    head = varied(((0.15, 0.15, 0.17), (0.8, 0.2, 0.15), (0.9, 0.85, 0.3))[int(rng.integers(3))], rng)
    with_head, span = rng.random() < 0.6, rng.uniform(0.75, 1.1)
    down_s, up_s = rng.uniform(0.1, 0.18), rng.uniform(0.5, 0.9)
    spread = rng.uniform(1.0, 1.5)
    bits = _bits(material, rng)
    give = 0.035 if material in ("cardboard", "plastic", "leaves", "gravel", "water") else 0.012

    def paint(canvas: Canvas, times: Array) -> None:
        push = give * timeline.ringing(times, 9, 0.07)
        thing.paint(canvas, 0.4 * push, push, timeline.burst(times, 0.15))
        bits(canvas, timeline, times)
        lift = spread * timeline.height(times, down_s, up_s)
        px, py = 0.82, -0.28 - 0.25 * lift
        contact = np.arctan2(0.24, -0.8)
        angle = contact + lift
        tip_x, tip_y = px + span * np.cos(angle) * 0.84, py + span * np.sin(angle) * 0.84
        tip_x = tip_x + (1 - lift / spread) * (0.02 - (0.82 + span * 0.84 * np.cos(contact)))
        tip_y = tip_y + (1 - lift / spread) * (-0.05 - (-0.28 + span * 0.84 * np.sin(contact)))
        canvas.capsule(px, py, tip_x, tip_y, 0.06, stick)
        if with_head:
            canvas.ellipse(tip_x, tip_y, 0.15, 0.12, head)
        canvas.capsule(px, py, 1.25, py + 0.25, 0.11, dark(hand, 0.9))
        canvas.ellipse(px, py, 0.12, 0.12, hand)

    return paint


def slide(family: str, timeline: Timeline, rng: Rng) -> Mover:
    """A hand pushes a scraper to and fro over an object; its speed follows the loudness."""
    material = KNOWN[family].material or "wood"
    thing, hand = MaterialObject.draw_from(material, rng), skin(rng)
    block = varied(((0.2, 0.35, 0.55), (0.35, 0.3, 0.25), (0.75, 0.6, 0.2))[int(rng.integers(3))], rng)
    pace, start, way = rng.uniform(1.0, 1.6), rng.random(), rng.uniform(0.38, 0.5)
    sleeve = varied((0.3, 0.4, 0.5), rng, 0.25)

    def paint(canvas: Canvas, times: Array) -> None:
        level = timeline.level(times)
        x = way * triangle(start + pace * timeline.travel(times))
        shiver = 0.02 * level * np.sin(2 * np.pi * 21 * times)
        thing.paint(canvas, shiver, shiver * 0.5, 0.4 * level)
        canvas.capsule(x + 0.1, -0.28, x * 0.5 + 0.85, -0.95, 0.12, sleeve)
        canvas.box(x, -0.06, 0.22, 0.055, dark(block, 0.5))
        canvas.box(x, -0.15, 0.24, 0.07, block, corner=0.03)
        canvas.ellipse(x + 0.06, -0.27, 0.17, 0.12, hand)

    return paint


def knock(family: str, timeline: Timeline, rng: Rng) -> Mover:
    """A fist raps on a panelled door."""
    wood, hand = material_texture("wood", rng, varied((0.42, 0.24, 0.12), rng)), skin(rng)
    sleeve, down_s, up_s = varied((0.2, 0.45, 0.35), rng, 0.15), rng.uniform(0.05, 0.09), rng.uniform(0.2, 0.35)

    def paint(canvas: Canvas, times: Array) -> None:
        shudder = 0.008 * timeline.ringing(times, 12, 0.06)
        canvas.box(-0.35 + shudder, 0.0, 0.58, 1.15, wood)
        for y in (-0.52, 0.48):
            canvas.box(-0.35 + shudder, y, 0.38, 0.36, (0.28, 0.15, 0.07), 0.55, corner=0.03)
        canvas.ellipse(-0.82 + shudder, 0.08, 0.07, 0.07, (0.9, 0.75, 0.25))
        x = -0.1 + 0.75 * timeline.height(times, down_s, up_s)
        canvas.capsule(x + 0.25, 0.06, x + 1.1, 0.5, 0.14, sleeve)
        canvas.box(x + 0.06, 0.0, 0.17, 0.17, hand, corner=0.08)
        for finger in range(3):
            canvas.capsule(x - 0.07, -0.1 + finger * 0.09, x + 0.1, -0.1 + finger * 0.09, 0.025, dark(hand, 0.7))

    return paint


def tilt(family: str, timeline: Timeline, rng: Rng) -> Mover:
    """A cymbal on its stand is struck by a stick and rocks."""
    gold, stick = varied((0.92, 0.78, 0.25), rng), varied((0.8, 0.65, 0.45), rng)
    hand, reach = skin(rng), rng.uniform(0.9, 1.2)

    def paint(canvas: Canvas, times: Array) -> None:
        angle = 0.12 - 0.25 * (timeline.ringing(times, 2.0, 0.45) - timeline.burst(times, 0.1))
        canvas.capsule(0.0, 0.0, 0.0, 1.1, 0.04, (0.3, 0.3, 0.32))
        for foot in (-0.45, 0.45):
            canvas.capsule(0.0, 0.75, foot, 1.1, 0.035, (0.3, 0.3, 0.32))
        canvas.ellipse(0.0, -0.02, 0.82, 0.13, gold, angle=angle)
        canvas.ellipse(0.0, -0.02, 0.55, 0.07, dark(gold, 0.75), angle=angle, ring=0.015)
        canvas.ellipse(0.0, -0.08, 0.16, 0.1, dark(gold, 0.85), angle=angle)
        lift = reach * timeline.height(times, 0.13, 0.7)
        tip_x, tip_y = 0.55, -0.1 - 0.75 * lift
        canvas.capsule(tip_x, tip_y, 1.05, -0.45 - 0.35 * lift, 0.045, stick)
        canvas.ellipse(1.05, -0.45 - 0.35 * lift, 0.13, 0.13, hand)

    return paint


def collide(family: str, timeline: Timeline, rng: Rng) -> Mover:
    """Two hands meet."""
    hand, sleeve = skin(rng), varied((0.85, 0.85, 0.9), rng, 0.15)
    down_s, up_s = rng.uniform(0.09, 0.16), rng.uniform(0.35, 0.6)

    def paint(canvas: Canvas, times: Array) -> None:
        apart = 0.6 * timeline.height(times, down_s, up_s)
        for side in (-1, 1):
            x = side * (0.1 + apart)
            canvas.capsule(x + side * 0.1, 0.35, side * 1.0, 1.0, 0.17, sleeve)
            canvas.ellipse(x, 0.1, 0.12, 0.32, hand, angle=side * (0.15 + 0.4 * apart))
            for finger in range(4):
                canvas.capsule(x + side * 0.02, -0.1, x + side * (0.02 + 0.07 * finger), -0.42 + 0.05 * finger, 0.05,
                               hand if finger % 2 else dark(hand, 0.88))
            canvas.capsule(x, 0.15, x + side * -0.08, -0.1, 0.05, dark(hand, 0.8))

    return paint


def _bits(material: str, rng: Rng) -> Callable[[Canvas, Timeline, Array], None]:
    """Particles that fly up from loose or liquid matter at an impact; none from solids."""
    count = {"water": 7, "gravel": 7, "leaves": 7, "glass": 0}.get(material, 0)
    colour = (0.75, 0.9, 1.0) if material == "water" else COLOURS[material]
    speed_x, speed_y, size = rng.uniform(-1.2, 1.2, count), rng.uniform(1.2, 2.4, count), rng.uniform(0.03, 0.07, count)
    weight = 1.5 if material == "leaves" else 7.0

    def paint(canvas: Canvas, timeline: Timeline, times: Array) -> None:
        since, strength, _ = timeline.last(times)
        since = np.minimum(since, 10)
        for vx, vy, r in zip(speed_x, speed_y, size):
            y = -vy * (0.5 + 0.5 * strength) * since + 0.5 * weight * since**2
            canvas.ellipse(vx * since, y, r, r * 0.8, colour, 1.0 * ((y < 0.1) & (since < 0.8)))

    return paint


def drifter(rng: Rng) -> Mover:
    """Something silent that drifts, swings or turns smoothly, with no sudden stop."""
    wood, colour = rng.random() < 0.4, varied((0.5, 0.5, 0.5), rng, 0.4)
    x, y = wobble(rng, 0.1, 0.6), wobble(rng, 0.1, 0.5)
    turn, size = wobble(rng, 0.1, 0.8), rng.uniform(0.2, 0.4)

    def paint(canvas: Canvas, times: Array) -> None:
        px, py, angle = 0.7 * x(times), 0.5 * y(times), 2 * turn(times)
        if wood:
            canvas.box(px, py, size, size * 0.4, colour, angle=angle)
        else:
            canvas.ellipse(px, py, size, size * 0.7, colour, angle=angle)

    return paint


def fidget(rng: Rng, duration_s: float) -> Mover:
    """A hand or paw that jerks about and stops at random times: sudden, and silent."""
    moments = np.sort(rng.uniform(0, duration_s, max(2, int(duration_s * rng.uniform(1, 2.5)))))
    places = rng.uniform(-0.7, 0.7, (len(moments) + 1, 2))
    takes_s, colour = rng.uniform(0.08, 0.2), varied(skin(rng), rng)
    sleeve = varied((0.4, 0.4, 0.4), rng, 0.35)

    def paint(canvas: Canvas, times: Array) -> None:
        index = np.searchsorted(moments, times, side="right")
        since = np.where(index > 0, times - moments[np.maximum(index - 1, 0)], 1e3)
        share = np.clip(since / takes_s, 0, 1)[:, None] ** 1.5
        position = places[np.maximum(index - 1, 0)] * (1 - share) + places[index] * share
        x, y = position[:, 0], position[:, 1]
        canvas.capsule(x, y, x * 0.4 + 0.3, 1.3, 0.14, sleeve)
        canvas.ellipse(x, y, 0.2, 0.22, colour)

    return paint
