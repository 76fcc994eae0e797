"""`postsync data` and `postsync train --data`: the commands on small folders, their exit codes, what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

import postsync.cli.data
import postsync.training.loop  # noqa: F401  (slow: not within a test)
from postsync import cli
from postsync.data.manifest import read_manifest, write_manifest
from postsync.scenes.export import render_mp4
from postsync.scenes.render import clean_scenes, render_scene


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `postsync ARGUMENTS`."""
    with pytest.raises(SystemExit) as stop:
        cli.main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return int(stop.value.code or 0), said.out, said.err


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    for seed in range(3):
        scene = render_scene(seed, clean_scenes(duration_s=1.0, size=16, fps=8.0, families=("metal_strike",)))
        render_mp4(scene, folder / f"-bcdefghij{seed}_00000{seed}.mp4")
    return folder


@pytest.fixture
def imported(media: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    listed = tmp_path / "vggsound.csv"
    listed.write_text("".join(f'-bcdefghij{k},{k},"hammer, anvil",train\n' for k in range(4)))
    code, out, err = run(capsys, "data", "import", "vggsound-csv", listed, "--media", media, "--out",
                         tmp_path / "set", "--quiet")
    assert (code, err) == (0, "")
    assert "4 annotations, 4 rows, 3 usable" in out
    assert "1  missing: no media file was found" in out
    return tmp_path / "set"


def test_import_and_audit(imported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = read_manifest(imported)
    code, out, _ = run(capsys, "data", "audit", imported, "--correspondence", "gram", "--quiet")
    assert code == 0
    assert "4 clips, 3 usable, 0 fit for training" in out  # 1 s of 10 s
    assert "3  short" in out
    report = json.loads((imported / "audit.json").read_text())
    assert "bundled GRAM mini" in report["correspondence"]
    after = read_manifest(imported)
    assert [row["clip_id"] for row in after] == [row["clip_id"] for row in before]
    assert all(-1 <= row["stats"]["av_score"] <= 1 for row in after if row["duration"])
    code, _, err = run(capsys, "data", "audit", imported, "--strict", "--quiet")
    assert code == 2
    assert "4 of 4 clips are not fit for training" in err


def test_cache_says_what_was_made_and_what_failed(imported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ("data", "cache", imported, "--trainable", "vae", "--preset", "tiny", "--quiet")
    code, out, err = run(capsys, *command)
    assert (code, err) == (0, "skipped: 1 missing\n")
    assert "3 clips prepared, 0 already cached" in out
    entries = sorted((imported / "features" / "vae").iterdir())
    assert load_file(entries[0])["waveform"].shape == (65536,)
    rows = read_manifest(imported)
    write_manifest(imported, [*rows, {**rows[0], "clip_id": "z", "audio_path": "none.wav"}], {})
    code, out, err = run(capsys, *command)
    assert code == 2
    assert "0 clips prepared, 3 already cached" in out
    assert "1 of 4 clips failed" in err
    assert "none.wav" in err
    assert sorted((imported / "features" / "vae").iterdir()) == entries


def test_train_reads_the_cache(imported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ("train", "vae", "--preset", "tiny", "--data", imported, "--steps", "2", "--batch-size", "2", "--cpu",
               "--quiet", "--out")
    code, out, err = run(capsys, *command, tmp_path / "run")
    assert (code, err) == (0, "skipped: 1 missing\n")
    assert json.loads((Path(out.strip()) / "training.json").read_text())["steps"] == 2
    entries = sorted((imported / "features" / "vae").iterdir())
    assert len(entries) == 3
    changed = [entry.stat().st_mtime_ns for entry in entries]
    assert run(capsys, *command, tmp_path / "again", "--seed", "7")[0] == 0
    assert [entry.stat().st_mtime_ns for entry in entries] == changed
    assert len(list((tmp_path / "run" / "features").iterdir())) == 1  # stacked there, mapped into memory
    code, _, err = run(capsys, *command, tmp_path / "run", "--count", "5", "--clean")
    assert code == 2
    assert "--data and --count, --clean cannot be combined" in err


@pytest.mark.parametrize(("arguments", "message"), [
    (("import", "vggsound", "LIST"), "the formats are: vggsound-csv"),
    (("import", "vggsound-csv", "none.csv"), "no such file"),
    (("import", "vggsound-csv", "LIST", "--media", "none"), "--media"),
    (("import", "vggsound-csv", "LIST", "--split", "middle"), "no split is called 'middle'"),
    (("import", "vggsound-csv", "LIST", "--lists", "."), "greatesthits-times")])
def test_what_is_wrong_is_one_sentence(media: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                       arguments: tuple[str, ...], message: str) -> None:
    listed = tmp_path / "test.csv"
    listed.write_text("-bcdefghij0_000000.mp4,hammer\n")
    code, out, err = run(capsys, "data", *[str(listed) if a == "LIST" else a for a in arguments], "--out",
                         tmp_path / "set", "--quiet")
    assert (code, out) == (2, "")
    assert err.startswith("postsync: ")
    assert err.count("\n") == 1
    assert message in err
    assert not (tmp_path / "set").exists()


def test_a_split_without_clips_is_refused(imported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "data", "cache", imported, "--trainable", "vae", "--preset", "tiny", "--split", "val")
    assert code == 2
    assert "no clip of the val split" in err
