"""Captions of the scenes: about 30 paraphrases a family, a fifth of them held out of training.

A held-out caption is a new sentence, but its words occur in the family's training captions as far as possible: it tests
the understanding of sentences, not the knowledge of untaught words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cache
from itertools import chain
from math import log, sqrt

import numpy as np

from ..errors import ConditionError
from .caption_words import DRAWN_WORDS, FamilyWords
from .families import KNOWN
from .recorded_words import RECORDED_WORDS

WORDS = DRAWN_WORDS | RECORDED_WORDS

PARAPHRASES = 30
SPECIFIC = 4.0  # least score of a prompt that names a family: a stem of two families or fewer
HELD_OUT = PARAPHRASES // 5
SETTINGS = ("in a quiet room", "outdoors", "up close", "in a large hall", "far away", "in the background")
OPENINGS = ("the sound of", "a recording of", "sound effect of", "we hear", "foley of")
_ENDINGS = ("ings", "ing", "edly", "ed", "ies", "es", "s", "ly", "y", "e")


def caption(family: str, rng: np.random.Generator, held_out: bool = False) -> str:
    """One paraphrase of `family`, drawn from the training ones or from the held-out ones."""
    return str(rng.choice(paraphrases(family)[1 if held_out else 0]))


@cache
def paraphrases(family: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(training, held-out) paraphrases of `family`: 24 and 6, the same in every process.

    Raises ConditionError for a family that does not exist.
    """
    if family not in WORDS:
        raise ConditionError(f"no sound family '{family}'; the families are: {', '.join(WORDS)}.")
    sentences = _sentences(WORDS[family], offset=list(WORDS).index(family))
    held_out = _held_out(sentences, seed=sum(family.encode()))
    return tuple(s for s in sentences if s not in held_out), held_out


def vocabulary_words(families: Iterable[str] = tuple(WORDS)) -> tuple[str, ...]:
    """Every different word of the captions of `families`, sorted."""
    chosen = set(families)
    sentences = chain(*(_sentences(words, offset) for offset, (name, words) in enumerate(WORDS.items())
                        if name in chosen))
    return tuple(sorted({word for sentence in sentences for word in words_of(sentence)}))


def words_of(sentence: str) -> list[str]:
    """Lower-case words of a sentence, punctuation removed."""
    return "".join(c if c.isalnum() or c == "'" else " " for c in sentence.lower()).split()


STOP_WORDS = frozenset(words_of(
    "a an the and or but of in on at by to from with without into onto over under against off up down out for as is "
    "are was be being it its his her their this that some no not very while then again"))


def family_of(prompt: str) -> str | None:
    """The family whose training captions have most in common with a prompt: stems weigh more the fewer families have
    them. None where nothing specific is shared."""
    counts, weights = _family_stems()
    scores = {family: sum(weights[stem] * sqrt(own[stem]) for stem in stems_of(prompt) if stem in own)
              for family, own in counts.items()}
    best = max(scores, key=lambda family: scores[family])
    return best if scores[best] >= SPECIFIC else None


@cache
def _family_stems() -> tuple[dict[str, Counter[str]], dict[str, float]]:
    """In how many training captions of each family a stem occurs, and its weight, the log of the rarity."""
    counts = {family: Counter(stem for sentence in paraphrases(family)[0] for stem in set(stems_of(sentence)))
              for family in WORDS}
    owners = Counter(stem for own in counts.values() for stem in own)
    return counts, {stem: log(len(counts) / number) for stem, number in owners.items()}


@cache
def stems_of_kinds(kind: str) -> tuple[frozenset[str], frozenset[str]]:
    """Stems of the words in captions of the families of `kind`, and in those of all others; without stop words."""
    inside: set[str] = set()
    outside: set[str] = set()
    for offset, (family, words) in enumerate(WORDS.items()):
        chosen = inside if KNOWN[family].kind == kind else outside
        chosen.update(stem for sentence in _sentences(words, offset) for stem in stems_of(sentence))
    return frozenset(inside), frozenset(outside)


def stems_of(sentence: str) -> list[str]:
    """Stems of a sentence's words, without stop words."""
    return [stem_of(word) for word in words_of(sentence) if word not in STOP_WORDS]


def stem_of(word: str) -> str:
    """A word without its ending: "hammers", "hammered" and "hammering" become one; at least three letters stay."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            stem = word[:-len(ending)]
            return stem[:-1] if len(stem) > 3 and stem[-1] == stem[-2] else stem
    return word


def _sentences(words: FamilyWords, offset: int) -> tuple[str, ...]:
    """All paraphrases of one family; `offset` rotates openings and settings so that none is specific to a family."""
    clauses = [f"{s} {a}" for a in words.actions for s in words.subjects]
    noises, manners = words.noises, words.manners
    made = [
        *words.phrases,
        *clauses[:: 2 if len(clauses) > 9 else 1][:7],
        *(f"{OPENINGS[(offset + i) % len(OPENINGS)]} {c}" for i, c in enumerate(clauses[1::4][:3])),
        *(f"{m} {noises[i % len(noises)]}" for i, m in enumerate(manners)),
        *(f"{n} {SETTINGS[(offset + 2 * i) % len(SETTINGS)]}" for i, n in enumerate(noises)),
        *noises,
        *(f"{m} {noises[(i + 1) % len(noises)]}" for i, m in enumerate(manners)),
    ]
    return tuple(dict.fromkeys(made))[:PARAPHRASES]


def _held_out(sentences: tuple[str, ...], seed: int) -> tuple[str, ...]:
    """A fifth of the sentences, in a fixed shuffled order, those first whose words all remain in the others."""
    order = [sentences[i] for i in np.random.default_rng(seed).permutation(len(sentences))]
    chosen: list[str] = []
    while len(chosen) < HELD_OUT:
        left = [s for s in order if s not in chosen]
        known = {s: {w for other in left if other != s for w in words_of(other)} for s in left}
        chosen.append(min(left, key=lambda s: sum(w not in known[s] for w in words_of(s))))
    return tuple(chosen)
