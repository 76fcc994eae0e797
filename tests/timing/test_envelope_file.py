import pytest
import torch

from postsync.errors import ConditionError, MediaError
from postsync.timing.envelope_file import read_envelope, write_envelope


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
def test_a_bad_row_is_named(tmp_path, text, word):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ConditionError, match=word):
        read_envelope(path, 1.0)


def test_a_missing_file_and_an_unwritable_folder_are_typed_errors(tmp_path):
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
