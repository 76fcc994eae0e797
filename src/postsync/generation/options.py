"""All options that determine a result, validated, and converted to and from JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from .. import registry
from ..errors import ConditionError
from ..protocols.pipeline import Cue
from ..protocols.system import Option, checked_options
from ..timing.readers import READERS

Setting = bool | int | float | str
Kind = Literal["impulsive", "sustained", "textured"]


class OptionValues(TypedDict, total=False):
    """The options of a call that is given a clip, by keyword: the fields of `Options`, which tells their ranges.

    The system's own options, such as `eta`, may be given by keyword too; type checkers know them as `settings`.
    """

    system: str
    preset: str
    parts: Mapping[str, str]
    device: str
    dtype: str
    negative_prompt: str
    cues: Sequence[Cue | tuple[float, float, str]]
    captioner: str | Path
    look: bool
    reference: str | Path
    given_sound: str | Path
    num_inference_steps: int
    guidance_scale: float
    control_scale: float
    settings: Mapping[str, Setting]
    timing: str
    kind: Kind
    onsets: str | Path
    offset_ms: float
    start_s: float
    duration_s: float
    target_lufs: float
    sound: Literal["replace", "mix", "keep"]
    audio_codec: Literal["aac", "opus", "flac", "pcm"]
    mix_db: float


class Options(BaseModel):
    """The settings of a soundtrack, besides the clip and the weights. None: the preset's default, or absent.

    `Options.model_json_schema()` describes all of it. Raises ConditionError, naming the option, for an unknown name and
    for a value of a wrong type or out of range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    system: str = Field(default_factory=registry.default_system)
    preset: str = Field("mini", description="a preset's name, or a saved pipeline's folder")
    parts: dict[str, str] = Field({}, description="folders that replace parts which the system shares, by name")
    device: str = "cpu"
    dtype: Literal["float32", "bfloat16"] = "float32"
    prompt: str | None = Field(None, description="the sound to generate")
    negative_prompt: str | None = Field(None, description="the sound to avoid")
    cues: tuple[Cue, ...] = Field((), description="prompts over time; `prompt` fills the gaps")
    captioner: str | None = Field(None, description="folder of an image-to-text model that says what is seen where "
                                                    "there is no prompt; the prompt is recorded in its place")
    look: bool = Field(True, description="say by the picture what sounds, where neither words nor a recording do; what "
                                         "was seen is recorded as prompt or cues in its place")
    reference: str | None = Field(None, description="path of a recording whose timbre is imitated")
    given_sound: str | None = Field(None, description="path of a recording that gets pictures, of systems that make "
                                                      "them")
    seed: int = Field(-1, ge=-1, le=2**63 - 1, description="-1 draws one")
    num_inference_steps: int | None = Field(None, ge=1, le=1000)
    guidance_scale: float | None = Field(None, ge=0, le=50)
    control_scale: float | None = Field(None, ge=0, le=5)
    guides: tuple[str, ...] = Field((), description="names of guides, or module:function")
    settings: dict[str, Setting] = Field({}, description="the system's own options by name, a guide's as GUIDE.NAME")
    timing: str | None = Field(None, description="how the picture's timing is read; None: the best reader installed")
    kind: Kind | None = Field(None, description="of the sound, to which the picture's timing is shaped; None: as the "
                                                "words say")
    envelope: str | None = Field(None, description="path of an envelope that replaces the timing")
    onsets: str | None = Field(None, description="path of a list of hits that replaces the timing")
    offset_ms: float = Field(0.0, ge=-600_000, le=600_000, description="positive: the soundtrack comes later")
    start_s: float = Field(0.0, ge=0, le=1e6, description="the part of the clip that gets sound")
    duration_s: float | None = Field(None, ge=0.01, le=1e6, description="of that part; None: to the clip's end")
    target_lufs: float = Field(-20.0, ge=-70, le=0)
    sound: Literal["replace", "mix", "keep"] = Field("replace", description="what happens to the clip's own sound")
    audio_codec: Literal["aac", "opus", "flac", "pcm"] | None = Field(
        None, description="of the sound in a video file; pcm has 24 bits; None: the container's usual one")
    mix_db: float = Field(0.0, ge=-60, le=24, description="gain of the generated sound where it is mixed in")

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConditionError(_sentence(error)) from None

    @field_validator("cues", mode="before")
    @classmethod
    def _cues(cls, value: Any) -> Any:
        """Any (start, end, text) is a cue."""
        return tuple(Cue(*cue) if isinstance(cue, list | tuple) and len(cue) == 3 else cue for cue in value)

    @field_validator("timing")
    @classmethod
    def _known_reader(cls, value: str | None) -> str | None:
        if value is not None and value not in READERS:
            raise ConditionError(f"timing is '{value}'; choose {' or '.join(READERS)}.")
        return value

    @model_validator(mode="after")
    def _settings_of_named_guides(self) -> Options:
        for name in self.settings:
            guide = name.rpartition(".")[0]
            if guide and guide not in self.guides:
                raise ConditionError(f"{name} sets an option of a guide that is not named; add --guide {guide}.")
        return self

    @model_validator(mode="after")
    def _one_timing(self) -> Options:
        given = [name for name in ("timing", "envelope", "onsets") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ConditionError(f"{' and '.join(given)} both set the timing; give one of them.")
        if self.kind is not None and given and given != ["timing"]:
            raise ConditionError(f"kind shapes the timing that is read from the picture, and {given[0]} replaces it; "
                                 "give one of them.")
        return self

    def replaced(self, changes: Mapping[str, Any]) -> Options:
        """These options with some changed; validated again."""
        return Options(**{name: getattr(self, name) for name in type(self).model_fields} | dict(changes))

    def to_json(self) -> dict[str, Any]:
        """All options by name, as JSON takes them."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, data: Any) -> Options:
        """The options in the result of `to_json`. Raises ConditionError for unknown names and values of a wrong
        type."""
        if not isinstance(data, dict):
            raise ConditionError("its options are not an object of names and values.")
        lists = {name: tuple(data[name]) for name in ("cues", "guides") if isinstance(data.get(name), list)}
        return cls(**{"look": False} | data | lists)  # sidecars from before the eyes do not name it


def with_settings(given: Mapping[str, Any], known: Mapping[str, Option], owner: str) -> dict[str, Any]:
    """Values by name as fields of Options: those that are none are options of the system `owner`, of which `known` are
    its own, and go into `settings`, checked. Raises ConditionError for names that are neither."""
    named = {name: value for name, value in given.items() if name in Options.model_fields}
    own = {name: value for name, value in given.items() if name not in named}
    if unknown := sorted(set(own) - set(known)):
        raise ConditionError(f"{owner} has no option {', '.join(unknown)}; the options are "
                             f"{', '.join([*Options.model_fields, *known])}.")
    settings = dict(given.get("settings") or {}) | own
    settings |= checked_options(of_system(settings), known, owner)
    return named | ({"settings": settings} if settings else {})


def of_system(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The system's own of `settings`; names with a dot are those of guides."""
    return {name: value for name, value in settings.items() if "." not in name}


def _sentence(error: ValidationError) -> str:
    """The first error in words."""
    mistake = error.errors(include_url=False)[0]
    name, value, kind = str(mistake["loc"][0]), mistake.get("input"), mistake["type"]
    if kind == "extra_forbidden":
        return f"there is no option '{name}'; the options are {', '.join(Options.model_fields)}."
    if kind in ("greater_than_equal", "less_than_equal"):
        limits = {part: getattr(rule, part) for rule in Options.model_fields[name].metadata for part in ("ge", "le")
                  if hasattr(rule, part)}
        return f"{name} is {value}; it must be between {limits['ge']:g} and {limits['le']:g}."
    if kind == "literal_error":
        return f"{name} is {value!r}; choose {mistake['ctx']['expected']}."
    place = ".".join(map(str, mistake["loc"]))
    return f"{place} is {value!r}; {mistake['msg'].lower()}."
