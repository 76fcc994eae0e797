import pytest

from postsync.errors import ConditionError
from postsync.generation.cue_sheet import cues_within, read_cues


def test_a_sheet_is_read_in_order_of_time(tmp_path):
    path = tmp_path / "cues.csv"
    path.write_text('start,end,prompt\n2,4,"gravel, crunching"\n0,2.5,rain\n')
    assert read_cues(path) == ((0.0, 2.5, "rain"), (2.0, 4.0, "gravel, crunching"))


@pytest.mark.parametrize(("row", "word"), [
    ("2,1,rain", "ends after"), ("-1,1,rain", "ends after"), ("0,1", "row 1"), ("0,1,", "row 1"), ("a,1,rain", "'a'"),
    ("0,1,gravel, crunching", "quotes"), ("nan,1,rain", "row 1"), ("", "no cue"),
])
def test_a_bad_row_is_named(tmp_path, row, word):
    path = tmp_path / "cues.csv"
    path.write_text(row + "\n")
    with pytest.raises(ConditionError, match=word):
        read_cues(path)


def test_a_part_has_its_own_cues_and_the_prompt_speaks_in_the_gaps():
    cues = ((1.0, 2.0, "rain"), (3.0, 6.0, "hail"))
    assert cues_within(cues, None, 0.0, 4.0) == [(1.0, 2.0, "rain"), (3.0, 4.0, "hail")]
    assert cues_within(cues, "wind", 1.5, 4.0) == [(0.0, 0.5, "rain"), (0.5, 1.5, "wind"), (1.5, 2.5, "hail")]
    assert cues_within(cues, "wind", 6.0, 7.0) == [(0.0, 1.0, "wind")]
    assert cues_within((), "wind", 0.0, 4.0) == []
