"""Everything a user can ask for that determines a result, checked, and to and from JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ConditionError

Cue = tuple[float, float, str]  # start and end in seconds of the clip, what is heard between them

_RANGES: dict[str, tuple[float, float, str]] = {  # lowest, highest, unit
    "num_inference_steps": (1, 1000, "steps"), "guidance_scale": (0, 50, ""), "control_scale": (0, 5, ""),
    "seed": (-1, 2**63 - 1, "(-1 draws one)"), "offset_ms": (-600_000, 600_000, "ms"), "start_s": (0, 1e6, "s"),
    "duration_s": (0.01, 1e6, "s"), "target_lufs": (-70, 0, "LUFS"), "mix_db": (-60, 24, "dB"),
}
_CHOICES = {"timing": (None, "predicted", "motion"), "sound": ("replace", "mix", "keep"),
            "dtype": ("float32", "bfloat16")}


@dataclass(frozen=True)
class Options:
    """What a soundtrack is made from, besides the clip and the weights. None: the preset's default, or absence.

    Raises ConditionError, naming the option, for a value of a wrong kind or out of its range.
    """

    system: str = "foleygram"
    preset: str = "mini"  # or a saved pipeline's folder
    device: str = "cpu"
    dtype: str = "float32"
    prompt: str | None = None
    negative_prompt: str | None = None
    cues: tuple[Cue, ...] = ()  # prompts over time; the prompt speaks where none reaches
    reference: str | None = None  # path of a recording whose timbre is imitated
    seed: int = -1
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    control_scale: float | None = None
    timing: str | None = None  # "predicted" or "motion"; None: predicted where its weights are there
    envelope: str | None = None  # path of an envelope that replaces the timing
    onsets: str | None = None  # path of a list of hits that replaces the timing
    offset_ms: float = 0.0  # positive: the soundtrack comes later
    start_s: float = 0.0  # the part of the clip that gets sound
    duration_s: float | None = None  # of that part; None: to the clip's end
    target_lufs: float = -20.0
    sound: str = "replace"  # what becomes of the clip's own sound: "replace", "mix" or "keep"
    mix_db: float = 0.0  # gain of the generated sound where it is mixed in

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not _fits(value, str(field.type)):
                raise ConditionError(f"{field.name} is {value!r}; it must be {field.type}.")
        for name, (lowest, highest, unit) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not lowest <= value <= highest:
                raise ConditionError(f"{name} is {value}; it lies between {lowest:g} and {highest:g} {unit}".rstrip()
                                     + ".")
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ConditionError(f"{name} is '{getattr(self, name)}'; choose {' or '.join(filter(None, allowed))}.")
        if self.envelope is not None and self.onsets is not None:
            raise ConditionError("an envelope and a list of onsets both say when it sounds; give one of them.")
        if self.timing is not None and (self.envelope is not None or self.onsets is not None):
            raise ConditionError("timing from the picture and a file that says when it sounds: give one of them.")

    def replaced(self, changes: Mapping[str, Any]) -> Options:
        """These options with some of them changed; checked again."""
        return dataclasses.replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """All options by name, as JSON takes them."""
        return dataclasses.asdict(self) | {"cues": [list(cue) for cue in self.cues]}

    @classmethod
    def from_json(cls, data: Any) -> Options:
        """Options of `to_json`. Raises ConditionError for names it does not know and values of a wrong kind."""
        if not isinstance(data, dict):
            raise ConditionError("its options are not an object of names and values.")
        if unknown := set(data) - {field.name for field in dataclasses.fields(cls)}:
            raise ConditionError(f"it has options that this version does not know: {', '.join(sorted(unknown))}.")
        cues = data.get("cues", [])
        if not isinstance(cues, list) or not all(isinstance(cue, list) for cue in cues):
            raise ConditionError("its cues are not a list of [start, end, prompt].")
        return cls(**(data | {"cues": tuple(tuple(cue) for cue in cues)}))


def _fits(value: Any, kind: str) -> bool:
    """Whether a value is of a field's kind, given as it is written in the class; numbers are finite."""
    if kind.startswith("tuple"):
        return all(len(c) == 3 and _fits(c[0], "float") and _fits(c[1], "float") and _fits(c[2], "str") for c in value)
    if value is None:
        return kind.endswith("None")
    if kind.startswith("str"):
        return isinstance(value, str)
    number = isinstance(value, int) or (kind.startswith("float") and isinstance(value, float))
    return number and not isinstance(value, bool) and math.isfinite(value)
