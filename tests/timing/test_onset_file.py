import csv

import pytest
import torch

from postsync.errors import ConditionError, MediaError
from postsync.features.onsets import pick_onsets
from postsync.timing.onset_file import read_onsets, write_onsets
from postsync.timing.timing import ringing_envelope, strengths_in

TIMES = torch.tensor([0.5, 1.25, 2.0004], dtype=torch.float64)
STRENGTHS = torch.tensor([1.0, 0.5, 0.25])


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


def test_hits_ring_at_their_times_and_as_loud_as_asked():
    envelope = ringing_envelope(TIMES, STRENGTHS, 3.0)
    assert envelope.shape == (300,)
    assert torch.allclose(envelope[[50, 125]], torch.tensor([0.5, 0.25]), atol=1e-3)
    assert envelope[58] == pytest.approx(0.5 * 2.718281828**-1, rel=1e-3)  # 80 ms later
    assert not envelope[:49].any()
    assert torch.allclose(pick_onsets(envelope), TIMES, atol=0.03)
    assert torch.allclose(strengths_in(envelope, TIMES), STRENGTHS, atol=0.02)
    assert not ringing_envelope(TIMES, STRENGTHS, 0.3).any()


@pytest.mark.parametrize(("text", "word"), [
    ("", "no hit"), ("seconds,strength\n", "no hit"), ("0.5\n0.4\n", "row 2"), ("-0.1\n", "row 1"), ("nan\n", "row 1"),
    ("0.5,2\n", "outside"), ("0.5,-1\n", "outside"), ("0.5,loud\n", "row 1"), ("0.5,1,1\n", "row 1"),
])
def test_a_bad_row_is_named(tmp_path, text, word):
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
