"""Training recipe of the classifier used in evaluation."""

from __future__ import annotations

from .scene_classifier import SceneClassifierObjective


def scene_classifier(preset: str) -> SceneClassifierObjective:
    """The classifier of scene sounds; it has one size."""
    return SceneClassifierObjective()
