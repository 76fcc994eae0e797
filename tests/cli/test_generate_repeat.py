"""`postsync generate --from` and `--redo`, byte by byte and sample by sample, with a saved pipeline as preset."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import postsync
from postsync import cli
from postsync.features.onsets import audio_onsets
from postsync.scenes.export import render_mp4
from postsync.scenes.render import clean_scenes, render_scene


@pytest.fixture(scope="module")
def preset(pipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("preset") / "tiny"
    pipe.save_pretrained(folder)
    return folder


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["generate", *map(str, arguments), "--quiet"])
    return int(stopped.value.code or 0)


@pytest.fixture(scope="module")
def made(preset, tmp_path_factory):
    """A folder with a clip of 0.8 s, and an earlier result with its sidecar, soundtrack and WAV."""
    folder = tmp_path_factory.mktemp("made")
    scene = render_scene(3, clean_scenes(duration_s=0.8, families=("metal_strike",)))
    render_mp4(scene, folder / "hammer.mp4", with_audio=False)
    (folder / "e.csv").write_text("0,0.3\n0.8,0.3\n")
    assert run(folder / "hammer.mp4", "--prompt", "hammer", "--seed", 4, "--steps", 2, "--preset", preset,
               "--envelope", folder / "e.csv", "--wav", folder / "a.wav") == 0
    return folder


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "work")


def samples(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="int32")[0]


def edit(path: Path, change) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def test_the_sidecar_says_what_the_result_was_made_from(folder):
    data = json.loads((folder / "hammer.postsync.mp4.json").read_text())
    assert (data["seed"], data["options"]["prompt"], data["options"]["num_inference_steps"]) == (4, "hammer", 2)
    assert data["input"]["path"] == "hammer.mp4"
    assert len(data["input"]["sha256"]) == 64
    assert len(data["envelope"]) == 80
    assert data["timing"] == "envelope"
    assert not data["estimated"]
    assert any(name.startswith("tiny/transformer/") for name in data["weights"])
    assert data["versions"]["torch"]
    assert isinstance(data["gain_db"], float)


def test_from_repeats_byte_for_byte_wherever_the_folder_is_moved(folder):
    before = (folder / "hammer.postsync.mp4").read_bytes()
    (folder / "e.csv").unlink()  # the sidecar holds the envelope
    assert run("--from", folder / "hammer.postsync.mp4.json", "--output", folder / "again.mp4") == 0
    assert (folder / "again.mp4").read_bytes() == before
    (folder / "hammer.postsync.mp4").unlink()
    assert run("--from", folder / "hammer.postsync.mp4.json") == 0
    assert (folder / "hammer.postsync.mp4").read_bytes() == before
    assert run("--from", folder / "hammer.postsync.mp4") == 0
    assert (folder / "hammer.postsync.again1.mp4").read_bytes() == before


def test_a_reference_moves_along_and_must_be_the_same(folder, preset, capsys):
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 16000)
    soundfile.write(folder / "knock.wav", sound, 16000)
    assert run(folder / "hammer.mp4", "--reference", folder / "knock.wav", "--preset", preset, "--steps", 1, "-o",
               folder / "k.mp4", "--envelope", folder / "e.csv") == 0
    moved = folder.rename(folder.with_name("moved"))
    assert run("--from", moved / "k.mp4.json", "-o", moved / "again.mp4") == 0
    assert (moved / "again.mp4").read_bytes() == (moved / "k.mp4").read_bytes()
    soundfile.write(moved / "knock.wav", sound / 2, 16000)
    assert run("--from", moved / "k.mp4.json", "-o", moved / "again.mp4") == 2
    assert "not the reference" in capsys.readouterr().err


@pytest.mark.parametrize("kept", [True, False])
def test_redo_changes_the_span_alone(folder, kept):
    if not kept:
        (folder / "hammer.postsync.mp4.flac").unlink()
    assert run(folder / "hammer.postsync.mp4", "--redo", 0.3, 0.6, "--seed", 9, "--wav", folder / "b.wav") == 0
    old, new = samples(folder / "a.wav"), samples(folder / "b.wav")
    changed = np.flatnonzero(old != new)
    assert 14400 <= changed.min() < 14500
    assert 28700 < changed.max() < 28800
    assert len(changed) > 10000
    data = json.loads((folder / "hammer.postsync.redo1.mp4.json").read_text())
    assert data["redo"][0]["span"] == [0.3, 0.6]
    assert (data["seed"], data["redo"][0]["seed"]) == (4, 9)


def test_a_redone_result_is_redone_and_repeated(folder):
    assert run(folder / "hammer.postsync.mp4", "--redo", 0.0, 0.3, "--seed", 9) == 0
    assert run(folder / "hammer.postsync.redo1.mp4.json", "--redo", 0.5, 0.8, "--seed", 2, "--prompt", "rain",
               "--wav", folder / "c.wav") == 0
    redone = (folder / "hammer.postsync.redo2.mp4").read_bytes()
    assert np.array_equal(samples(folder / "a.wav")[14400:24000], samples(folder / "c.wav")[14400:24000])
    assert run("--from", folder / "hammer.postsync.redo2.mp4.json", "-o", folder / "again.mp4") == 0
    assert (folder / "again.mp4").read_bytes() == redone


def test_a_system_that_follows_the_picture_alone_is_repeated_and_redone(mgaudio, folder, capsys):
    clip, preset = folder / "hammer.mp4", folder / "mgaudio"
    mgaudio.save_pretrained(preset)
    chosen = ("--system", "mgaudio", "--preset", preset)
    assert run(clip, *chosen, "--seed", 4, "-o", folder / "m.mp4", "--wav", folder / "m.wav",
               "--save-onsets", folder / "m.csv", "--plot", folder / "m.png") == 0
    data = json.loads((folder / "m.mp4.json").read_text())
    assert (data["timing"], data["envelope"]) == (None, None)  # nothing said when it is to sound
    assert not any(name.startswith("timing/") for name in data["weights"])
    heard = audio_onsets(torch.from_numpy(samples(folder / "m.wav") / 2.0**31).float(), 48000)
    listed = [float(line.split(",")[0]) for line in (folder / "m.csv").read_text().splitlines() if line[0].isdigit()]
    assert len(listed) > 0
    assert all((heard - t).abs().min() < 0.05 for t in listed)
    assert run("--from", folder / "m.mp4.json", "-o", folder / "again.mp4") == 0
    assert (folder / "again.mp4").read_bytes() == (folder / "m.mp4").read_bytes()
    assert run(folder / "m.mp4", "--redo", 0.3, 0.6, "--seed", 9, "--wav", folder / "b.wav") == 0
    changed = np.flatnonzero(samples(folder / "m.wav") != samples(folder / "b.wav"))
    assert 14400 <= changed.min() < changed.max() < 28800
    for refused in (["--offset-ms", 20], ["--timing", "motion"], ["--onsets-in", folder / "m.csv"], ["--prompt", "x"]):
        assert run(clip, *chosen, *refused, "-o", folder / "n.mp4") == 2
        assert "mgaudio does not take" in capsys.readouterr().err
    assert not (folder / "n.mp4").exists()


def test_redo_with_the_same_seed_over_all_keeps_the_gain(folder):
    assert run(folder / "hammer.postsync.mp4", "--redo", 0, 0.8, "--seed", 4, "--wav", folder / "b.wav") == 0
    assert np.abs(samples(folder / "a.wav") - samples(folder / "b.wav").astype(float)).max() < 2**31 * 1e-4


def test_redo_with_another_timing(folder):
    (folder / "hit.csv").write_text("0.5\n")
    assert run(folder / "hammer.postsync.mp4", "--redo", 0.4, 0.6, "--onsets-in", folder / "hit.csv",
               "--save-envelope", folder / "used.csv", "--save-onsets", folder / "used.txt") == 0
    used = np.loadtxt(folder / "used.csv", delimiter=",", skiprows=1)[:, 1]
    assert np.allclose(used[:40], 0.3)
    assert np.allclose(used[60:], 0.3)
    assert not used[40:48].any()
    assert used[50:54].max() == pytest.approx(0.5, abs=1e-3)


REFUSED = {
    "another clip": (["--from", "hammer.postsync.mp4.json"], "not the clip"),
    "no clip": (["--from", "hammer.postsync.mp4.json"], "no longer exists"),
    "other weights": (["--from", "hammer.postsync.mp4.json"], "other weights"),
    "another soundtrack": (["hammer.postsync.mp4", "--redo", "0.1", "0.2"], "not the soundtrack"),
    "no sidecar": (["hammer.mp4", "--redo", "0.1", "0.2"], "no such sidecar"),
    "not a sidecar": (["--from", "e.json"], "not a readable sidecar"),
    "options beside --from": (["--from", "hammer.postsync.mp4.json", "--seed", "3"], "drop seed"),
    "both": (["--from", "hammer.postsync.mp4.json", "--redo", "0.1", "0.2"], "cannot be combined"),
    "a span outside": (["hammer.postsync.mp4", "--redo", "0.9", "1.2"], "0.800 s"),
    "a span backwards": (["hammer.postsync.mp4", "--redo", "0.5", "0.2"], "span"),
    "no number": (["hammer.postsync.mp4", "--redo", "nan", "0.2"], "span"),
    "an option of the whole": (["hammer.postsync.mp4", "--redo", "0.1", "0.2", "--mix"], "whole soundtrack"),
    "output is the result": (["hammer.postsync.mp4", "--redo", "0.1", "0.2", "-o", "hammer.postsync.mp4"],
                             "input itself"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_changed_or_makes_no_sense_is_refused_in_one_line(folder, capsys, case, monkeypatch):
    monkeypatch.chdir(folder)
    arguments, word = REFUSED[case]
    sidecar = folder / "hammer.postsync.mp4.json"
    if case == "another clip":
        (folder / "hammer.mp4").write_bytes((folder / "hammer.mp4").read_bytes() + b"\0")
    if case == "no clip":
        (folder / "hammer.mp4").unlink()
    if case == "other weights":
        edit(sidecar, lambda data: data["weights"].update({next(iter(data["weights"])): "0" * 64}))
    if case == "another soundtrack":
        edit(sidecar, lambda data: data["soundtrack"].update(sha256="0" * 64))
    (folder / "e.json").write_text('{"format": 1}')
    before = sorted(folder.iterdir())
    assert run(*arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("postsync: ")
    assert said.count("\n") == 1
    assert word in said
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("name", ["api.mp4", "api.wav", "api.flac"])
def test_a_result_of_the_api_is_repeated_and_redone(preset, folder, name):
    pipeline = postsync.load(preset=str(preset))
    result = postsync.generate(folder / "hammer.mp4", "hammer", pipeline=pipeline, seed=4, num_inference_steps=2)
    target = result.save(folder / name)
    stem, suffix = name.split(".")
    assert run("--from", target) == 0
    assert (folder / f"{stem}.again1.{suffix}").read_bytes() == target.read_bytes()
    assert run(target, "--redo", 0.2, 0.5) == 0
    redone = samples(folder / f"{stem}.redo1.{suffix}{'' if suffix == 'flac' else '.flac'}")
    kept = result.waveform.T[:, 0]
    assert np.array_equal(redone[:9600] >> 8, (kept[:9600] * 2**23).astype(np.int32))
    assert not np.array_equal(redone[9600:24000] >> 8, (kept[9600:24000] * 2**23).astype(np.int32))
