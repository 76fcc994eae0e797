"""Prompts over time: a cue sheet `start,end,prompt`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import ConditionError
from ..timing.table import number, read_rows, without_header
from .options import Cue

FORM = "`start,end,prompt`"


def read_cues(path: Path) -> tuple[Cue, ...]:
    """Cues (start and end in seconds of the clip, prompt) of a CSV file, by their start; they may overlap.

    Commas in a prompt need quotes. Raises ConditionError, which names the row.
    """
    cues = []
    for position, cells in without_header(read_rows(path, FORM), "start"):
        place = f"{path}, row {position}"
        if len(cells) != 3 or not cells[2]:
            raise ConditionError(f"{place}: '{','.join(cells)}' is not {FORM}; put a prompt with commas in quotes.")
        start_s, end_s = number(cells[0], place, FORM), number(cells[1], place, FORM)
        if not 0 <= start_s < end_s:
            raise ConditionError(f"{place}: a cue from {start_s} to {end_s} s; it starts at 0 or later and ends after "
                                 "its start.")
        cues.append((start_s, end_s, cells[2]))
    if not cues:
        raise ConditionError(f"{path}: holds no cue; write one {FORM} a row.")
    return tuple(sorted(cues))


def cues_within(cues: Sequence[Cue], prompt: str | None, start_s: float, end_s: float) -> list[Cue]:
    """The cues that fall between two times, counted from `start_s`, gaps filled with `prompt`; empty without cues."""
    inside = [(max(a, start_s) - start_s, min(b, end_s) - start_s, text) for a, b, text in cues
              if a < end_s and b > start_s]
    if not cues or prompt is None:
        return inside
    filled, reached = list(inside), 0.0
    for a, b, _ in [*inside, (end_s - start_s, end_s - start_s, prompt)]:
        if a > reached:
            filled.append((reached, a, prompt))
        reached = max(reached, b)
    return sorted(filled)
