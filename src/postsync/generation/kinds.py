"""What kind of sound the words name, and what that makes of a timing that was read from the picture.

Readers follow what moves. Hits sound where something was struck and not between; what is rubbed or turned goes on with
soft edges; rain falls while nothing moves.
"""

from __future__ import annotations

from ..protocols.pipeline import Cue
from ..scenes.captions import family_of, stem_of, stems_of, stems_of_kinds, words_of
from ..scenes.families import KNOWN
from ..scenes.shapes import SHAPES, Shape
from ..timing.timing import RING_S, STEADY_DB, Timing
from .options import Kind, Options
from .requests import cues_within

SUSTAINED_DB, SUSTAINED_SMOOTH_S = 12.0, 0.2  # how far what is rubbed falls, and how slowly it follows
TEXTURE_SMOOTH_S = 0.5

_STEADY = frozenset(map(stem_of, words_of(
    "rain drizzle downpour rainfall wind breeze gale storm sea ocean waves surf tide waterfall river stream brook "
    "creek fountain shower fire campfire fireplace bonfire flames engine motor idling motorcycle traffic highway "
    "helicopter propeller airplane aircraft jet train tractor boat fan hum humming drone droning buzz buzzing "
    "generator machine machinery vacuum chainsaw crowd audience applause chatter cicadas crickets insects boiling "
    "frying sizzling conditioner ventilation static ambience")))


def in_kind(timing: Timing, options: Options, duration_s: float) -> Timing:
    """A picture's timing, shaped wherever the options' words name an impulsive, a sustained or a textured sound, or all
    of it by the option `kind`."""
    cues = cues_within(options.cues, options.prompt, 0.0, duration_s) or [Cue(0.0, duration_s, options.prompt)]
    read = shaped = timing.fitted(duration_s)
    for start_s, end_s, text in cues:
        kind = options.kind or kind_of(text)
        if kind == "impulsive":
            shape = shape_of(text)
            hits = read.struck(start_s, end_s, rise_s=shape.rise_s, ring_s=shape.ring_s,
                               surely=options.kind is not None)
            shaped = shaped.risen(start_s, end_s) if hits is None else shaped.with_span(hits, start_s, end_s)
        elif kind == "textured":
            shaped = shaped.steadied(start_s, end_s, STEADY_DB, TEXTURE_SMOOTH_S)
        elif kind == "sustained" and not read.silent(start_s, end_s):
            shaped = shaped.steadied(start_s, end_s, SUSTAINED_DB, SUSTAINED_SMOOTH_S)
        elif kind is None and family_of(text or "") is not None:
            shaped = shaped.risen(start_s, end_s)
    return shaped


def kind_of(prompt: str | None) -> Kind | None:
    """The kind of what a prompt names: "impulsive" (at its loudest at once), "sustained" (rubbed), "textured" (goes
    on); None for other sounds, such as a bark, and where it names nothing known."""
    if is_steady(prompt or ""):
        return "textured"
    family = family_of(prompt or "")
    if family is None:
        return None
    if family in SHAPES and SHAPES[family].impulsive:
        return "impulsive"
    return {"scrape": "sustained", "texture": "textured"}.get(KNOWN[family].kind)  # type: ignore[return-value]


def is_hit(options: Options) -> bool:
    """Whether the options name a sound that is at its loudest at once, such as a hammer's."""
    return (options.kind or kind_of(options.prompt)) == "impulsive"


def shape_of(prompt: str | None) -> Shape:
    """How one sound of what a prompt names rises and rings."""
    return SHAPES.get(family_of(prompt or "") or "", Shape(0.0, RING_S))


def is_steady(prompt: str) -> bool:
    """Whether a prompt names steady sounds more than separate ones: "rain on a roof", not "footsteps in the rain"."""
    textures, others = stems_of_kinds("texture")
    stems = stems_of(prompt)
    return sum(s in _STEADY for s in stems) > sum(s in others - textures - _STEADY for s in stems)
