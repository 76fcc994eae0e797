"""`postsync generate` as a user calls it: what it writes, what it refuses, and what it leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from postsync import cli
from postsync.media.audio import write_wav
from postsync.scenes.export import render_mp4
from postsync.scenes.render import clean_scenes, render_scene

pytestmark = pytest.mark.usefixtures("tiny")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "hammer.mp4"
    render_mp4(render_scene(3, clean_scenes(duration_s=0.6, families=("metal_strike",))), path, with_audio=False)
    return path


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["generate", *map(str, arguments)])
    return int(stopped.value.code or 0)


def test_it_writes_what_was_asked_for_and_says_so(clip, tmp_path, capsys):
    code = run(clip, "--prompt", "hammer", "--seed", 4, "--wav", tmp_path / "a.wav", "--save-envelope",
               tmp_path / "e.csv", "--steps", 2)
    said = capsys.readouterr().out
    assert code == 0
    assert "seed 4" in said
    for name in ("hammer.postsync.mp4", "a.wav", "e.csv"):
        assert (tmp_path / name).is_file()
        assert name in said


def test_a_drawn_seed_is_printed_and_repeats_the_run(clip, tmp_path, capsys):
    assert run(clip, "--prompt", "hammer", "--output", tmp_path / "one.wav") == 0
    seed = capsys.readouterr().out.split("seed ")[1].split()[0]
    assert run(clip, "--prompt", "hammer", "--output", tmp_path / "two.wav", "--seed", seed, "--quiet") == 0
    assert capsys.readouterr().out == ""
    assert (tmp_path / "one.wav").read_bytes() == (tmp_path / "two.wav").read_bytes()


def test_a_second_run_keeps_the_first_result_and_gets_a_number(clip, tmp_path, capfd):
    hits = tmp_path / "hits.csv"
    assert run(clip, "--prompt", "hammer", "--seed", 1, "--save-onsets", hits) == 0
    hits.write_text("edited by hand")
    before = contents(tmp_path)
    assert run(clip, "--prompt", "hammer", "--seed", 2, "--save-onsets", hits) == 0
    said = capfd.readouterr()
    assert "hammer.postsync.run2.mp4" in said.out
    assert "hammer.postsync.mp4 exists and is kept" in said.err
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before
    assert {Path(name).name for name in after.keys() - before.keys()} == {
        "hammer.postsync.run2.mp4", "hammer.postsync.run2.mp4.json", "hammer.postsync.run2.mp4.flac", "hits.run2.csv"}
    assert run(clip, "--prompt", "hammer", "--seed", 2, "--output", tmp_path / "hammer.postsync.run2.mp4") == 0
    assert (tmp_path / "hammer.postsync.run3.mp4").exists()
    assert run(tmp_path / "hammer.postsync.mp4", "--redo", 0.1, 0.4, "--output", tmp_path / "hammer.postsync.mp4",
               "--quiet") == 2  # the earlier result is an input there
    (tmp_path / "hammer.postsync.mp4").unlink()  # what is left of a result is kept as well
    assert run(clip, "--prompt", "hammer", "--seed", 2, "--quiet") == 0
    assert (tmp_path / "hammer.postsync.run4.mp4").exists()


def test_several_clips_get_sound_at_the_loudness_asked_for(clip, tmp_path, capfd):
    other = tmp_path / "other.mp4"
    other.write_bytes(clip.read_bytes())
    assert run(clip, other, tmp_path / "none.mp4", "--prompt", "hammer", "--seed", 1, "--lufs", -30) == 2
    said = capfd.readouterr()
    assert "1 of 3 clips failed" in said.err
    for name in ("hammer", "other"):
        assert f"{name}.postsync.mp4" in said.out
        data = json.loads((tmp_path / f"{name}.postsync.mp4.json").read_text())
        assert data["options"]["target_lufs"] == -30
    louder = json.loads((tmp_path / "hammer.postsync.mp4.json").read_text())["gain_db"]
    assert run(clip, "--prompt", "hammer", "--seed", 1, "--lufs", -36, "-o", tmp_path / "q.wav", "--quiet") == 0
    assert json.loads((tmp_path / "q.wav.json").read_text())["gain_db"] == pytest.approx(louder - 6, abs=0.1)
    assert run(clip, other, "--redo", 0.1, 0.3) == 2
    assert "one clip or result at a time" in capfd.readouterr().err
    assert run(clip, "--lufs", 3, "--prompt", "hammer") == 2


def test_force_overwrites(clip, tmp_path):
    assert run(clip, "--prompt", "hammer", "--seed", 1, "--quiet") == 0
    before = contents(tmp_path)
    assert run(clip, "--prompt", "hammer", "--seed", 2, "--quiet", "--force") == 0
    after = contents(tmp_path)
    assert before.keys() == after.keys()
    assert before[str(tmp_path / "hammer.postsync.mp4.flac")] != after[str(tmp_path / "hammer.postsync.mp4.flac")]


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(p): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def bad_inputs(clip: Path, folder: Path) -> dict[str, tuple[list[object], str]]:
    sound, empty = folder / "sound.wav", folder / "none"
    empty.mkdir()
    write_wav(sound, np.zeros((1, 4800), np.float32), 48000)
    return {
        "missing": ([folder / "no.mp4"], "no.mp4"),
        "empty": ([write(folder / "empty.mp4", b"")], "empty.mp4"),
        "truncated": ([write(folder / "cut.mp4", clip.read_bytes()[:900])], "cut.mp4"),
        "not a video": ([write(folder / "text.mp4", b"hello" * 99)], "text.mp4"),
        "audio only": ([sound], "sound.wav"),
        "a folder without clips": ([empty], str(empty)),
        "no such output folder": ([clip, "--output", folder / "no" / "out.mp4"], "does not exist"),
        "output is the input": ([clip, "--output", clip], "input itself"),
        "unknown container": ([clip, "--output", folder / "out.xyz"], "out.xyz"),
        "bad envelope": ([clip, "--envelope", write(folder / "e.csv", b"0,2\n")], "e.csv"),
        "no reference": ([clip, "--reference", folder / "no.wav"], "no.wav"),
        "no such device": ([clip, "--device", "abacus"], "abacus"),
        "no such dtype": ([clip, "--dtype", "int3"], "int3"),
    }


CASES = ("missing", "empty", "truncated", "not a video", "audio only", "a folder without clips",
         "no such output folder",
         "output is the input", "unknown container", "bad envelope", "no reference", "no such device", "no such dtype")


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_line_exit_2_and_leaves_nothing(clip, tmp_path, capsys, case):
    arguments, word = bad_inputs(clip, tmp_path)[case]
    before = contents(tmp_path)
    assert run(*arguments, "--prompt", "hammer", "--quiet") == 2
    said = capsys.readouterr().err
    assert said.startswith("postsync: ")
    assert said.count("\n") == 1
    assert word in said
    assert contents(tmp_path) == before


def test_ctrl_c_while_denoising_is_130_and_leaves_nothing(clip, tmp_path, monkeypatch, pipe):
    def interrupted(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(pipe), "_predict", interrupted)
    before = sorted(tmp_path.iterdir())
    assert run(clip, "--prompt", "hammer", "--quiet") == 130
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
def test_pcm_sound_is_the_lossless_copy_itself(clip, tmp_path, suffix):
    target = tmp_path / f"out{suffix}"
    assert run(clip, "--prompt", "hammer", "--seed", 1, "--audio-codec", "pcm", "--output", target) == 0
    kept, _ = soundfile.read(f"{target}.flac", dtype="int32")
    with av.open(str(target)) as made:
        assert made.streams.audio[0].codec_context.name == "pcm_s24le"
        found = np.concatenate([frame.to_ndarray().ravel() for frame in made.decode(audio=0)])
    assert np.array_equal(found, kept)


def test_a_codec_that_the_container_cannot_hold_is_refused_before_the_work(clip, tmp_path, capfd):
    for suffix, codec, advice in ((".mp4", "pcm", "write .mov or .mkv"), (".webm", "aac", "use opus"),
                                  (".mov", "opus", "use aac or pcm")):
        assert run(clip, "--prompt", "hammer", "--audio-codec", codec, "--output", tmp_path / f"o{suffix}") == 2
        assert advice in capfd.readouterr().err
    assert run(clip, "--audio-codec", "mp3") == 2
    assert not list(tmp_path.glob("o.*"))
