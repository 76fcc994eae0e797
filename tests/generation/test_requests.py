from pathlib import Path

import pytest

from postsync.errors import ConditionError, MediaError
from postsync.generation.options import Options
from postsync.generation.outputs import Outputs, make_folder
from postsync.generation.requests import cues_within, read_all_requests, read_cues, read_requests


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(b"x")


def test_a_folder_gives_its_clips_and_no_earlier_result(tmp_path):
    touch(tmp_path, "b.mov", "a.mp4", "a.avi", "a.postsync.mp4", "a.postsync.2.mp4", "notes.txt", ".c.part.mp4",
          "d.M2TS")
    requests = read_requests(tmp_path, Options())
    assert [(r.video.name, r.label) for r in requests] == [
        ("a.avi", "avi"), ("a.mp4", "mp4"), ("b.mov", ""), ("d.M2TS", "")]
    names = [plan.target.name for plan in Outputs().plan(requests, 1, batch=True)]
    assert names == ["a.postsync.avi.mp4", "a.postsync.mp4.mp4", "b.postsync.mov", "d.postsync.mkv"]


def test_a_table_gives_its_rows_and_empty_cells_leave_the_shared_options(tmp_path):
    table = tmp_path / "list.csv"
    table.write_text('\ufeffvideo,prompt,seed,start,end\n'
                     'a.mp4,"rain, heavy",5,1,2.5\n\n# a remark\nsub/b.mp4,,,,\na.mp4,hail,,,3\n', encoding="utf-8")
    first, second, third = read_requests(table, Options(prompt="wind", seed=9, start_s=0.5))
    assert (first.video, first.options.prompt, first.options.seed) == (tmp_path / "a.mp4", "rain, heavy", 5)
    assert (first.options.start_s, first.options.duration_s) == (1.0, 1.5)
    assert second.options == Options(prompt="wind", seed=9, start_s=0.5)
    assert (third.options.start_s, third.options.duration_s) == (0.5, 2.5)
    assert [first.label, second.label, third.label] == ["row1", "", "row3"]


@pytest.mark.parametrize(("row", "word"), [
    (",rain,1", "row 2"), ("a.mp4,rain,many", "row 2.*many"), ("a.mp4,rain,1.5", "whole number"),
    ("a.mp4,rain,-7", "row 2.*seed is -7"), ("a.mp4,rain,1,2", "quotes"),
])
def test_a_bad_row_is_a_request_with_an_error_and_stops_no_other(tmp_path, row, word):
    table = tmp_path / "list.csv"
    table.write_text(f"video,prompt,seed\n{row}\nb.mp4,rain,1\n")
    bad, good = read_requests(table, Options())
    assert isinstance(bad.error, ConditionError)
    with pytest.raises(ConditionError, match=word):
        raise bad.error
    assert good.error is None


@pytest.mark.parametrize("text", ["", "a.mp4,rain\n", "video,prompt\n", "video,,prompt\na,b,c\n",
                                  "video,video\na,b\n"])
def test_a_table_without_its_columns_is_refused(tmp_path, text):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(ConditionError, match=r"list\.csv"):
        read_requests(tmp_path / "list.csv", Options())


@pytest.mark.parametrize("text", [
    "video,prompt,,\na.mp4,hammer,,\nb.mp4,rain,,\n", "video;prompt\r\na.mp4;hammer\r\nb.mp4;rain\r\n",
    "file,caption\na.mp4,hammer\nb.mp4,rain\n", "File;Caption;;\na.mp4;hammer;;\nb.mp4;rain;;\n",
    "sep=;\nvideo;prompt\na.mp4;hammer\nb.mp4;rain\n", "video\tprompt\na.mp4\thammer\nb.mp4\train\n",
    'video, prompt\na.mp4, "hammer"\nb.mp4, rain\n', "video,prompt\ra.mp4,hammer\rb.mp4,rain\r",
])
def test_tables_are_read_as_spreadsheets_and_data_sets_write_them(tmp_path, text):
    (tmp_path / "list.csv").write_text(text, newline="")
    requests = read_requests(tmp_path / "list.csv", Options())
    assert [(r.video.name, r.options.prompt) for r in requests] == [("a.mp4", "hammer"), ("b.mp4", "rain")]
    assert not any(r.error for r in requests)


@pytest.mark.parametrize("rows", ['a.mp4,"hammer\nb.mp4,bell\n', 'a.mp4,"hammer\nb.mp4,"bell\n', 'a.mp4,"ham"mer\n'])
def test_an_open_quote_is_an_error_that_names_its_row(tmp_path, rows):
    (tmp_path / "list.csv").write_text(f"video,prompt\n{rows}")
    with pytest.raises(ConditionError, match=r"list\.csv, row 2: a quote"):
        read_requests(tmp_path / "list.csv", Options())


def test_a_prompt_may_have_several_lines_in_quotes_and_later_rows_keep_their_numbers(tmp_path):
    (tmp_path / "list.csv").write_text('video,prompt,seed\na.mp4,"hammer\non metal",1\nb.mp4,bell,x\n')
    first, second = read_requests(tmp_path / "list.csv", Options())
    assert first.options.prompt == "hammer\non metal"
    assert "row 4" in str(second.error)


