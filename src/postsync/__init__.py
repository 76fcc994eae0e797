"""postsync puts sound to silent video. Public names are imported on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .versions import __version__

if TYPE_CHECKING:
    from .errors import Cancelled, ConditionError, MediaError, PostsyncError, WeightsError
    from .features.envelope import Envelope
    from .generation import (
        ClipSession,
        Options,
        Progress,
        Report,
        Result,
        Seen,
        Soundtrack,
        caption,
        create,
        generate,
        generate_all,
        look,
        open_clip,
        open_result,
        redo,
        repeat,
    )
    from .protocols.clip import Clip, Event
    from .protocols.guide import Guide, Step
    from .protocols.pipeline import Cue, Pipeline
    from .registry import SYSTEMS, TRAINABLES
    from .registry import load_pipeline as load
    from .timing.timing import Timing

_PLACES = {  # public name -> the module that defines it, and its name there if different
    "load": ".registry:load_pipeline", "SYSTEMS": ".registry", "TRAINABLES": ".registry",
    "caption": ".generation", "create": ".generation", "generate": ".generation", "generate_all": ".generation",
    "look": ".generation", "open_clip": ".generation", "open_result": ".generation", "redo": ".generation",
    "repeat": ".generation", "Seen": ".generation",
    "Report": ".generation", "ClipSession": ".generation", "Options": ".generation",
    "Progress": ".generation", "Result": ".generation", "Soundtrack": ".generation",
    "Timing": ".timing.timing", "Envelope": ".features.envelope",
    "Cue": ".protocols.pipeline", "Pipeline": ".protocols.pipeline", "Guide": ".protocols.guide",
    "Step": ".protocols.guide",
    "Cancelled": ".errors", "ConditionError": ".errors", "MediaError": ".errors", "PostsyncError": ".errors",
    "WeightsError": ".errors",
    "Clip": ".protocols.clip", "Event": ".protocols.clip",
}
__all__ = ["SYSTEMS", "TRAINABLES", "Cancelled", "Clip", "ClipSession", "ConditionError", "Cue", "Envelope", "Event",
           "Guide", "MediaError", "Options", "Pipeline", "PostsyncError", "Progress", "Report", "Result", "Seen",
           "Soundtrack", "Step", "Timing", "WeightsError", "__version__", "caption", "create", "generate",
           "generate_all", "load", "look", "open_clip", "open_result", "redo", "repeat"]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        module, _, attribute = _PLACES[name].partition(":")
        return getattr(import_module(module, __name__), attribute or name)
    if name[:1].isupper() and name in (pipelines := _pipelines()):
        module, _, attribute = pipelines[name].partition(":")
        return getattr(import_module(module), attribute)
    raise AttributeError(f"module 'postsync' has no attribute '{name}'")


def _pipelines() -> dict[str, str]:
    """Class names of the pipelines of all systems that are available, such as FoleyGRAMPipeline -> "module:class"."""
    from .registry import SYSTEMS

    found: dict[str, str] = {}
    for system in SYSTEMS.values():
        if system.pipeline is not None:  # of two that are called alike the first counts
            found.setdefault(system.pipeline.split(":")[1], system.pipeline)
    return found


def __dir__() -> list[str]:
    return sorted({*__all__, *_pipelines()})
