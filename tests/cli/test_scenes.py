"""`postsync scenes` writes what it says."""

import pytest
from typer.testing import CliRunner

from postsync.cli.scenes import app
from postsync.data.manifest import read_manifest
from postsync.errors import ConditionError
from postsync.media.video import probe

QUICK = ["--duration", "1", "--size", "16", "--fps", "10", "--clean"]


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_render_writes_a_scene_with_or_without_sound(tmp_path) -> None:
    said = run("render", "7", "--out", str(tmp_path / "a.mp4"), "--family", "bell", *QUICK)
    assert "(bell)" in said
    assert "onsets at" in said
    run("render", "7", "--out", str(tmp_path / "b.mp4"), "--family", "bell", "--silent", *QUICK)
    assert probe(tmp_path / "a.mp4").has_audio
    info = probe(tmp_path / "b.mp4")
    assert not info.has_audio
    assert (info.num_frames, info.width) == (10, 16)


def test_export_writes_count_clips_from_the_seed(tmp_path) -> None:
    run("export", str(tmp_path / "set"), "--count", "2", "--seed", "5", *QUICK)
    assert [row["source_id"] for row in read_manifest(tmp_path / "set")] == ["5", "6"]


def test_preview_writes_a_picture(tmp_path) -> None:
    run("preview", "--out", str(tmp_path / "sheet.png"), "--count", "1", *QUICK)
    assert (tmp_path / "sheet.png").read_bytes()[:4] == b"\x89PNG"


def test_unknown_families_are_named(tmp_path) -> None:
    with pytest.raises(ConditionError, match="trumpet"):
        run("render", "1", "--out", str(tmp_path / "a.mp4"), "--family", "trumpet")
    assert not list(tmp_path.iterdir())
