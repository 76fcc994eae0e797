"""Names, rows and splits as the official lists write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from postsync.data.importers.entries import Entry, ImportOptions, merged, named_rows, split_of_file, table
from postsync.data.importers.youtube import clip_names, parse_clip_name
from postsync.errors import MediaError


@pytest.mark.parametrize("source_id", ["zxpo56cpUBU", "-bcdefghijk", "a_b_c_d_e_f", "12345678901", "Yabcdefghij"])
@pytest.mark.parametrize("start_s", [0.0, 7.0, 130.0])
def test_every_clip_name_is_read_back(source_id: str, start_s: float) -> None:
    names = clip_names(source_id, start_s, start_s + 10)
    assert f"{source_id}_{int(start_s):06d}" in names
    assert f"{source_id}_{int(start_s) * 1000}_{int(start_s + 10) * 1000}" in names
    for name in names:
        assert parse_clip_name(name + ".mp4", "here") == (source_id, start_s, start_s + 10)
        assert parse_clip_name(name, "here") == (source_id, start_s, start_s + 10)


@pytest.mark.parametrize("name", ["zxpo56cpUBU", "short_000007", "zxpo56cpUBU_9000_2000", "zxpo56cpUBU_x"])
def test_other_names_are_refused_with_their_place(name: str) -> None:
    with pytest.raises(MediaError, match=r"list\.csv, line 3.*not a clip name"):
        parse_clip_name(name, "list.csv, line 3")


def test_rows_with_quotes_comments_and_blanks(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('# one\n# two\n\n-bc, 1.0, "a, b"\n', encoding="utf-8-sig")
    assert list(table(path, "rows")) == [(f"{path}, line 4", ["-bc", "1.0", "a, b"])]


def test_columns_are_asked_for_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("name,caption,more\nx,y\n")
    with pytest.raises(MediaError, match="line 2: 2 cells, but 3 columns"):
        list(named_rows(path, ("name",)))
    with pytest.raises(MediaError, match="title missing"):
        list(named_rows(path, ("name", "title")))
    with pytest.raises(MediaError, match="cannot read"):
        list(named_rows(tmp_path / "b.csv", ("name",)))


@pytest.mark.parametrize(("name", "split"), [
    ("vgg-test.tsv", "test"), ("vggsound_test.txt", "test"), ("balanced_train_segments.csv", "train"),
    ("eval_segments.csv", "test"), ("val.csv", "val"), ("valid.txt", "val")])
def test_a_list_names_its_split(name: str, split: str) -> None:
    assert split_of_file(Path(name), ImportOptions()) == split
    assert split_of_file(Path(name), ImportOptions(split="training")) == "train"


@pytest.mark.parametrize("name", ["latest.csv", "list.csv", "restrain.txt"])
def test_a_list_that_does_not_must_be_told(name: str) -> None:
    with pytest.raises(MediaError, match="--split"):
        split_of_file(Path(name), ImportOptions())


def test_one_clip_is_one_entry_in_the_stricter_split() -> None:
    first = Entry("set", "a", "test", captions=("one",), labels=("x",))
    entries = merged([first, Entry("set", "a", "train", captions=("two", "one")), Entry("set", "b", "train")])
    assert [(e.source_id, e.split, e.captions) for e in entries] == [("a", "test", ("one", "two")), ("b", "train", ())]
    assert "train and test" in entries[0].notes["repeated"]


def test_names_that_look_alike_keep_apart() -> None:
    names = {Entry("set", name, "test").clip_id for name in ("a b", "a_b", "a:b")}
    assert len(names) == 3
    assert "set.a_b.0" in names
