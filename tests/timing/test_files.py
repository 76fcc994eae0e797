"""Envelopes and onsets come back as they were written, and what is wrong in a file is named by its row."""

from __future__ import annotations

import csv

import pytest
import torch

from postsync.errors import ConditionError, MediaError
from postsync.timing.files import read_envelope, read_onsets, write_envelope, write_onsets

TIMES = torch.tensor([0.5, 1.25, 2.0004], dtype=torch.float64)
STRENGTHS = torch.tensor([1.0, 0.5, 0.25])


def test_an_envelope_comes_back_as_it_was_written(tmp_path):
    envelope = torch.rand(250, generator=torch.Generator().manual_seed(0))
    write_envelope(tmp_path / "e.csv", envelope)
    assert torch.allclose(read_envelope(tmp_path / "e.csv", 2.5), envelope, atol=1e-6)
    assert [p.name for p in tmp_path.iterdir()] == ["e.csv"]


def test_rows_at_any_rate_are_joined_by_lines_and_silence_lies_outside(tmp_path):
    path = tmp_path / "e.csv"
    path.write_text("seconds,value\n0.10,0\n0.20,1\n0.40,0.5\n")
    envelope = read_envelope(path, 0.6)
    assert envelope.shape == (60,)
    assert envelope[15] == pytest.approx(0.5)
    assert envelope[30] == pytest.approx(0.75)
    assert envelope[5] == 0
    assert envelope[50] == 0


@pytest.mark.parametrize(("text", "word"), [
    ("", "empty"), ("0,0.1\n0,0.2\n", "rise"), ("1,0.1\n0,0.1\n", "rise"), ("-1,0.1\n", "rise"),
    ("0,0.5\n1,-0.1\n", "outside"), ("0,nan\n", "row 1"), ("0,inf\n", "row 1"), ("0,0.1\n1,loud\n", "row 2"),
    ("0,0.1\n0.1,\n", "row 2"), ("0.5\n", "row 1"), ("nan,0.1\n", "row 1"), ("0,0.1,7\n", "row 1"),
])
def test_a_bad_row_of_an_envelope_is_named(tmp_path, text, word):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ConditionError, match=word):
        read_envelope(path, 1.0)


def test_a_missing_envelope_and_an_unwritable_folder_are_typed_errors(tmp_path):
    with pytest.raises(ConditionError, match=r"nothing\.csv"):
        read_envelope(tmp_path / "nothing.csv", 1.0)
    with pytest.raises(MediaError, match="does not exist"):
        write_envelope(tmp_path / "no" / "e.csv", torch.zeros(3))


def test_json_is_read_and_written_like_csv(tmp_path):
    envelope = torch.rand(50, generator=torch.Generator().manual_seed(1))
    write_envelope(tmp_path / "e.json", envelope)
    assert torch.allclose(read_envelope(tmp_path / "e.json", 0.5), envelope, atol=1e-6)
    (tmp_path / "o.json").write_text('[{"seconds": 0, "value": 0.5}, {"seconds": 0.2, "value": 0.5}]')
    assert torch.equal(read_envelope(tmp_path / "o.json", 0.1), torch.full((10,), 0.5))
    (tmp_path / "bad.json").write_text("[[0, NaN]]")
    with pytest.raises(ConditionError, match="row 1"):
        read_envelope(tmp_path / "bad.json", 0.1)


def test_a_shorter_envelope_ends_in_silence_and_a_longer_one_is_cut_with_a_warning(tmp_path, caplog):
    path = tmp_path / "e.csv"
    path.write_text("0,0.5\n1,0.5\n")
    longer = read_envelope(path, 1.5)
    assert longer[:101].min() == 0.5
    assert not longer[101:].any()
    assert caplog.text == ""
    assert read_envelope(path, 0.5).shape == (50,)
    assert "is cut" in caplog.text


