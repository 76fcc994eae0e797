"""Fixtures shared by the suite: the golden folder, seeds, and tiny media drawn for the tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def golden() -> Callable[[str], Path]:
    """`golden(name)` -> folder of official numbers; skips the test where it is absent."""
    root = Path(os.environ.get("POSTSYNC_GOLDEN", ROOT.parent / "shared" / "golden"))

    def folder(name: str) -> Path:
        if not (root / name).is_dir():
            pytest.skip(f"no golden numbers at {root / name}")
        return root / name

    return folder
