import json

import pytest
import torch

from postsync import generation
from postsync.errors import ConditionError, MediaError
from postsync.generation.delivery import read_lossless
from postsync.generation.sidecar import Provenance, Sidecar, lossless_path, publish, sidecar_path
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
