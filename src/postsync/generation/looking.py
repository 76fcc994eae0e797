"""What is seen: each shot of a clip is looked at, and what sounds in it becomes the prompt where no words are given.

A network that knows ImageNet's thousand things (`encoders/efficientnet_lite.py`) says what a picture shows;
`seen_sounds.csv` says which of them sound, and how. Dresses, rooms and landscapes are not among them: what only
stands in a picture is not heard.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from torch import Tensor

from ..encoders.efficientnet_lite import CLASSES, LITE2, EfficientNetLite, load_efficientnet_lite
from ..errors import ConditionError
from ..media.picture import NoPicture, Picture, open_picture
from ..media.shots import shots_between
from ..media.video import VideoInfo
from ..media.watch import FramePlan
from ..notes import note
from ..protocols.pipeline import Captions, Cue, OnProgress, Pipeline
from .conditions import TIMING_PART, PictureCache, frames_of, part_of, read_picture
from .options import Options

log = logging.getLogger(__name__)

SURE = 0.2  # confidence from which an answer is taken as it is
GUESS = SURE / 4  # and from which it is a guess, used but told as one; below, nothing that sounds was recognised
EVERY_S, FEWEST, MOST = 0.5, 8, 240  # a picture is taken so often, but so many of a clip
PER_SHOT = 8  # pictures of a shot that are looked at
SUSPECTS = 3  # answers that are told
PLACEHOLDER = "short wood knocks"  # marks the hits of a picture in which nothing was recognised


@dataclass(frozen=True)
class Sounding:
    """A thing that sounds: its name, our family of its sound (None: no mini knows it), the prompt for it, and the
    numbers of ImageNet's labels that show it."""

    name: str
    family: str | None
    prompt: str
    labels: tuple[int, ...]


@dataclass(frozen=True)
class Seen:
    """What a shot shows: the likeliest things that sound, best first, each with its confidence in 0..1."""

    start_s: float
    end_s: float
    answers: tuple[tuple[str, float], ...]

    @property
    def confidence(self) -> float:
        """That of the best answer."""
        return self.answers[0][1]

    @property
    def sound(self) -> str | None:
        """The best answer's name; None where nothing that sounds was recognised."""
        return self.answers[0][0] if self.confidence >= GUESS else None

    @property
    def prompt(self) -> str | None:
        """The prompt for it."""
        return None if self.sound is None else soundings()[self.sound].prompt

    def to_json(self) -> dict[str, Any]:
        """Plain values; `sure`: whether the answer is above the threshold."""
        return asdict(self) | {"sound": self.sound, "prompt": self.prompt, "confidence": self.confidence,
                               "sure": self.confidence >= SURE}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Seen:
        """What `to_json` described."""
        return cls(float(data["start_s"]), float(data["end_s"]),
                   tuple((str(name), float(share)) for name, share in data["answers"]))


@cache
def soundings() -> Mapping[str, Sounding]:
    """The table of what sounds, by name."""
    rows = csv.DictReader(files(__package__).joinpath("seen_sounds.csv").read_text(encoding="utf-8").splitlines())
    return {row["sound"]: Sounding(row["sound"], row["family"] or None, row["caption"], _numbers(row["labels"]))
            for row in rows}


def _numbers(labels: str) -> tuple[int, ...]:
    """The numbers of "587 hammer; 281-285 tabby to Egyptian cat"."""
    numbers: list[int] = []
    for entry in labels.split("; "):
        first, _, last = entry.split(" ", 1)[0].partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return tuple(numbers)


def confidences(probabilities: Tensor) -> dict[str, float]:
    """What sounds, best first, from mean probabilities (1000,): the share of a thing's labels, less what they would
    have if all that the others hold were spread evenly. So a hundred breeds of dogs are no dog where none is seen."""
    found = {}
    for name, thing in soundings().items():
        share, count = float(probabilities[list(thing.labels)].sum()), len(thing.labels)
        found[name] = max(0.0, share - count * (1 - share) / (CLASSES - count))
    return dict(sorted(found.items(), key=lambda item: item[1], reverse=True))


def look(video: Any, *, fps: float | None = None, on_progress: OnProgress | None = None) -> list[Seen]:
    """What each shot of a clip shows that sounds. `video`, `fps`: as of `open_clip`. Raises MediaError for a clip that
    cannot be read, WeightsError where the network is not installed."""
    return look_at(open_picture(video, fps), on_progress=on_progress)


