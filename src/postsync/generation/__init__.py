"""The job: clip in -> conditions -> pipeline -> soundtrack -> file out. The command line and applications call this.

Names are imported when they are first used, so that a mistake in the options is told before torch is loaded.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .job import fresh_seed, generate
    from .loading import check_accepted, load
    from .options import Options
    from .result import Result
    from .sidecar import Sidecar
    from .timing_of_clip import motion_timing

__all__ = ["Options", "Result", "Sidecar", "check_accepted", "fresh_seed", "generate", "load", "motion_timing"]

_PLACES = {  # public name -> the module it lives in
    "motion_timing": ".timing_of_clip", "fresh_seed": ".job", "generate": ".job", "check_accepted": ".loading",
    "load": ".loading", "Options": ".options", "Result": ".result", "Sidecar": ".sidecar",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'postsync.generation' has no attribute '{name}'")
    return getattr(import_module(_PLACES[name], __name__), name)
