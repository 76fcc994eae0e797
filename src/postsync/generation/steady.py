"""Which words name sounds that go on while nothing moves, such as rain, and which name hits, that sound at once.

Timing readers follow what moves. Where the words name a steady sound, the loudness read from the picture is kept within
a few decibels of its peak, and a still picture does not silence it.
"""

from __future__ import annotations

from ..protocols.pipeline import Cue
from ..scenes.captions import family_of, stem_of, stems_of, stems_of_kinds, words_of
from ..scenes.shapes import SHAPES
from ..timing.timing import Timing
from .options import Options
from .requests import cues_within

_STEADY = frozenset(map(stem_of, words_of(
    "rain drizzle downpour rainfall wind breeze gale storm sea ocean waves surf tide waterfall river stream brook "
    "creek fountain shower fire campfire fireplace bonfire flames engine motor idling motorcycle traffic highway "
    "helicopter propeller airplane aircraft jet train tractor boat fan hum humming drone droning buzz buzzing "
    "generator machine machinery vacuum chainsaw crowd audience applause chatter cicadas crickets insects boiling "
    "frying sizzling conditioner ventilation static ambience")))


def with_steady_sounds(timing: Timing, options: Options, duration_s: float) -> Timing:
    """A picture's timing, level wherever the options' words name a steady sound."""
    cues = cues_within(options.cues, options.prompt, 0.0, duration_s) or [Cue(0.0, duration_s, options.prompt)]
    for start_s, end_s, text in cues:
        if is_steady(text or ""):
            timing = timing.fitted(duration_s).steadied(start_s, end_s)
    return timing


def is_steady(prompt: str) -> bool:
    """Whether a prompt names steady sounds more than separate ones: "rain on a roof", not "footsteps in the rain"."""
    textures, others = stems_of_kinds("texture")
    stems = stems_of(prompt)
    return sum(s in _STEADY for s in stems) > sum(s in others - textures - _STEADY for s in stems)


def is_hit(prompt: str | None) -> bool:
    """Whether a prompt names a sound that is at its loudest at once, such as a hammer's."""
    shape = SHAPES.get(family_of(prompt or "") or "")
    return shape is not None and shape.impulsive
