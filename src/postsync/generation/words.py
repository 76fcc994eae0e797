"""Warnings about what the bundled weights do not know: words of a prompt, with the nearest known ones; pictures.

A word is known if it occurs in the captions of the scenes. Being in the tokenizer's vocabulary is not enough: the
network never learnt what it sounds like.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from itertools import chain

import torch

from ..encoders.captioner import Captioner
from ..errors import ConditionError
from ..media.picture import NoPicture, Picture
from ..media.video import VideoInfo
from ..media.watch import FramePlan
from ..notes import note
from ..protocols.pipeline import OnProgress, Pipeline
from ..scenes.captions import STOP_WORDS, stem_of, vocabulary_words, words_of
from ..scenes.families import FAMILIES
from ..weights import taught_families
from .conditions import PictureCache, part_of, pipeline_arguments, read_picture
from .looking import looks
from .options import Options

log = logging.getLogger(__name__)

_NEAR = 0.7  # least share of letters in common
CAPTION_SIZE = 384  # pixels a side of the picture that is captioned


def announce(runs: Sequence[Options], pipeline: Pipeline, *, pictured: bool = True) -> None:
    """Warn once for all of `runs` about what the pipeline's weights do not know; `pictured`: whether there is a picture
    to look at."""
    for sentence in advice(runs, pipeline, pictured=pictured):
        log.warning("%s", sentence)


def advice(runs: Sequence[Options], pipeline: Pipeline, *, pictured: bool = True) -> list[str]:
    """Warnings that name requested words, or real pictures, that the weights do not know; see `announce`."""
    if pipeline.knows_film:
        return []
    sentences = []
    takes_words = "prompt" in pipeline.accepts
    if takes_words:
        sentences += _about_words([text for options in runs for text in
                                   (options.prompt, options.negative_prompt, *(cue.text for cue in options.cues))
                                   if text], pipeline)
    looking = [options for options in runs if pictured
               and not looks(options, pipeline)
               and pipeline.pictures_wanted(1.0, pipeline_arguments(options)) is not None]
    if looking:
        told = takes_words and all(options.prompt or options.cues for options in looking)
        more = "; describe the sound with a prompt" if takes_words and not told else ""
        sentences.append(("the picture counts beside the words" if told else "the picture alone says what sounds")
                         + f", and this preset knows only the drawn pictures of its scenes{more}")
    return sentences


def with_caption(picture: Picture, options: Options, known: PictureCache,
                 on_progress: OnProgress | None = None) -> Options:
    """The options with what their captioner says of the middle of the part as prompt, where they have no words; without
    the captioner, so that the result can be repeated from the words alone.

    Raises MediaError, WeightsError, and ConditionError where there is no picture.
    """
    folder, options = options.captioner, options.replaced({"captioner": None})
    if options.prompt is not None or options.cues or folder is None:
        return options
    if isinstance(picture, NoPicture):
        raise ConditionError("there is no picture to caption; give a prompt.")
    captioner = Captioner(folder)

    def middle(info: VideoInfo) -> FramePlan:
        return FramePlan((sum(part_of(info.duration_s, options)) / 2,), (CAPTION_SIZE, CAPTION_SIZE))

    images = read_picture(picture, known, middle, None, on_progress=on_progress)
    assert images is not None
    caption = captioner.captions(torch.from_numpy(images.copy()).permute(0, 3, 1, 2))[0]
    note(log, "%s: the captioner sees '%s'", picture.name, caption)
    return options.replaced({"prompt": caption})


def _about_words(prompts: Sequence[str], pipeline: Pipeline) -> list[str]:
    """Warnings about words that the weights do not know, and about those that they know from recordings alone."""
    taught, recorded = known_families(pipeline)
    new = new_words(prompts, (*taught, *recorded))
    rough = [word for word in new_words(prompts, taught) if word not in new]
    named = "; ".join(f"'{word}'" + (f" (nearest: {', '.join(near)})" if near else "") for word, near in new.items())
    return [f"words that these weights do not know, so the sound may be anything: {named}"] * bool(new) + [
        "sounds that these weights know from an embedding of recordings alone, and may miss: "
        + ", ".join(f"'{word}'" for word in rough)] * bool(rough)


def known_families(pipeline: Pipeline) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The sound families that a pipeline's weights were taught (those that its own folder names, the drawn ones where
    it does not say), and others of which its parts hold recordings' embeddings."""
    own, *parts = [taught_families(folder) for folder in pipeline.weights.values()] or [None]
    taught = own or tuple(FAMILIES)
    recorded = chain(*(families or () for families in parts))
    return taught, tuple(dict.fromkeys(name for name in recorded if name not in taught))


def new_words(prompts: Iterable[str], families: Iterable[str] = tuple(FAMILIES)) -> dict[str, tuple[str, ...]]:
    """Words of the prompts that are not in the captions of `families`, each with up to three that are: first of its
    stem, then by spelling.

    Articles, prepositions, similar words, and numbers are skipped.
    """
    known = vocabulary_words(families)
    words = dict.fromkeys(word for prompt in prompts for word in words_of(prompt))
    return {word: _nearest(word, known) for word in words
            if word not in known and word not in STOP_WORDS and not word.isdigit()}


def _nearest(word: str, known: tuple[str, ...]) -> tuple[str, ...]:
    stem = stem_of(word)
    likeness = {k: (stem_of(k) == stem, SequenceMatcher(None, word, k).ratio()) for k in known
                if k not in STOP_WORDS}
    near = [k for k, (same_stem, ratio) in likeness.items() if same_stem or ratio >= _NEAR]
    return tuple(sorted(near, key=lambda k: likeness[k], reverse=True)[:3])
