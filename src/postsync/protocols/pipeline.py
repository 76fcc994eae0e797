"""The pipeline: the object that runs a system, with the same interface for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:  # options are checked before torch is loaded, which takes seconds
    from pathlib import Path

    import numpy as np
    import torch
    from torch import Tensor

    from ..features.envelope import Envelope
    from .guide import Guide
    from .system import Option

Callback = Callable[[Any, int, float, "dict[str, Tensor]"], "dict[str, Tensor] | None"]
"""diffusers' `callback_on_step_end(pipeline, step, timestep, {"latents": ...})`, which may return other latents. One
that raises Cancelled ends the run."""
OutputType = Literal["pt", "np", "latent"]


Stage = Literal["reading", "denoising", "decoding", "levelling", "writing"]


@dataclass(frozen=True)
class Progress:
    """`fraction` (0..1) of a stage is done."""

    stage: Stage
    fraction: float


OnProgress = Callable[[Progress], None]
"""Called with the progress of a run. One that raises Cancelled ends the run in any stage, and no partial file is
left."""


def stage(on_progress: OnProgress | None, name: Stage) -> Callable[[float], None] | None:
    """A callback for the fraction of one stage; None without `on_progress`."""
    return None if on_progress is None else lambda fraction: on_progress(Progress(name, min(fraction, 1.0)))


class Cue(NamedTuple):
    """The text for `start_s` to `end_s`; None: no words."""

    start_s: float
    end_s: float
    text: str | None


Prompt = str | Sequence[str] | Sequence[tuple[float, float, str]] | None
"""One text, one for each sound of the batch, or cues over time."""


@dataclass(frozen=True)
class Pictures:
    """The pictures a pipeline wants of a clip: `count` squares of `size` pixels a side. `fps` None: spread evenly over
    the whole clip; else so many a second from the start of the part that gets sound."""

    count: int
    size: int
    fps: float | None = None


@runtime_checkable
class ConditionedGuide(Protocol):
    """A guide that follows what a run is conditioned on: it is told before the run, whatever the pipeline looks at."""

    def pictures_wanted(self, duration_s: float) -> Pictures | None:
        """The pictures it wants of a clip, spread evenly; None for none."""
        ...

    def condition(self, prompts: Sequence[str | None], video: Tensor | None) -> None:
        """The words of each sound of the batch, and the pictures (F, 3, H, W) uint8, if there are any."""
        ...


@runtime_checkable
class Captions(Protocol):
    """A pipeline that says what a clip sounds like."""

    def pictures_wanted(self, duration_s: float, asked: Mapping[str, Any]) -> Pictures | None:
        """The pictures that it looks at."""
        ...

    def caption(self, video: Tensor, duration_s: float, instruction: str | None = None) -> str:
        """A sentence about a clip whose pictures are `video`; `instruction`: asked in place of its own question."""
        ...


@dataclass(frozen=True)
class SoundOutput:
    """The result of a call: audios (B, C, N), or clean latents for output_type "latent"; with captions, and pictures
    (B, F, 3, H, W) uint8 at `frame_rate`, of systems that make them."""

    audios: Tensor | np.ndarray
    captions: tuple[str, ...] | None = None
    frames: Tensor | None = None
    frame_rate: float | None = None


@dataclass(frozen=True)
class Origin:
    """How a pipeline was loaded: enough to load it again."""

    preset: str  # a preset's name, or the folder of a saved pipeline
    device: str = "cpu"
    dtype: str = "float32"
    parts: Mapping[str, str] = field(default_factory=dict)  # folders that replace shared parts, by name


class Pipeline(Protocol):
    """A system with its weights: a class with `from_pretrained(folder, *, torch_dtype, parts)`.

    `parts` (folders by name) comes only where some were named; the class finds the default folders itself.
    `registry.load_pipeline` then sets `origin` and, for another device than the CPU, goes on with what `to(device)`
    returns. A run gives `duration_s` and `generator` always, other arguments only where they are set and in `accepts`;
    where the timing is silent the pipeline is not called. Values of `options` arrive checked; defaults are the
    pipeline's to apply.
    """

    @property
    def system(self) -> str:
        """The name under which the registry lists it."""
        ...

    @property
    def accepts(self) -> frozenset[str]:
        """Arguments of the call that it honours; others are refused."""
        ...

    @property
    def options(self) -> Mapping[str, Option]:
        """Arguments of its own, by keyword."""
        ...

    @property
    def origin(self) -> Origin | None:
        """How it was loaded; None: built in memory."""
        ...

    @property
    def sampling_rate(self) -> int:
        """Samples a second of the output."""
        ...

    @property
    def channels(self) -> int:
        """Channels of the output."""
        ...

    @property
    def native_s(self) -> float:
        """Training length in seconds; shorter sounds cost as much."""
        ...

    @property
    def num_inference_steps(self) -> int:
        """The default of that argument."""
        ...

    @property
    def knows_film(self) -> bool:
        """Whether its encoders know real pictures and any words; if not, users are warned."""
        ...

    @property
    def weights(self) -> Mapping[str, Path]:
        """The folder of every part that was loaded from one, by name; the pipeline's own under its folder's name."""
        ...

    def pictures_wanted(self, duration_s: float, asked: Mapping[str, Any]) -> Pictures | None:
        """The pictures that it uses for a sound of `duration_s` seconds, `asked` being the call's other arguments that
        were given; None: it uses none."""
        ...

    def __call__(self, video: Tensor | None = None, prompt: Prompt = None, negative_prompt: str | None = None,
                 duration_s: float | None = None, num_inference_steps: int | None = None,
                 guidance_scale: float | None = None, num_waveforms_per_prompt: int = 1,
                 generator: torch.Generator | Sequence[torch.Generator] | None = None,
                 envelope: Tensor | Envelope | None = None, control_scale: float | None = None,
                 latents: Tensor | None = None, reference_audio: Tensor | None = None, guides: Sequence[Guide] = (),
                 callback_on_step_end: Callback | None = None, output_type: OutputType = "pt",
                 **options: Any) -> SoundOutput:
        """Generate sound. Every argument left at None means the preset's default, or the absence of that condition.

        video: frames (F, 3, H, W) uint8 as `pictures_wanted` asks for them. envelope: (M,) or (B, M) centred linear RMS
        0..1 at 100 Hz, or an Envelope. reference_audio: (C, N) at `sampling_rate`. generator: one, or one each; take k
        of a single one equals a run seeded with its seed + k. Raises ConditionError for arguments that it does not
        accept.
        """
        ...
