"""A bounded run of the fuzz target, and proof that the target would notice."""

from __future__ import annotations

import numpy as np
import pytest

import fuzz_media
from postsync.errors import MediaError


def test_damaged_headers_give_typed_errors_only():
    assert fuzz_media.run(seed=2024, first=0, count=60) == []


def test_cases_repeat_and_differ(tmp_path):
    seeds = fuzz_media.originals()
    first, again, other = (fuzz_media.case_file(seeds, 0, n, tmp_path).read_bytes() for n in (5, 5, 6))
    assert first == again != other


@pytest.mark.parametrize("name", [*fuzz_media.CLIPS, *fuzz_media.SOUNDS])
def test_undamaged_files_are_read(tmp_path, name):
    path = tmp_path / f"a.{'mp4' if name in ('faststart', 'fragments') else name}"
    path.write_bytes(fuzz_media.originals()[name])
    if name in fuzz_media.SOUNDS:
        assert fuzz_media.read_audio(path, 16000).shape == (1, 1600)
    else:
        assert fuzz_media.probe(path).num_frames == 12
        looked = fuzz_media.watch(fuzz_media.open_picture(path), plan=lambda info: fuzz_media.spread(info, 3, (8, 8)))
        assert looked.frames.shape == (3, 8, 8, 3)


def test_what_escapes_is_reported(tmp_path, monkeypatch):
    def fails(path):
        raise RuntimeError("not typed")

    path = fuzz_media.case_file(fuzz_media.originals(), 0, 0, tmp_path)
    monkeypatch.setattr(fuzz_media, "probe", fails)
    with pytest.raises(RuntimeError, match="not typed"):
        fuzz_media.attempt(path)
    monkeypatch.setattr(fuzz_media, "probe", lambda path: path.write_bytes(b""))
    with pytest.raises(AssertionError, match="input was changed"):
        fuzz_media.attempt(path)


def test_typed_errors_pass(tmp_path, monkeypatch):
    def refuses(path):
        raise MediaError("no")

    monkeypatch.setattr(fuzz_media, "probe", refuses)
    (tmp_path / "a.mp4").write_bytes(np.random.default_rng(0).bytes(999))
    fuzz_media.attempt(tmp_path / "a.mp4")
