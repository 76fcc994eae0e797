"""What the tests of `postsync generate` share."""

from __future__ import annotations

import pytest

from postsync import registry


@pytest.fixture
def tiny(pipe, monkeypatch):
    """The command loads the tiny pipeline, whatever system and preset are named."""
    def load_pipeline(system, preset, *, device, **_):
        registry.checked_device(device)
        return pipe

    monkeypatch.setattr("postsync.registry.load_pipeline", load_pipeline)
