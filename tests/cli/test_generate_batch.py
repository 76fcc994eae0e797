"""`postsync generate` on folders and tables, with takes, reports, files of timing and the clip's own sound."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from postsync import cli
from postsync.media.mux import mux
from postsync.scenes.export import render_mp4
from postsync.scenes.render import clean_scenes, render_scene

pytestmark = pytest.mark.usefixtures("tiny")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "hammer.mp4"
    render_mp4(render_scene(3, clean_scenes(duration_s=0.6, families=("metal_strike",))), path, with_audio=False)
    return path


@pytest.fixture
def folder(clip, tmp_path):
    """Two clips and a file that is none."""
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(clip, tmp_path / name)
    (tmp_path / "bad.mp4").write_bytes(b"hello" * 99)
    return tmp_path


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["generate", "--prompt", "hammer", "--steps", "1", *map(str, arguments)])
    return int(stopped.value.code or 0)


def test_one_bad_clip_stops_no_other_and_the_end_lists_it(folder, capsys):
    assert run(folder, "--seed", 1) == 2
    said = capsys.readouterr()
    assert "1 of 3 clips failed" in said.err
    assert "bad.mp4" in said.err
    assert "Traceback" not in said.err
    for name in ("a.postsync.mp4", "b.postsync.mp4"):
        assert (folder / name).is_file()
        assert name in said.out
    assert not list(folder.glob("bad.postsync*"))


def test_the_report_is_one_json_document(folder, capsys):
    assert run(folder, "--json", "--num-samples", 2, "--output", folder / "out", "--seed", 5) == 2
    said = capsys.readouterr()
    report = json.loads(said.out)
    assert [(Path(r["output"]).name, r["seed"], r["take"]) for r in report["results"]] == [
        ("a.postsync.1.mp4", 5, 1), ("a.postsync.2.mp4", 6, 2), ("b.postsync.1.mp4", 5, 1),
        ("b.postsync.2.mp4", 6, 2)]
    assert all(Path(r[kind]).is_file() for r in report["results"] for kind in ("output", "sidecar", "soundtrack"))
    assert [Path(e["input"]).name for e in report["errors"]] == ["bad.mp4"]
    assert "wrote" in said.err


def test_a_take_equals_the_one_made_alone_byte_for_byte(folder):
    assert run(folder / "a.mp4", "--num-samples", 3, "--seed", 5, "--wav", folder / "w.wav", "--quiet") == 0
    assert run(folder / "a.mp4", "--seed", 7, "--wav", folder / "alone.wav", "--quiet") == 0
    assert (folder / "a.postsync.3.mp4").read_bytes() == (folder / "a.postsync.mp4").read_bytes()
    assert (folder / "w.3.wav").read_bytes() == (folder / "alone.wav").read_bytes()
    assert (folder / "w.1.wav").read_bytes() != (folder / "alone.wav").read_bytes()


def test_what_is_there_is_skipped(folder, capsys):
    (folder / "bad.mp4").unlink()
    (folder / "a.postsync.mp4").write_bytes(b"an earlier result")
    assert run(folder, "--skip-existing", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert [Path(r["output"]).name for r in report["results"]] == ["b.postsync.mp4"]
    assert [Path(s["output"]).name for s in report["skipped"]] == ["a.postsync.mp4"]
    assert (folder / "a.postsync.mp4").read_bytes() == b"an earlier result"
    assert run(folder, "--skip-existing", "--json") == 0
    assert json.loads(capsys.readouterr().out)["results"] == []


def test_a_table_says_what_each_clip_gets(folder, capsys):
    (folder / "list.csv").write_text("video,prompt,seed,start,end\na.mp4,rain,3,,\nb.mp4,,4,0.1,0.3\nno.mp4,rain,,,\n"
                                     "a.mp4,bell,x,,\n")
    (folder / "e.csv").write_text("0,0.3\n0.6,0.3\n")
    assert run(folder / "list.csv", "--json", "--envelope", folder / "e.csv") == 2
    report = json.loads(capsys.readouterr().out)
    assert [(r["prompt"], r["seed"]) for r in report["results"]] == [("rain", 3), ("hammer", 4)]
    assert [Path(r["output"]).name for r in report["results"]] == ["a.postsync.row1.mp4", "b.postsync.mp4"]
    assert "no.mp4" in report["errors"][0]["error"]
    assert "row 5" in report["errors"][1]["error"]
    heard = np.flatnonzero(soundfile.read(report["results"][1]["soundtrack"])[0]) / 48000
    assert 0.1 <= heard.min() < 0.11
    assert 0.29 < heard.max() < 0.3


def test_one_broken_clip_with_json_is_a_document_and_a_line(folder, capsys):
    assert run(folder / "bad.mp4", "--json", "--quiet") == 2
    said = capsys.readouterr()
    assert json.loads(said.out)["errors"][0]["input"] == str(folder / "bad.mp4")
    assert said.err.count("\n") == 1


def test_hits_of_ones_own_are_followed_and_given_back(folder, capsys):
    (folder / "hits.csv").write_text("seconds,strength\n0.1,1\n0.35,0.5\n0.9,1\n")
    assert run(folder / "a.mp4", "--onsets-in", folder / "hits.csv", "--offset-ms", 100, "--save-onsets",
               folder / "used.csv", "--save-envelope", folder / "e.json", "--seed", 1) == 0
    said = capsys.readouterr()
    assert "1 hits lie beyond" in said.err
    used = np.loadtxt(folder / "used.csv", delimiter=",", skiprows=1)
    assert np.allclose(used, [[0.2, 1], [0.45, 0.5]], atol=0.02)
    curve = np.array(json.loads((folder / "e.json").read_text()))[:, 1]
    assert 20 <= curve.argmax() <= 23  # the 40 ms of the loudest window begin with the hit
    assert run(folder / "a.mp4", "--save-onsets", folder / "m.edl", "--seed", 1) == 0
    assert (folder / "m.edl").read_text().startswith("TITLE")


@pytest.mark.parametrize(("flags", "tracks"), [(["--replace"], 1), (["--mix"], 1), (["--mix", "-6"], 1),
                                               (["--keep"], 2)])
def test_the_own_sound_is_replaced_mixed_or_kept(folder, clip, flags, tracks):
    tone = 0.3 * np.sin(np.arange(28800) * 2 * np.pi * 300 / 48000).astype(np.float32)[None]
    mux(clip, tone, 48000, folder / "talk.mp4")
    assert run(*flags, folder / "talk.mp4", "--seed", 1, "--quiet") == 0
    with av.open(str(folder / "talk.postsync.mp4")) as container:
        assert len(container.streams.audio) == tracks
        first = np.concatenate([f.to_ndarray() for f in container.decode(audio=0)], axis=1)[0, :28800]
    own = np.abs(np.fft.rfft(first))[180] / len(first) * 2  # 300 Hz
    assert bool(own > 0.2) is (flags != ["--replace"])
    sidecar = json.loads((folder / "talk.postsync.mp4.json").read_text())
    assert sidecar["options"]["mix_db"] == (-6 if "-6" in flags else 0)


OUT_OF_RANGE = {
    "seed": ["--seed", "-5"], "num-samples": ["--num-samples", "0"], "nan": ["--guidance-scale", "nan"],
    "control": ["--control-scale", "9"], "steps": ["--steps", "0"], "offset": ["--offset-ms", "inf"],
    "start": ["--start", "-1"], "beyond": ["--start", "7"], "duration": ["--duration", "0"], "mix": ["--mix", "99"],
    "timing": ["--timing", "guess"], "two sounds": ["--mix", "--keep"], "negative": ["--envelope", "neg.csv"],
    "order": ["--envelope", "order.csv"], "NaN": ["--envelope", "nan.csv"], "gap": ["--envelope", "gap.csv"],
    "both": ["--envelope", "e.csv", "--onsets-in", "e.csv"], "cues": ["--cues", "order.csv"],
    "output is a read file": ["--envelope", "e.csv", "--save-envelope", "e.csv"],
    "predicted": ["--timing", "predicted", "--envelope", "e.csv"], "marker": ["--save-onsets", "m.doc"],
}


@pytest.mark.parametrize("case", OUT_OF_RANGE)
def test_a_wrong_flag_is_one_line_and_leaves_nothing(folder, capsys, case, monkeypatch):
    monkeypatch.chdir(folder)
    for name, text in {"neg": "0,-1\n", "order": "1,0.1\n0.5,0.1\n", "nan": "0,nan\n", "gap": "0,0.1\n0.1,\n",
                       "e": "0,0.3\n0.6,0.3\n"}.items():
        (folder / f"{name}.csv").write_text(text)
    before = {p: p.read_bytes() for p in folder.iterdir()}
    assert run("a.mp4", *OUT_OF_RANGE[case], "--quiet") == 2
    said = capsys.readouterr().err
    assert said.startswith("postsync: ")
    assert said.count("\n") == 1
    assert {p: p.read_bytes() for p in folder.iterdir()} == before


def test_the_words_it_never_met_are_named_once_for_the_whole_run(folder, capsys, pipe, monkeypatch):
    monkeypatch.setattr(type(pipe), "knows_film", property(lambda _: False))
    assert run(folder, "--negative-prompt", "hamering theremin") == 2
    said = capsys.readouterr().err
    assert said.count("theremin") == 1
    assert "hammering" in said
