"""Clips for the tests of generation: a scene in which a hammer strikes metal, without sound."""

from __future__ import annotations

import pytest

from postsync.scenes.export import render_mp4
from postsync.scenes.render import clean_scenes, render_scene


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """0.8 s; not to be changed by a test."""
    path = tmp_path_factory.mktemp("clip") / "hammer.mp4"
    render_mp4(render_scene(3, clean_scenes(duration_s=0.8, families=("metal_strike",))), path, with_audio=False)
    return path
