"""The sound families of the procedural world: how each is excited, and what moves in the picture.

`FAMILIES` are drawn: their sound is synthesised, or recorded where a bank has it. `RECORDED` have no synthesis: they
exist where a bank of recordings holds them. `KNOWN` are both.

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
    recordings_first: bool = False  # an ear takes its synthesis for something else: recorded wherever a bank has it


def _families() -> tuple[Family, ...]:
    strikes = [Family(f"{m}_strike", "strike", "swing", m) for m in MATERIALS]
    scrapes = [Family(f"{m}_scrape", "scrape", "slide", m, recordings_first=m in ("wood", "metal", "gravel"))
               for m in MATERIALS]
    events = [
        Family("ball_bounce", "event", "bounce"), Family("footsteps", "event", "walk", recordings_first=True),
        Family("door_knock", "event", "knock"), Family("clock_tick", "event", "pendulum"),
        Family("bell", "event", "toll"), Family("splash", "event", "drop", recordings_first=True),
        Family("bark", "event", "open_shut", recordings_first=True), Family("whistle", "event", "puff"),
        Family("engine_start", "event", "shake"), Family("cymbal", "event", "tilt"),
        Family("clap", "event", "collide"), Family("bang", "event", "flash", recordings_first=True),
    ]
    textures = [
        Family("rain", "texture", "fall", recordings_first=True),
        Family("wind", "texture", "sway", recordings_first=True), Family("waves", "texture", "roll"),
        Family("fire", "texture", "flicker"), Family("engine", "texture", "vibrate"),
        Family("stream", "texture", "flow", recordings_first=True), Family("crowd", "texture", "mill"),
    ]
    return (*strikes, *scrapes, *events, *textures)


FAMILIES: dict[str, Family] = {f.name: f for f in _families()}


def _recorded() -> tuple[Family, ...]:
    motions = {
        "door_slam": "collide", "door_creak": "slide", "gun_shot": "flash", "gun_handling": "knock",
        "explosion": "flash", "fireworks": "flash", "thunder": "flash", "glass_break": "drop", "ceramic_break": "drop",
        "wood_break": "swing", "coins": "drop", "punch": "collide", "whoosh": "tilt", "step_grass": "walk",
        "step_gravel": "walk", "step_metal": "walk", "step_snow": "walk", "step_water": "walk", "hi_hat": "tilt",
        "snare_drum": "swing", "bass_drum": "swing", "cat": "open_shut", "rooster": "open_shut", "cow": "open_shut",
        "horse": "open_shut", "sheep": "open_shut", "duck": "open_shut", "bird": "open_shut", "roar": "open_shut",
        "baby_cry": "open_shut", "sneeze": "open_shut", "laugh": "open_shut", "scream": "open_shut",
        "bite": "open_shut", "car_horn": "shake",
    }
    textures = {"chainsaw": "shake", "helicopter": "vibrate", "airplane": "vibrate", "train": "vibrate",
                "insects": "mill"}
    return (*(Family(name, "event", motion) for name, motion in motions.items()),
            *(Family(name, "texture", motion) for name, motion in textures.items()))


RECORDED: dict[str, Family] = {f.name: f for f in _recorded()}
KNOWN: dict[str, Family] = FAMILIES | RECORDED
