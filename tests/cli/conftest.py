"""What the tests of `postsync generate` share."""

from __future__ import annotations

import pytest


@pytest.fixture
def tiny(pipe, monkeypatch):
    """The command loads the tiny pipeline, whatever system and preset are named."""
    monkeypatch.setattr("postsync.registry.load_pipeline", lambda system, preset, **_: pipe)