@pytest.mark.parametrize(("data", "word"), [
    ("video,prompt\na.mp4,T\u00fcr\n".encode("cp1252"), "row 2.*1252.*T\u00fcr"),
    ("video,prompt\na.mp4,T\u00fcr\n".encode("utf-16"), "UTF-16"),
    ("video,prompt\na.mp4,hammer\n".encode("utf-16-le"), "UTF-16"),
])
def test_other_encodings_are_named(tmp_path, data, word):
    (tmp_path / "list.csv").write_bytes(data)
    with pytest.raises(ConditionError, match=word):
        read_requests(tmp_path / "list.csv", Options())


def test_several_sources_are_one_run_and_one_bad_stops_no_other(tmp_path):
    for folder in ("x", "y", "empty"):
        (tmp_path / folder).mkdir()
    touch(tmp_path, "a.mp4", "b.mov", "x/a.mp4", "y/c.mp4", "y/c.mkv")
    (tmp_path / "list.csv").write_text("video,prompt\nb.mov,rain\n")
    sources = [tmp_path / name for name in ("a.mp4", "x/a.mp4", "y", "empty", "list.csv", "a.mp4")]
    requests = read_all_requests(sources, Options(prompt="wind"))
    assert [(str(r.video.relative_to(tmp_path)), r.label) for r in requests] == [
        ("a.mp4", "1"), ("x/a.mp4", "2"), ("y/c.mkv", "mkv.3"), ("y/c.mp4", "mp4.4"), ("empty", ""), ("b.mov", "")]
    assert [r.error is None for r in requests] == [True, True, True, True, False, True]
    assert requests[-1].options.prompt == "rain"
    targets = [plan.target for plan in Outputs(output=tmp_path / "out").plan(requests, 1, batch=True)]
    assert len(set(targets)) == len(targets)


def test_a_folder_without_clips_is_named(tmp_path):
    with pytest.raises(MediaError, match="no video"):
        read_requests(tmp_path, Options())


def test_names_of_takes_files_and_extras(tmp_path):
    touch(tmp_path, "door.mp4", "car.mkv")
    outputs = Outputs(wav=Path("w.wav"), save_onsets=Path("hits.edl"))
    one = read_requests(tmp_path / "door.mp4", Options())
    plan = outputs.plan(one, 2, batch=False)
    assert [p.target.name for p in plan] == ["door.postsync.1.mp4", "door.postsync.2.mp4"]
    assert outputs.extras(plan[1].mark) == {"wav": Path("w.2.wav"), "onsets": Path("hits.2.edl")}
    plan = outputs.plan(read_requests(tmp_path, Options()), 2, batch=True)
    assert plan[0].target == tmp_path / "car.postsync.1.mkv"
    assert outputs.extras(plan[0].mark)["wav"] == Path("w.car.1.wav")
    assert Outputs(output=tmp_path / "x.mov").plan(one, 1, batch=False)[0].target == tmp_path / "x.mov"
    assert Outputs(output=tmp_path).plan(one, 1, batch=False)[0].target == tmp_path / "door.postsync.mp4"
    with pytest.raises(MediaError, match="name a folder"):
        Outputs(output=tmp_path / "car.mkv").plan(one, 2, batch=False)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    touch(tmp_path, "file")
    with pytest.raises(MediaError, match="could not be created"):
        make_folder(tmp_path / "file" / "b")


def test_no_file_is_to_hold_two_things(tmp_path):
    target = tmp_path / "a.wav"
    with pytest.raises(MediaError, match="two outputs"):
        Outputs(wav=target).check(target, "", (), None, Options())
    touch(tmp_path, "e.csv")
    with pytest.raises(MediaError, match="input itself"):
        Outputs(save_envelope=tmp_path / "e.csv").check(target, "", (tmp_path / "e.csv",), None, Options())
    with pytest.raises(MediaError, match=r"\.edl"):
        Outputs(save_onsets=tmp_path / "hits.doc").check(target, "", (), None, Options())


def test_a_sheet_is_read_in_order_of_time(tmp_path):
    path = tmp_path / "cues.csv"
    path.write_text('start,end,prompt\n2,4,"gravel, crunching"\n0,2.5,rain\n')
    assert read_cues(path) == ((0.0, 2.5, "rain"), (2.0, 4.0, "gravel, crunching"))


def test_a_semicolon_in_a_prompt_separates_no_columns(tmp_path):
    (tmp_path / "cues.csv").write_text("0,2.5,rain; heavy\n")
    assert read_cues(tmp_path / "cues.csv") == ((0.0, 2.5, "rain; heavy"),)
    (tmp_path / "cues.csv").write_text("0;2,5;rain, heavy\n")
    assert read_cues(tmp_path / "cues.csv") == ((0.0, 2.5, "rain, heavy"),)


@pytest.mark.parametrize(("row", "word"), [
    ("2,1,rain", "ends after"), ("-1,1,rain", "ends after"), ("0,1", "row 1"), ("0,1,", "row 1"), ("a,1,rain", "'a'"),
    ("0,1,gravel, crunching", "quotes"), ("nan,1,rain", "row 1"), ("", "no cue"),
])
def test_a_bad_row_of_a_cue_sheet_is_named(tmp_path, row, word):
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
