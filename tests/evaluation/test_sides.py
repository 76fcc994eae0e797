"""Which file stands for which clip."""

import pytest

from postsync.errors import MediaError
from postsync.evaluation.sides import read_side


def touch(folder, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(b"x")


def test_clip_ids_are_file_names_without_suffix_and_other_files_do_not_count(tmp_path):
    touch(tmp_path, "a.1.wav", "b.mp4", "notes.txt", ".hidden.wav", "b.mp4.json")
    side = read_side(tmp_path, "generated")
    assert list(side.clips) == ["a.1", "b"]
    assert side.clips["a.1"].picture is None
    assert side.clips["b"].picture == side.clips["b"].sound == tmp_path / "b.mp4"
    assert not side.problems


def test_results_count_under_the_name_of_their_clip_and_only_on_the_generated_side(tmp_path):
    touch(tmp_path, "a.mp4", "a.postsync.mp4", "a.postsync.mp4.flac", "c.postsync.wav")
    generated, reference = (read_side(tmp_path, side) for side in ("generated", "reference"))
    assert {name: files.file.name for name, files in generated.clips.items()} == {
        "a": "a.postsync.mp4", "c": "c.postsync.wav"}
    assert {name: files.file.name for name, files in reference.clips.items()} == {"a": "a.mp4"}
    assert not generated.problems


def test_files_in_subfolders_are_named_and_not_measured(tmp_path):
    for name in ("below", ".hidden"):
        (tmp_path / name).mkdir()
    touch(tmp_path, "a.wav", "below/b.wav", ".hidden/c.wav", "below/notes.txt")
    side = read_side(tmp_path, "generated")
    assert list(side.clips) == ["a"]
    assert [(p.clip_id, p.side) for p in side.problems] == [("below/b.wav", "generated")]
    assert "subfolder" in side.problems[0].reason
    (tmp_path / "a.wav").unlink()
    with pytest.raises(MediaError, match=r"only below it \(such as below/b\.wav\)"):
        read_side(tmp_path, "generated")


def test_a_link_that_leads_nowhere_is_a_clip_that_cannot_be_read(tmp_path):
    (tmp_path / "a.wav").symlink_to(tmp_path / "gone.wav")
    assert list(read_side(tmp_path, "reference").clips) == ["a"]


def test_accents_pair_however_they_are_composed(tmp_path):
    composed, taken_apart = "caf\u00e9", "cafe\u0301"
    touch(tmp_path, f"{taken_apart}.wav")
    assert list(read_side(tmp_path, "reference").clips) == [composed]


def test_two_files_of_one_name_are_named_and_neither_is_taken(tmp_path):
    touch(tmp_path, "a.wav", "a.flac", "b.wav")
    side = read_side(tmp_path, "generated")
    assert list(side.clips) == ["b"]
    (problem,) = side.problems
    assert (problem.clip_id, problem.side, problem.used) == ("a", "generated", False)
    assert "a.flac, a.wav" in problem.reason


def test_a_manifest_brings_captions_events_and_the_true_envelope(real):
    side = read_side(real, "reference")
    assert len(side.clips) == 6
    files = next(iter(side.clips.values()))
    assert files.label in ("metal_strike", "wood_strike", "drum_strike")
    assert files.captions
    assert files.events
    assert all(0 <= e.t < 2.0 for e in files.events)
    assert files.envelope is not None
    assert files.envelope.is_file()
    assert (files.start_s, files.end_s) == (0.0, 2.0)


def test_folders_without_clips_are_refused(tmp_path):
    with pytest.raises(MediaError, match="holds no sound or video"):
        read_side(tmp_path, "generated")
    with pytest.raises(MediaError, match="no such folder"):
        read_side(tmp_path / "absent", "generated")
