"""The pipeline's prompts: one, several, or timed cues."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import torch
from torch import Tensor

from ...errors import ConditionError
from ...protocols.pipeline import Cue, Prompt

CROSS_FADE_S = 0.25


def read_prompt(prompt: Prompt, duration_s: float) -> tuple[tuple[Cue, ...], ...]:
    """The cues of each sound of the batch: a string or None gives one sound, a list of strings several, timed cues
    (start_s, end_s, text) one sound. Raises ConditionError for anything else, and for cues that end before they start.
    """
    if prompt is None or isinstance(prompt, str):
        return ((Cue(-inf, inf, prompt),),)
    items = list(prompt)
    if not items:
        raise ConditionError("the list of prompts is empty; give a string, strings, or cues (start_s, end_s, text).")
    if all(isinstance(item, str) for item in items):
        return tuple((Cue(-inf, inf, str(item)),) for item in items)
    return (tuple(_read_cue(item, duration_s) for item in items),)


def cue_weights(cues: Sequence[Cue], times_s: Tensor) -> tuple[tuple[str | None, ...], Tensor]:
    """Texts (J,) and their shares (J, T) at each time, summing to 1; neighbours are cross-faded over 0.25 s.

    The gaps belong to the text None. Texts without a share at these times are omitted.
    """
    rise = torch.stack([(times_s - c.start_s) / CROSS_FADE_S + 0.5 for c in cues]).clamp(0, 1)
    fall = torch.stack([(c.end_s - times_s) / CROSS_FADE_S + 0.5 for c in cues]).clamp(0, 1)
    share = rise * fall
    share = torch.cat([share, (1 - share.sum(0, keepdim=True)).clamp(min=0)])
    share = share / share.sum(0)
    texts = (*(c.text for c in cues), None)
    used = [j for j in range(len(texts)) if share[j].max() > 0]
    return tuple(texts[j] for j in used), share[used]


def _read_cue(item: object, duration_s: float) -> Cue:
    """A cue from (start_s, end_s, text); one that touches an end of the clip extends beyond it without a fade."""
    if not (isinstance(item, Sequence) and len(item) == 3 and isinstance(item[2], str | None)):
        raise ConditionError(f"{item!r} is not a cue; a cue is (start_s, end_s, text).")
    start_s, end_s = float(item[0]), float(item[1])
    if not start_s < end_s:
        raise ConditionError(f"the cue '{item[2]}' ends at {end_s} s, not after its start at {start_s} s.")
    return Cue(-inf if start_s <= 0 else start_s, inf if end_s >= duration_s else end_s, item[2])
