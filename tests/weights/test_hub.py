"""Weights from a hub: with the real client, against a small hub on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub_server import COMMIT, Hub, serving
from postsync.errors import WeightsError
from postsync.weights.hub import Download, fetch, fetched_folder, is_fetched, listing, wanted_files

LARGE, PIECE = bytes(range(256)) * 4000, 1 << 16
DOWNLOAD = Download("parts", "owner/name", ("config.json", "unet/*"), "a licence", "a test")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", PIECE)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)  # between two attempts
    files = {"config.json": b'{"a": 1}', "unet/model.safetensors": LARGE, "unet/model.bin": b"pickle", "other": b"x"}
    with serving(Hub(files, large=frozenset({"unet/model.safetensors"}))) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


def test_a_listing_says_what_would_be_fetched_and_fetches_nothing(hub: Hub) -> None:
    found = listing(DOWNLOAD)
    assert (found.commit, found.licence, found.size) == (COMMIT, "cc-by-nc-sa-4.0", 8 + len(LARGE))
    assert list(found.files) == ["config.json", "unet/model.safetensors"]  # not the pickle beside safetensors
    assert not [path for _, path, _ in hub.requests if "resolve" in path]


def test_files_are_fetched_verified_and_recorded(hub: Hub, tmp_path: Path) -> None:
    found, told = listing(DOWNLOAD), []
    folder = fetch(found, tmp_path / "parts", on_file=lambda path, size: told.append((path, size)))
    assert (folder / "unet" / "model.safetensors").read_bytes() == LARGE
    assert not (folder / "unet" / "model.bin").exists()
    assert not (folder / "other").exists()
    record = json.loads((folder / "provenance.json").read_text())
    assert record["commit"] == COMMIT
    assert record["licence"] == "cc-by-nc-sa-4.0"
    assert told == [("config.json", 8), ("unet/model.safetensors", len(LARGE))]
    assert is_fetched(folder, COMMIT)
    assert not is_fetched(folder, "f" * 40)
    asked = len(hub.requests)
    fetch(found, folder)
    assert len(hub.requests) == asked  # all is there, and verified without the hub


def test_a_cut_connection_is_taken_up_where_it_broke(hub: Hub, tmp_path: Path) -> None:
    hub.cuts["unet/model.safetensors"] = 2
    folder = fetch(listing(DOWNLOAD), tmp_path / "parts")
    assert (folder / "unet" / "model.safetensors").read_bytes() == LARGE
    first = len(LARGE) // 2 // PIECE * PIECE  # what came before the cut, in whole pieces
    second = first + (len(LARGE) - first) // 2 // PIECE * PIECE
    assert hub.ranges("unet/model.safetensors") == [None, f"bytes={first}-", f"bytes={second}-"]


def test_a_connection_that_stays_cut_is_taken_up_by_the_next_run(hub: Hub, tmp_path: Path) -> None:
    hub.cuts["unet/model.safetensors"] = 1000
    with pytest.raises(WeightsError, match="run the command again: it goes on where it stopped"):
        fetch(listing(DOWNLOAD), tmp_path / "parts")
    assert not is_fetched(tmp_path / "parts", COMMIT)
    hub.cuts.clear()
    hub.requests.clear()
    folder = fetch(listing(DOWNLOAD), tmp_path / "parts")
    assert (folder / "unet" / "model.safetensors").read_bytes() == LARGE
    (asked,) = hub.ranges("unet/model.safetensors")
    assert asked is not None
    assert int(asked.removeprefix("bytes=").rstrip("-")) >= len(LARGE) // 2 // PIECE * PIECE
    assert is_fetched(folder, COMMIT)


@pytest.mark.parametrize("path", ["config.json", "unet/model.safetensors"])
def test_a_file_unlike_the_hubs_is_refused_and_removed(hub: Hub, tmp_path: Path, path: str) -> None:
    hub.sent[path] = bytes(len(hub.files[path]))
    with pytest.raises(WeightsError, match="unlike the file on the hub; it was removed"):
        fetch(listing(DOWNLOAD), tmp_path / "parts")
    assert not (tmp_path / "parts" / path).exists()
    assert not is_fetched(tmp_path / "parts", COMMIT)


def test_a_file_that_was_changed_here_is_fetched_again(hub: Hub, tmp_path: Path) -> None:
    folder = fetch(listing(DOWNLOAD), tmp_path / "parts")
    (folder / "unet" / "model.safetensors").write_bytes(b"changed")
    fetch(listing(DOWNLOAD), folder)
    assert (folder / "unet" / "model.safetensors").read_bytes() == LARGE


def test_no_room_is_said_before_anything_is_fetched(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from postsync.weights import hub as module

    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1000})())
    with pytest.raises(WeightsError, match="GB are free; make room"):
        fetch(listing(DOWNLOAD), tmp_path / "parts")
    assert not [path for _, path, _ in hub.requests if "resolve" in path]


def test_what_the_hub_does_not_hold_or_give_is_named(hub: Hub) -> None:
    with pytest.raises(WeightsError, match="no revision 'older'"):
        listing(DOWNLOAD, "older")
    with pytest.raises(WeightsError, match=r"no such repository, or only for those with a token"):
        listing(Download("gone", "owner/gone", ("*",), "", ""))
    with pytest.raises(WeightsError, match="holds none of the files of else"):
        listing(Download("else", "owner/name", ("nothing/*",), "", ""))
    hub.gated = True
    with pytest.raises(WeightsError, match="accept it on the repository's page"):
        listing(DOWNLOAD)


def test_no_connection_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(WeightsError, match=r"could not be fetched .*; check connection"):
        listing(DOWNLOAD)


def test_pickles_are_taken_only_where_no_safetensors_lie_beside_them() -> None:
    paths = dict.fromkeys(["a/m.bin", "a/m.safetensors", "b/m.bin", "b/config.json", "c.txt"])
    assert wanted_files(paths, ("a/*", "b/*")) == ["a/m.safetensors", "b/config.json", "b/m.bin"]


def test_the_folder_is_in_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POSTSYNC_CACHE", str(tmp_path))
    assert fetched_folder("audioldm") == tmp_path / "hub" / "audioldm"
