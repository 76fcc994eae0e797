"""Fixtures shared by the suite: the golden folder, seeds, and tiny media drawn for the tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the suite is collected by path, and the plugin below lies beside
pytest_plugins = ["tiny_pipeline"]

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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many golden tests ran and how many were skipped: a suite without them proves less."""
    counts = {outcome: sum("golden" in report.keywords for report in terminalreporter.getreports(outcome)
                           if isinstance(report, pytest.TestReport) and (report.when == "call" or outcome != "passed"))
              for outcome in ("passed", "failed", "error", "skipped")}
    if any(counts.values()):
        ran = counts["passed"] + counts["failed"] + counts["error"]
        terminalreporter.write_line(f"golden tests: {ran} ran, {counts['skipped']} skipped")
