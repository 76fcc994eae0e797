import json

import numpy as np
import pytest
import soundfile
import torch

from postsync import generation
from postsync.errors import ConditionError, MediaError
from postsync.generation.delivery import read_lossless
from postsync.generation.naming import lossless_path, sidecar_path
from postsync.generation.repetition import earlier_result, repeat
from postsync.generation.result import publish
from postsync.generation.sidecar import Provenance, Sidecar
from postsync.media.container import sha256_of

MADE_BY = Provenance({"a.safetensors": "0" * 64}, {"postsync": "0.1.0"})


@pytest.fixture
def result(pipe, clip, tmp_path):
    curve = torch.rand(80, generator=torch.Generator().manual_seed(0))
    return generation.generate(clip, "hammer", pipeline=pipe, seed=3, envelope=curve, offset_ms=15.0)


def test_a_sidecar_comes_back_exactly(result, clip, tmp_path):
    target = publish(result, tmp_path / "out.mp4", MADE_BY, sha256_of(clip))
    sidecar = Sidecar.read(target)
    assert sidecar.video.samefile(clip)
    assert sidecar.video_sha256 == sha256_of(clip)
    assert sidecar.result == target
    assert sidecar.recipes[0].options == result.options
    assert torch.equal(sidecar.recipes[0].timing.envelope.values, result.recipes[0].timing.envelope.values)
    assert torch.equal(sidecar.recipes[0].timing.onsets_s, result.recipes[0].timing.onsets_s)
    assert sidecar.gain_db == result.gain_db
    assert sidecar.provenance == MADE_BY
    assert (read_lossless(lossless_path(target)) == result.waveform).all()


def test_all_three_files_are_written_or_none(result, tmp_path):
    for path in (tmp_path / "out.webm", sidecar_path(tmp_path / "out.webm"), lossless_path(tmp_path / "out.webm")):
        path.write_bytes(b"an earlier result")
    with pytest.raises(MediaError, match="cannot hold this picture"):
        publish(result, tmp_path / "out.webm", MADE_BY, "0" * 64)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == dict.fromkeys(
        ("out.webm", "out.webm.json", "out.webm.flac"), b"an earlier result")


def change(key, value):
    return lambda data: data.update({key: value})


@pytest.mark.parametrize("spoil", [
    change("format", 99), change("redo", 3), change("envelope", "loud"), change("envelope", [2.0]),
    change("envelope", [[0.1]]), change("options", {"tempo": 3}), change("options", {"seed": "x"}),
    change("onsets", [3]), change("input", {}), change("gain_db", "x"),
    change("redo", [{}]), change("weights", 3), lambda data: data.pop("soundtrack"),
])
def test_a_spoilt_sidecar_is_named(result, tmp_path, spoil):
    path = sidecar_path(publish(result, tmp_path / "out.mp4", MADE_BY, "0" * 64))
    data = json.loads(path.read_text())
    spoil(data)
    path.write_text(json.dumps(data))
    with pytest.raises(ConditionError, match=r"out\.mp4\.json: not a readable sidecar"):
        Sidecar.read(path)


@pytest.mark.parametrize("text", ["[]", "3", "{", "\xff", ""])
def test_what_is_no_sidecar_is_refused(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises((ConditionError, MediaError), match=r"x\.json"):
        Sidecar.read(path)
    with pytest.raises(MediaError, match="no such sidecar"):
        Sidecar.read(tmp_path / "nothing.mp4")


def test_a_saved_result_can_be_taken_up_again(pipe, clip, tmp_path):
    result = generation.generate(clip, "hammer", pipeline=pipe, seed=1, guidance_scale=3.0, eta=0.3)
    target = result.save(tmp_path / "out.mp4")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.mp4", "out.mp4.flac", "out.mp4.json"]
    sidecar = Sidecar.read(target)
    assert np.array_equal(earlier_result(sidecar, clip, pipe).waveform, result.waveform)
    assert np.array_equal(repeat(sidecar, clip, pipe).waveform, result.waveform)
    again = earlier_result(sidecar, clip, pipe).save(tmp_path / "again.mp4")
    assert again.read_bytes() == target.read_bytes()
    assert Sidecar.read(again).recipes[0].used == sidecar.recipes[0].used


def test_the_sidecar_states_every_value_that_was_used(pipe, clip, tmp_path):
    generation.generate(clip, "hammer", pipeline=pipe, seed=1, guidance_scale=3.0, eta=0.3).save(tmp_path / "out.mp4")
    data = json.loads((tmp_path / "out.mp4.json").read_text())
    assert data["options"]["num_inference_steps"] is None  # the preset's, as asked
    used = data["used"]
    assert used["num_inference_steps"] == pipe.num_inference_steps
    assert (used["guidance_scale"], used["eta"]) == (3.0, 0.3)
    assert set(used) >= set(pipe.config["sampler"]) | {"control_scale", "fader_db", "solver"}


def test_a_result_is_saved_alone_on_request_and_beside_the_clip_under_a_free_name(pipe, clip, tmp_path):
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(clip.read_bytes())
    result = generation.generate(copy, "hammer", pipeline=pipe, seed=1)
    assert result.save(sidecar=False).name == "copy.postsync.mp4"
    assert result.save(sidecar=False).name == "copy.postsync.run2.mp4"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy.mp4", "copy.postsync.mp4", "copy.postsync.run2.mp4"]


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_sound_alone_can_be_taken_up_again(pipe, clip, tmp_path, suffix):
    result = generation.generate(clip, "hammer", pipeline=pipe, seed=1)
    target = result.save(tmp_path / f"x{suffix}")
    samples, rate = soundfile.read(target, dtype="float32", always_2d=True)
    assert rate == 48000
    assert np.array_equal(samples.T, result.waveform)
    kept = [target.name, f"{target.name}.json", *([] if suffix == ".flac" else [f"{target.name}.flac"])]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(kept)
    sidecar = Sidecar.read(target)
    assert np.array_equal(earlier_result(sidecar, sidecar.picture_file, pipe).waveform, result.waveform)


def test_sound_without_a_picture_can_be_repeated(pipe, tmp_path):
    result = generation.generate(None, "hammer", pipeline=pipe, seed=1, duration_s=0.5)
    sidecar = Sidecar.read(result.save(tmp_path / "x.flac"))
    assert sidecar.picture(sidecar.picture_file).info.duration_s == 0.5
    assert np.array_equal(repeat(sidecar, sidecar.picture_file, pipe).waveform, result.waveform)
