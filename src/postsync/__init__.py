"""postsync puts sound to silent video. Public names are imported when they are first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .data.clip import Clip, Event
    from .errors import Cancelled, ConditionError, MediaError, PostsyncError, WeightsError
    from .generation import Result, generate, load
    from .registry import SYSTEMS, TRAINABLES

__version__ = "0.1.0"
__all__ = ["SYSTEMS", "TRAINABLES", "Cancelled", "Clip", "ConditionError", "Event", "MediaError", "PostsyncError",
           "Result", "WeightsError", "__version__", "generate", "load"]

_PLACES = {  # public name -> the module it lives in
    "load": ".generation", "generate": ".generation", "Result": ".generation",
    "SYSTEMS": ".registry", "TRAINABLES": ".registry",
    "Cancelled": ".errors", "ConditionError": ".errors", "MediaError": ".errors", "PostsyncError": ".errors",
    "WeightsError": ".errors",
    "Clip": ".data.clip", "Event": ".data.clip",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'postsync' has no attribute '{name}'")
    return getattr(import_module(_PLACES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
