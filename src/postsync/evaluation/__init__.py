"""Evaluation of folders of generated clips against real ones, by the suites of the papers or that of the scenes.

Names are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .document import compare, describe, with_absolute_paths, write_json
    from .job import Run, Settings, run
    from .page import write_html, write_plots
    from .suites import suite

__all__ = ["SUITES", "Run", "Settings", "compare", "describe", "run", "suite", "with_absolute_paths", "write_html",
           "write_json", "write_plots"]

SUITES = {  # name -> "module:function"; strings only, so that listing the names imports nothing
    "scenes": "postsync.evaluation.suites:scenes", "heard": "postsync.evaluation.suites:heard",
    "vggsound": "postsync.evaluation.suites:vggsound",
    "av-benchmark": "postsync.evaluation.suites:av_benchmark",
    "greatest-hits": "postsync.evaluation.suites:greatest_hits",
    "sounding-video": "postsync.evaluation.suites:sounding_video",
    "vatt": "postsync.evaluation.suites:vatt", "mdg": "postsync.evaluation.suites:mdg",
}

_PLACES = {  # public name -> the module that defines it
    "compare": ".document", "describe": ".document", "with_absolute_paths": ".document", "write_json": ".document",
    "write_html": ".page", "write_plots": ".page",
    "Run": ".job", "Settings": ".job", "run": ".job", "suite": ".suites",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'postsync.evaluation' has no attribute '{name}'")
    return getattr(import_module(_PLACES[name], __name__), name)