def look_at(picture: Picture, options: Options | None = None, *, known: PictureCache | None = None,
            reader: str | None = None, on_progress: OnProgress | None = None) -> list[Seen]:
    """What each shot of the options' part of a clip shows, by default of all of it; with a `reader`, its timing is read
    in the same pass. Raises MediaError, WeightsError, and ConditionError where there is no picture, or no such part."""
    if isinstance(picture, NoPicture):
        raise ConditionError("there is no picture to look at; name a clip.")
    options, known = options or Options(), PictureCache() if known is None else known
    images = read_picture(picture, known, _plan, reader, options.parts.get(TIMING_PART), on_progress, shots=True)
    frames, info = frames_of(images), picture.info
    assert frames is not None
    assert known.cuts is not None
    times = np.asarray(_plan(info).times_s)
    seen = []
    for start_s, end_s in shots_between(known.cuts, *part_of(info.duration_s, options)):
        inside = np.flatnonzero((times >= start_s) & (times < end_s))
        inside = inside if len(inside) else np.array([np.abs(times - (start_s + end_s) / 2).argmin()])
        chosen = inside[np.linspace(0, len(inside) - 1, min(PER_SHOT, len(inside))).round().astype(int)]
        mean = _network().probabilities(frames[chosen]).mean(0)
        best = list(confidences(mean).items())[:SUSPECTS]
        seen.append(Seen(start_s, end_s, tuple((name, round(share, 3)) for name, share in best)))
    return seen


@cache
def _network() -> EfficientNetLite:
    """The frozen network, loaded and checked once for all clips of a run."""
    return load_efficientnet_lite(LITE2)


def _plan(info: VideoInfo) -> FramePlan:
    """Pictures at regular times of the whole clip, each squeezed into the network's square."""
    count = min(max(round(info.duration_s / EVERY_S), FEWEST), MOST)
    times = ((np.arange(count) + 0.5) * info.duration_s / count).tolist()
    return FramePlan(tuple(times), (LITE2.picture, LITE2.picture))


def looks(options: Options, pipeline: Pipeline) -> bool:
    """Whether the eyes say what sounds: where neither words nor a recording do, and the system takes words, but neither
    knows film nor captions clips itself."""
    return (options.look and "prompt" in pipeline.accepts and not isinstance(pipeline, Captions)
            and not pipeline.knows_film
            and options.prompt is None and not options.cues and options.reference is None
            and options.captioner is None and options.given_sound is None)


def with_seen(picture: Picture, options: Options, known: PictureCache, reader: str | None,
              on_progress: OnProgress | None = None) -> tuple[Options, tuple[Seen, ...]]:
    """The options with what is seen as prompt, or as cues where shots differ, and what that is; told in notes. With a
    `reader`, its timing is read in the same pass; where nothing was recognised, knocks mark its hits."""
    seen = tuple(look_at(picture, options, known=known, reader=reader, on_progress=on_progress))
    for doubt in doubts(seen):
        note(log, "%s: %s", picture.name, doubt)
    words: dict[str, Any] = {"look": False}
    cues = cues_of(seen)
    if len({cue.text for cue in cues}) == 1 and len(cues) == len(seen):
        words["prompt"] = cues[0].text
    elif cues:
        words["cues"] = cues
    if len(cues) < len(seen) and reader is not None and len(
            known.timings[reader, options.parts.get(TIMING_PART)].onsets_s):
        words["prompt"] = PLACEHOLDER
        note(log, "%s: knocks stand in for what was not recognised, where things are seen to hit", picture.name)
    return options.replaced(words), seen


def cues_of(seen: Sequence[Seen]) -> tuple[Cue, ...]:
    """The shots in which something that sounds was recognised, as cues."""
    return tuple(Cue(one.start_s, one.end_s, one.prompt) for one in seen if one.prompt is not None)


def doubts(seen: Sequence[Seen]) -> list[str]:
    """What to tell a person of shots in which nothing, or nothing for certain, was recognised."""
    sentences = []
    unsure = [one for one in seen if one.sound is not None and one.confidence < SURE]
    unknown = [one for one in seen if one.sound is None]
    if unsure:
        guesses = "; ".join(f"{_span(one, seen)}{suspects(one)}, so '{one.prompt}'" for one in unsure)
        sentences.append(f"not sure what is seen, and guessed: {guesses}; say what sounds (--prompt)")
    if unknown:
        where = "" if len(seen) == 1 else f" at {', '.join(f'{one.start_s:.2f}' for one in unknown)} s"
        sentences.append(f"nothing that sounds was recognised in the picture{where}; say what sounds (--prompt), or "
                         "give a recording of it (--reference)")
    return sentences


def suspects(seen: Seen) -> str:
    """The likeliest answers with their confidences, such as "drums 0.43, gong 0.06"."""
    return ", ".join(f"{name} {share:.2f}" for name, share in seen.answers if share >= min(GUESS, seen.confidence))


def _span(one: Seen, seen: Sequence[Seen]) -> str:
    return "" if len(seen) == 1 else f"{one.start_s:.2f} to {one.end_s:.2f} s: "
