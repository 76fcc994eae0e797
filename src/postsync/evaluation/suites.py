"""The suites: which metrics, with which networks and settings, under which protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import PostsyncError
from . import scene_measures as scene
from . import set_measures as sets
from .spec import ClipMetric, Metric, SetMetric, Suite

TOLERANCES_MS = (25, 50, 100)
WIDEST_S = TOLERANCES_MS[-1] / 1000
ONSETS = {"picker": "postsync.features.onsets, defaults", "events": "visible; a sound at an unseen one does not count"}
FULL_SCALE = {"level": "peak brought to 1"}


def frechet(name: str, network: str, key: str, **about: Any) -> SetMetric:
    """A Frechet distance of what `network` makes of the sound."""
    return SetMetric(name, False, networks=(network,), settings={"network": network, "key": key},
                     about={"ddof": 1, **about}, measure=sets.heard_rows, value=sets.frechet, note=sets.few_rows)


def onset_metrics() -> tuple[Metric, ...]:
    """Onsets of the sound against visible events."""
    values = {"precision": scene.precision, "recall": scene.recall, "F1": scene.f1}
    agreement = [ClipMetric(f"Onset-{name}@{ms}ms", True, settings={"tolerance_s": ms / 1000}, about=ONSETS,
                            measure=scene.onset_counts, value=value)
                 for ms in TOLERANCES_MS for name, value in values.items()]
    widest = {"tolerance_s": WIDEST_S}
    return (
        *agreement,
        ClipMetric("Onset-lag-ms", None, "ms, late is positive", settings=widest, about=ONSETS, measure=scene.lag_ms),
        ClipMetric("Onset-lag-abs-ms", False, "ms", settings=widest | {"absolute": True}, about=ONSETS,
                   measure=scene.lag_ms),
        ClipMetric("Missed-sounds@100ms", False, "a clip", settings=widest, about=ONSETS, measure=scene.missed),
        ClipMetric("Invented-sounds@100ms", False, "a clip", settings=widest, about=ONSETS, measure=scene.invented))


def scenes() -> Suite:
    """What no real data set can measure, because every onset is known. Needs nothing but the bundled networks."""
    return Suite("scenes", "procedural scenes: every onset is known; offline", (
        *onset_metrics(),
        ClipMetric("Envelope-r", True, about={"rate": 100, "truth": "foreground of the scene"},
                   measure=scene.envelope_r),
        ClipMetric("Envelope-lag-ms", None, "ms, late is positive", about={"rate": 100}, measure=scene.envelope_lag),
        ClipMetric("Envelope-error-dB", False, "dB", settings={"floor_db": -40.0}, about={"rate": 100},
                   measure=scene.envelope_error_db),
        ClipMetric("Loudness-error-LU", False, "LU", about={"silence": scene.QUIETEST_LUFS},
                   measure=scene.loudness_error),
        ClipMetric("Family-accuracy-SceneClassifier", True, networks=("scene_classifier",), about=FULL_SCALE,
                   measure=scene.family_hit),
        frechet("FAD-SceneClassifier", "scene_classifier", "features", **FULL_SCALE),
        ClipMetric("GRAM-TA", True, networks=("gram",), about=FULL_SCALE, measure=scene.gram_text_audio),
        ClipMetric("GRAM-AV", True, networks=("gram",), about=FULL_SCALE, pictures=True,
                   measure=scene.gram_audio_video),
        ClipMetric("GRAM-volume", False, networks=("gram",), about=FULL_SCALE, pictures=True,
                   measure=scene.gram_volume)), duration_s=30.0)


SUITES: dict[str, Callable[[], Suite]] = {"scenes": scenes}


def suite(name: str) -> Suite:
    """The suite `name`; raises PostsyncError naming those that exist."""
    if name not in SUITES:
        raise PostsyncError(f"no suite '{name}'; the suites are: {', '.join(SUITES)}.")
    return SUITES[name]()
