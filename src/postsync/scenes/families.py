"""The sound families of the procedural world: how each is excited, and what moves in the picture.

`kind` decides how a family sounds: "strike" (separate impacts on a material), "scrape" (rubbing, loud while it moves),
"event" (separate sounds of their own shape), "texture" (continuous, loudness and rate can be steered).
`motion` names the way it moves in the picture (`pictures.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

MATERIALS = ("wood", "metal", "glass", "ceramic", "plastic", "cardboard",
             "stone", "drum", "water", "gravel", "leaves", "cloth")


@dataclass(frozen=True)
class Family:
    """One sound family."""

    name: str
    kind: str  # "strike" | "scrape" | "event" | "texture"
    motion: str  # how the picture moves
    material: str | None = None


def _families() -> tuple[Family, ...]:
    strikes = [Family(f"{m}_strike", "strike", "swing", m) for m in MATERIALS]
    scrapes = [Family(f"{m}_scrape", "scrape", "slide", m) for m in MATERIALS]
    events = [
        Family("ball_bounce", "event", "bounce"), Family("footsteps", "event", "walk"),
        Family("door_knock", "event", "knock"), Family("clock_tick", "event", "pendulum"),
        Family("bell", "event", "toll"), Family("splash", "event", "drop"),
        Family("bark", "event", "open_shut"), Family("whistle", "event", "puff"),
        Family("engine_start", "event", "shake"), Family("cymbal", "event", "tilt"),
        Family("clap", "event", "collide"), Family("bang", "event", "flash"),
    ]
    textures = [
        Family("rain", "texture", "fall"), Family("wind", "texture", "sway"), Family("waves", "texture", "roll"),
        Family("fire", "texture", "flicker"), Family("engine", "texture", "vibrate"),
        Family("stream", "texture", "flow"), Family("crowd", "texture", "mill"),
    ]
    return (*strikes, *scrapes, *events, *textures)


FAMILIES: dict[str, Family] = {f.name: f for f in _families()}
