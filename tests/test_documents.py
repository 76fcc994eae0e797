"""What the documents show runs as it stands there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import postsync
from postsync.scenes.export import render_mp4
from postsync.scenes.render import clean_scenes, render_scene

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with `clip.mp4` in it."""
    render_mp4(render_scene(3, clean_scenes(duration_s=0.6, families=("metal_strike",))), tmp_path / "clip.mp4",
               with_audio=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_for_python_runs_from_top_to_bottom(folder: Path, pipe: object,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postsync, "load", lambda name, progress_bar: pipe, raising=False)
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "python.md").read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    for number, block in enumerate(blocks):
        exec(compile(block, f"python.md, block {number}", "exec"), names)
    assert len(blocks) >= 6
    assert {"out.mp4", "take7.mp4", "take8.mp4", "out2.mp4", "made"} <= {path.name for path in folder.iterdir()}
    shutil.rmtree(folder / "made")


def test_the_page_for_python_names_what_there_is() -> None:
    text = (DOCS / "python.md").read_text(encoding="utf-8")
    for name in re.findall(r"postsync\.([A-Za-z_]+)\b", text):
        assert hasattr(postsync, name), name