@pytest.mark.parametrize("name", ["o.csv", "o.json"])
def test_hits_come_back_as_they_were_written(tmp_path, name):
    times, strengths = read_onsets(write_onsets(tmp_path / name, TIMES, STRENGTHS, 25))
    assert torch.allclose(times, TIMES, atol=1e-4)
    assert torch.allclose(strengths, STRENGTHS, atol=1e-3)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_audacity_labels_are_tab_separated_and_their_starts_are_read(tmp_path):
    path = write_onsets(tmp_path / "o.txt", TIMES, STRENGTHS, 25)
    with path.open(newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    assert rows[1] == ["1.250000", "1.250000", "hit 2 (0.50)"]
    assert torch.allclose(read_onsets(path)[0], TIMES, atol=1e-5)
    path.write_text("0.1\t0.3\tdoor\n\\\t100\t200\n0.7\t0.7\n")
    assert read_onsets(path)[0].tolist() == [0.1, 0.7]


def test_labels_may_hold_quotes(tmp_path):
    (tmp_path / "o.txt").write_text('0.1\t0.1\t"big\n0.2\t0.2\tsmall\n0.3\t0.3\t5" nail\n')
    assert read_onsets(tmp_path / "o.txt")[0].tolist() == [0.1, 0.2, 0.3]


@pytest.mark.parametrize("text", ["0,5;0,8\n1,25;1\n", "seconds;strength\n0,5;0,8\n1,25;1\n", "0.5,0.8,,\n1.25,1,,\n",
                                  "seconds,strength,\n0.5,0.8,\n1.25,1,\n", "0.5\t0.8\n1.25\t1\n"])
def test_hits_are_read_as_spreadsheets_write_them(tmp_path, text):
    (tmp_path / "o.csv").write_text(text)
    times, strengths = read_onsets(tmp_path / "o.csv")
    assert times.tolist() == [0.5, 1.25]
    assert strengths.tolist() == pytest.approx([0.8, 1.0])


@pytest.mark.parametrize("name", ["o.csv", "o.json", "o.txt"])
def test_another_encoding_is_named(tmp_path, name):
    (tmp_path / name).write_bytes("0.5\t0.5\tT\u00fcr".encode("cp1252"))
    with pytest.raises(ConditionError, match="1252"):
        read_onsets(tmp_path / name)
    (tmp_path / name).write_bytes("[0.5]".encode("utf-16"))
    with pytest.raises(ConditionError, match="UTF-16"):
        read_onsets(tmp_path / name)


@pytest.mark.parametrize(("fps", "codes"), [
    (25, ["01:00:00:12", "01:00:01:06", "01:00:02:00"]), (29.97, ["01:00:00:15", "01:00:01:07", "01:00:02:00"]),
    (23.976, ["01:00:00:12", "01:00:01:06", "01:00:02:00"]),
])
def test_an_edit_list_has_one_event_a_hit_in_frames(tmp_path, fps, codes):
    lines = write_onsets(tmp_path / "o.edl", TIMES, STRENGTHS, fps).read_text().splitlines()
    assert lines[:2] == ["TITLE: onsets", "FCM: NON-DROP FRAME"]
    events = [line.split() for line in lines if line[:3].isdigit()]
    assert [e[:4] for e in events] == [[f"{n:03d}", "001", "V", "C"] for n in (1, 2, 3)]
    assert [e[4] for e in events] == [e[6] for e in events] == codes
    assert [line.split()[2] for line in lines if line.startswith("* LOC:")] == codes
    assert sum("|M:hit" in line for line in lines) == 3


@pytest.mark.parametrize(("text", "word"), [
    ("", "no hit"), ("seconds,strength\n", "no hit"), ("0.5\n0.4\n", "row 2"), ("-0.1\n", "row 1"), ("nan\n", "row 1"),
    ("0.5,2\n", "outside"), ("0.5,-1\n", "outside"), ("0.5,loud\n", "row 1"), ("0.5,1,1\n", "row 1"),
])
def test_a_bad_row_of_onsets_is_named(tmp_path, text, word):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ConditionError, match=word):
        read_onsets(path)


@pytest.mark.parametrize("text", ["{", '{"a": 1}', "[3]", '[{"strength": 1}]', "[[true]]", '[["0.5", []]]'])
def test_json_that_is_no_list_of_hits_is_refused(tmp_path, text):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(ConditionError, match=r"bad\.json"):
        read_onsets(path)


def test_missing_files_and_unknown_suffixes_are_typed_errors(tmp_path):
    with pytest.raises(ConditionError, match=r"nothing\.csv"):
        read_onsets(tmp_path / "nothing.csv")
    with pytest.raises(ConditionError, match="not read"):
        read_onsets(tmp_path / "o.edl")
    with pytest.raises(MediaError, match=r"end the name in"):
        write_onsets(tmp_path / "o.doc", TIMES, STRENGTHS, 25)
    assert list(tmp_path.iterdir()) == []
