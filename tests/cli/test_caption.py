"""`postsync caption` as a user calls it: a clip, a folder, a manifest that the captions' suite measures, bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command_line import run
from postsync import registry
from postsync.data.manifest import read_manifest
from postsync.errors import ConditionError, MediaError, WeightsError
from postsync.generation.captioning import caption, captioning
from postsync.scenes.captions import family_of


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips that were not trained on, with their manifest."""
    folder = tmp_path_factory.mktemp("scenes")
    assert run("scenes", "export", str(folder), "--count", "2", "--seed", "60000") == 0
    return folder


def test_a_clip_is_captioned_in_a_line(scenes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = read_manifest(scenes)[0]
    clip = scenes / row["video_path"]
    assert run("caption", str(clip)) == 0
    said = capsys.readouterr().out.strip()
    assert len(said.splitlines()) == 1
    assert said == caption(clip)
    assert family_of(said) is not None  # names something that sounds
    assert run("caption", str(clip), "--instruction", "Say what this video sounds like.") == 0


def test_a_folder_becomes_a_manifest_that_the_suite_of_captions_measures(
        scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    media = (scenes / read_manifest(scenes)[0]["video_path"]).parent
    assert run("caption", str(media), "--json", "--out", str(tmp_path / "said")) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    rows = read_manifest(tmp_path / "said")
    assert [row["captions"] for row in rows] == [row["captions"] for row in shown]
    assert {row["clip_id"] for row in rows} == {row["clip_id"] for row in read_manifest(scenes)}
    assert all(Path(row["video_path"]).is_file() and row["caption_source"] == "vatt" for row in rows)
    assert run("evaluate", str(tmp_path / "said"), "--reference", str(scenes), "--suite", "vatt", "--quiet",
               "--json", str(tmp_path / "table.json")) == 0
    figures = json.loads((tmp_path / "table.json").read_text())
    assert "ROUGE-L" in json.dumps(figures)
    assert run("caption", str(media), "--out", str(tmp_path / "said")) == 2
    assert "add --force" in capsys.readouterr().err


def test_one_bad_clip_does_not_stop_the_rest(scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = scenes / read_manifest(scenes)[0]["video_path"]
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    assert run("caption", str(good), str(tmp_path / "bad.mp4")) == 2
    out, err = capsys.readouterr()
    assert out.startswith(str(good))
    assert "1 of 2 clips failed" in err
    assert "bad.mp4" in err
    assert run("caption", str(tmp_path / "none.mp4")) == 2
    with pytest.raises(MediaError, match=r"bad\.mp4"):
        caption(tmp_path / "bad.mp4")


def test_what_writes_no_captions_says_who_does(tmp_path: Path) -> None:
    assert registry.captioning_systems() == ("vatt",)
    with pytest.raises(ConditionError, match="foleygram writes no captions; these do: vatt"):
        captioning(registry.load_pipeline("foleygram", progress_bar=False))
    with pytest.raises(WeightsError, match=r"holds no language model"):
        registry.load_pipeline("vatt", parts={"converter": tmp_path}, progress_bar=False)
