"""Descriptions of systems, trainables and guides: plain tables, from which help, `info` and errors are made without
importing a model.

A module that lists such tables (a folder of `postsync.systems`, or the entry point `postsync.systems` of another
package) has any of `SYSTEM` (a System), `TRAINABLES` and `GUIDES` (tuples). Code is named "module:attribute" and
imported when needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from ..errors import ConditionError
from .train_config import TrainConfig


@dataclass(frozen=True)
class Option:
    """A setting of a system, a trainable or a guide: `--set NAME=VALUE`. `default` None: the preset decides."""

    kind: type[bool] | type[int] | type[float] | type[str]
    help: str
    default: Any = None
    low: float | None = None  # lowest and highest value, both allowed
    high: float | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()

    def checked(self, name: str, value: Any) -> Any:
        """`value`, or its text, converted and checked. Raises ConditionError, naming `name`."""
        found = self._converted(value)
        if found is None or (self.choices and found not in self.choices):
            raise ConditionError(f"{name} is {value!r}; it must be {self.range_text()}.")
        if self.kind in (int, float) and not (isfinite(found) and (self.low is None or found >= self.low)
                                              and (self.high is None or found <= self.high)):
            raise ConditionError(f"{name} is {value}; it must be {self.range_text()}.")
        return found

    def _converted(self, value: Any) -> Any:
        """The value in this option's type, None where it cannot be converted."""
        if self.kind is bool:
            words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False,
                     "0": False}
            return value if isinstance(value, bool) else words.get(str(value).lower())
        if self.kind is str:
            return value if isinstance(value, str) else None
        if isinstance(value, bool):
            return None
        try:
            number = float(value)
        except (TypeError, ValueError):
            return None
        if self.kind is float:
            return number
        return int(number) if isfinite(number) and number.is_integer() else None

    def range_text(self) -> str:
        """The allowed values in words, such as "a number from 0 to 1"."""
        if self.choices:
            return " or ".join(self.choices)
        if self.kind is bool:
            return "true or false"
        kinds = {int: "a whole number", float: "a number", str: "text"}
        text = kinds[self.kind]
        if self.low is not None and self.high is not None:
            text += f" from {self.low:g} to {self.high:g}"
        elif self.low is not None:
            text += f", {self.low:g} or more"
        elif self.high is not None:
            text += f", {self.high:g} or less"
        return f"{text} {self.unit}".rstrip()


def checked_options(given: Mapping[str, Any], known: Mapping[str, Option], owner: str) -> dict[str, Any]:
    """The values given, checked against the options of `owner`. Raises ConditionError for unknown names."""
    if unknown := sorted(set(given) - set(known)):
        there = f"its options are {', '.join(sorted(known))}" if known else "it has none"
        raise ConditionError(f"{owner} has no option {', '.join(unknown)}; {there}.")
    return {name: known[name].checked(name, value) for name, value in given.items()}


def read_pairs(pairs: Iterable[str], form: str) -> dict[str, str]:
    """The names and values of texts `NAME=VALUE`. `form` shows the syntax in errors, such as "--set NAME=VALUE". Raises
    ConditionError for another form and for a name given twice."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name.strip() or not value.strip():
            raise ConditionError(f"'{pair}' lacks a name or a value; write {form}.")
        if name.strip() in found:
            raise ConditionError(f"{name.strip()} is given twice; write {form} once.")
        found[name.strip()] = value.strip()
    return found


@dataclass(frozen=True)
class Assembly:
    """How a pipeline of the paper's size is put together from published files (`postsync weights assemble`)."""

    function: str  # "module:function" taking (checkpoint, **parts, **options) and returning a pipeline
    parts: Mapping[str, str] = field(default_factory=dict)  # part that can be replaced -> its content
    required: frozenset[str] = frozenset()  # parts that must be named
    options: Mapping[str, Option] = field(default_factory=dict)


@dataclass(frozen=True)
class System:
    """One published system, and its present state."""

    name: str
    title: str
    arxiv: str
    output: str  # its output
    public: str  # which weights of the paper are public
    licences: str  # of code and weights it builds on
    limits: str = ""  # of its mini, in a sentence
    pipeline: str | None = None  # "module:class" with from_pretrained(folder); None: not available yet
    presets: Mapping[str, str] = field(default_factory=dict)  # preset -> bundled folder's name, or a folder's full path
    parts: Mapping[str, str] = field(default_factory=dict)  # part with a folder of its own -> the bundled folder's name
    options: Mapping[str, Option] = field(default_factory=dict)  # the pipeline's own, besides the common ones
    assembly: Assembly | None = None
    captions: bool = False  # its pipeline says what a clip sounds like (`protocols.pipeline.Captions`)
    creates: bool = False  # without a clip its pipeline makes pictures too, from words, or for a `sound` given (C, N)

    @property
    def available(self) -> bool:
        """Whether this version runs it."""
        return self.pipeline is not None


@dataclass(frozen=True)
class Trainable:
    """An entry of `postsync train`, with the settings of its mini and, if any, of the paper's size."""

    name: str
    summary: str
    objective: str  # "module:function" taking (preset, **parts, **options) and returning an Objective
    config: TrainConfig
    count: int = 2000  # scenes rendered once for the run
    world: str | None = None  # "module:function" returning arguments of SceneConfig: the scenes it is trained on
    presets: tuple[str, ...] = ("mini", "tiny")
    parts: Mapping[str, str] = field(default_factory=dict)  # part that can be replaced -> its content
    options: Mapping[str, Option] = field(default_factory=dict)
    paper: TrainConfig | None = None  # of the presets whose name starts with "paper"

    def config_of(self, preset: str) -> TrainConfig:
        """The training settings of `preset`."""
        return self.paper if self.paper is not None and preset.startswith("paper") else self.config


@dataclass(frozen=True)
class GuideEntry:
    """A guide that `--guide NAME` builds: "module:function" taking (pipeline, **options) and returning a Guide."""

    name: str
    summary: str
    build: str
    options: Mapping[str, Option] = field(default_factory=dict)
