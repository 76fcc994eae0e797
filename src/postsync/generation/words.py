"""Words of a prompt that the bundled weights never met, with the nearest that they know.

A word is known when it stood in the captions of the scenes. That the tokenizer can spell it out of pieces, or has it
whole in its vocabulary, means nothing: nobody ever told the network what it sounds like.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from difflib import SequenceMatcher

from ..scenes.captions import vocabulary_words, words_of

log = logging.getLogger(__name__)

_SAY_NOTHING = frozenset(words_of(
    "a an the and or but of in on at by to from with without into onto over under against off up down out for as is "
    "are was be being it its his her their this that some no not very while then again"))
_ENDINGS = ("ings", "ing", "edly", "ed", "ies", "es", "s", "ly", "y", "e")
_NEAR = 0.7  # least share of letters in common


def warn_of_new_words(prompts: Iterable[str]) -> None:
    """One warning that names every word of the prompts that is not known, with up to three known ones near it."""
    new = new_words(prompts)
    if new:
        named = "; ".join(f"'{word}'" + (f" (nearest: {', '.join(near)})" if near else "")
                          for word, near in new.items())
        log.warning("words these weights have never met, so that they may be heard as anything: %s", named)


def new_words(prompts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Words of the prompts that are not known, each with up to three known words: first of its stem, then by spelling.

    Articles, prepositions and the like, and numbers, are passed over.
    """
    known = vocabulary_words()
    asked = dict.fromkeys(word for prompt in prompts for word in words_of(prompt))
    return {word: _nearest(word, known) for word in asked
            if word not in known and word not in _SAY_NOTHING and not word.isdigit()}


def _nearest(word: str, known: tuple[str, ...]) -> tuple[str, ...]:
    stem = stem_of(word)
    likeness = {k: (stem_of(k) == stem, SequenceMatcher(None, word, k).ratio()) for k in known
                if k not in _SAY_NOTHING}
    near = [k for k, (same_stem, ratio) in likeness.items() if same_stem or ratio >= _NEAR]
    return tuple(sorted(near, key=lambda k: likeness[k], reverse=True)[:3])


def stem_of(word: str) -> str:
    """A word without its ending: "hammers", "hammered" and "hammering" become one; at least three letters stay."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            stem = word[:-len(ending)]
            return stem[:-1] if len(stem) > 3 and stem[-1] == stem[-2] else stem
    return word
