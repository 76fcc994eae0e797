"""Greatest Hits: events with unknown parts, lists of takes in several forms, windows with their own words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from postsync.data.importers import import_dataset
from postsync.data.importers.entries import ImportOptions
from postsync.data.importers.greatest_hits import captions_of, greatest_hits, read_times
from postsync.data.manifest import read_manifest
from postsync.errors import MediaError

A, B, C = "2015-02-16-16-49-06", "2015-09-23-16-13-51-97", "2015-03-01-10-00-00"


@pytest.fixture
def takes(tmp_path: Path) -> Path:
    folder = tmp_path / "vis-data"
    folder.mkdir()
    (folder / f"{A}_times.txt").write_text("0.1000 rock hit static\n0.7 None None None\n1.8 wood scratch\n"
                                           "2.5 rock hit\n")
    (folder / f"{B}_times.txt").write_text("0.3 None hit\n\n")
    (folder / f"{C}_times.txt").write_text("")
    (folder / "train.txt").write_text(f"{A}\n")
    (folder / "test.txt").write_text(f"{B}\n2015-01-01-01-01-01\n")
    return folder


def test_times_keep_every_event(takes: Path) -> None:
    events = list(read_times(takes / f"{A}_times.txt"))
    assert [(e["t"], e["end"], e["label"]) for e in events] == [
        (0.1, None, "rock hit"), (0.7, None, None), (1.8, None, "wood scratch"), (2.5, None, "rock hit")]
    assert events[0]["reaction"] == "static"
    (takes / "x_times.txt").write_text("0.1 a b c d\n")
    with pytest.raises(MediaError, match="line 1"):
        list(read_times(takes / "x_times.txt"))


def test_takes_and_their_splits(takes: Path, tmp_path: Path, put) -> None:
    put(f"{A}_denoised.mp4", 2.0)
    put(f"{A}_denoised_thumb.mp4")
    put(f"{B}_mic.mp4", sound=False)
    put(f"{B}_mic.wav")
    import_dataset("greatesthits-times", takes, tmp_path / "media", tmp_path / "out")
    rows = {row["source_id"]: row for row in read_manifest(tmp_path / "out")}
    assert {name: row["split"] for name, row in rows.items()} == {
        A: "train", B: "test", C: "unlisted", "2015-01-01-01-01-01": "test"}
    assert rows[A]["video_path"].endswith(f"{A}_denoised.mp4")
    assert rows[A]["label"] == "rock hit"
    assert rows[A]["flags"] == ["events_beyond"]
    assert len(rows[A]["events"]) == 4
    assert rows[B]["audio_path"].endswith(f"{B}_mic.wav")
    assert rows[C]["flags"] == ["missing", "unlisted"]
    assert rows["2015-01-01-01-01-01"]["flags"] == ["missing", "unannotated"]


def test_windows_have_their_own_events_and_words(takes: Path, tmp_path: Path, put) -> None:
    put(f"{A}_denoised.mp4", 2.0)
    import_dataset("greatesthits-times", takes, tmp_path / "media", tmp_path / "out", window_s=1.5)
    first, second = [row for row in read_manifest(tmp_path / "out") if row["source_id"] == A]
    assert (first["clip_id"], second["clip_id"]) == (f"greatesthits.{A}.0", f"greatesthits.{A}.1500")
    assert (first["start"], first["end"], second["start"]) == (0.0, 1.5, 1.5)
    assert [e["t"] for e in first["events"]] == [0.1, 0.7]
    assert [e["t"] for e in second["events"]] == [pytest.approx(0.3)]
    assert second["captions"] == ["A person scratch once on wood with a wooden stick."]
    assert second["duration"] == pytest.approx(0.5, abs=0.05)
    assert second["flags"] == []


def test_lists_of_other_works(takes: Path, tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "flist_train.txt").write_text(f'data/{A}_denoised_thumb-003.mp4,"A person, hitting"\n')
    (lists / "greatesthit_video_val.json").write_text(json.dumps([B, A]))
    entries = {e.source_id: e for e in greatest_hits(takes, ImportOptions(lists=lists))}
    assert (entries[A].split, entries[B].split, entries[C].split) == ("val", "val", "unlisted")
    assert "train and val" in entries[A].notes["repeated"]
    for file in lists.iterdir():
        file.unlink()
    with pytest.raises(MediaError, match="--lists"):
        list(greatest_hits(takes, ImportOptions(lists=lists)))
    assert {e.split for e in greatest_hits(takes, ImportOptions(lists=lists, split="test"))} == {"test"}


@pytest.mark.parametrize(("labels", "caption"), [
    ([], "A person hit once on something with a wooden stick."),
    (["rock hit", "wood hit", "rock hit"], "A person hit multiple times on rock and wood with a wooden stick."),
    (["plastic-bag scratch", "rock hit"],
     "A person scratch once on plastic-bag and hit once on rock with a wooden stick.")])
def test_captions_count_events(labels: list[str], caption: str) -> None:
    events = [{"t": 0.0, "end": None, "label": label} for label in labels]
    if not labels:
        assert captions_of([{"t": 0.0, "end": None, "label": None}]) == (caption,)
    assert captions_of(events) == (caption,)
