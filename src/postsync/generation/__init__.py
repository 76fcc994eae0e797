"""The generation job: clip -> conditions -> pipeline -> soundtrack -> file. The command line and applications call
this.

Names are imported when they are first used, so that a mistake in the options is reported before torch is loaded.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..protocols.pipeline import Progress
    from .batch import Report, generate_all
    from .captioning import caption
    from .creation import create
    from .earlier import open_result, redo, repeat
    from .looking import Seen, look
    from .options import Options
    from .result import Result
    from .session import ClipSession, generate, open_clip
    from .sidecar import Sidecar
    from .soundtrack import Recipe, Soundtrack

__all__ = ["ClipSession", "Options", "Progress", "Recipe", "Report", "Result", "Seen", "Sidecar", "Soundtrack",
           "caption", "create", "generate", "generate_all", "look", "open_clip", "open_result", "redo", "repeat"]

_PLACES = {  # public name -> the module that defines it
    "Options": ".options", "Progress": "..protocols.pipeline", "Recipe": ".soundtrack", "Result": ".result",
    "Soundtrack": ".soundtrack", "Report": ".batch", "generate_all": ".batch", "open_result": ".earlier",
    "redo": ".earlier", "repeat": ".earlier", "look": ".looking", "Seen": ".looking", "caption": ".captioning",
    "create": ".creation", "ClipSession": ".session", "generate": ".session", "open_clip": ".session",
    "Sidecar": ".sidecar",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'postsync.generation' has no attribute '{name}'")
    return getattr(import_module(_PLACES[name], __name__), name)
