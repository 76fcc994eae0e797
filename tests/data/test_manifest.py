"""The manifest keeps its columns, refuses what is wrong, and is read as clips."""

import json

import pytest
import torch

from postsync.data.manifest import COLUMNS, ManifestDataset, read_manifest, write_manifest
from postsync.errors import MediaError
from postsync.media.audio import write_wav
from postsync.protocols.clip import Clip
from postsync.scenes.export import render_mp4

ROW = {"clip_id": "set.a.0", "dataset": "set", "source_id": "a", "split": "test", "start": 0.0, "end": 1.0,
       "duration": 1.0}


def test_rows_are_completed_sorted_and_read_back(tmp_path) -> None:
    path = write_manifest(tmp_path, [{**ROW, "clip_id": "set.b.0", "captions": ["zwölf, \"Hämmer\""]}, ROW],
                          {"command": "test"})
    rows = read_manifest(tmp_path)
    assert rows == read_manifest(path)
    assert [row["clip_id"] for row in rows] == ["set.a.0", "set.b.0"]
    assert rows[1]["captions"] == ["zwölf, \"Hämmer\""]
    assert set(rows[0]) == set(COLUMNS)
    assert rows[0]["events"] == []
    assert rows[0]["fps"] is None
    meta = json.loads((tmp_path / "manifest.meta.json").read_text())
    assert meta == {"schema_version": 1, "command": "test", "counts": {"clips": 2, "test": 2}}


@pytest.mark.parametrize(("row", "message"), [
    ({"split": None}, "split missing"), ({"clip_id": "-a"}, "may hold letters"), ({"clip_id": "a b"}, "may hold"),
    ({"colour": "red"}, "unknown columns colour"),
])
def test_bad_rows_are_refused_and_nothing_is_written(tmp_path, row: dict, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        write_manifest(tmp_path, [{**ROW, **row}], {})
    assert not list(tmp_path.iterdir())


def test_names_must_be_unique(tmp_path) -> None:
    with pytest.raises(MediaError, match="unique"):
        write_manifest(tmp_path, [ROW, ROW], {})


def test_reading_names_the_line_at_fault(tmp_path) -> None:
    with pytest.raises(MediaError, match="contains no manifest"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.jsonl").write_text(json.dumps({**ROW, "extra": 1}) + "\n\n{oops\n")
    with pytest.raises(MediaError, match="line 3"):
        read_manifest(tmp_path)


def _media(tmp_path) -> dict:
    frames = torch.zeros(10, 3, 16, 16, dtype=torch.uint8)
    frames[5:] = 200
    waveform = torch.zeros(1, 16000)
    waveform[0, 8000:] = 0.3 * torch.sin(torch.arange(8000) * 0.3)
    render_mp4(Clip("a", 1.0, frames=frames, times=torch.arange(10, dtype=torch.float64) / 10, waveform=waveform,
                    sample_rate=16000), tmp_path / "a.mp4")
    return {**ROW, "video_path": "a.mp4", "audio_path": "a.mp4", "sample_rate": 16000}


def test_clips_are_cut_to_start_and_end(tmp_path) -> None:
    row = _media(tmp_path)
    part = {**row, "clip_id": "set.a.400", "start": 0.4, "end": 0.8, "duration": 0.4, "split": "train",
            "label": "tone", "events": [{"t": 0.1, "end": None, "label": None}]}
    write_manifest(tmp_path, [row, part], {})
    clip = ManifestDataset(tmp_path, split="train", size=(8, 8))[0]
    assert clip.frames.shape == (4, 3, 8, 8)
    torch.testing.assert_close(clip.times, torch.arange(4, dtype=torch.float64) / 10, atol=1e-4, rtol=0)
    assert clip.frames[0].float().mean() < 30
    assert clip.frames[1:].float().mean() > 170
    assert clip.waveform.shape == (1, 6400)
    assert clip.envelope.shape == (40,)
    assert clip.envelope[:5].max() < 0.05
    assert clip.envelope[20:35].min() > 0.15
    assert (clip.events[0].t, clip.events[0].end, clip.events[0].label) == (0.1, 0.1, "tone")


def test_only_what_is_needed_is_decoded(tmp_path) -> None:
    row = _media(tmp_path)
    write_manifest(tmp_path, [{**row, "audio_path": "missing.wav"}], {})
    clip = ManifestDataset(tmp_path, frozenset({"frames"}), fps=5.0)[0]
    assert clip.waveform is None
    assert clip.frames.shape[0] == 5
    with pytest.raises(MediaError, match=r"missing\.wav"):
        ManifestDataset(tmp_path, frozenset({"waveform"}))[0]


def test_sample_rate_is_that_asked_for(tmp_path) -> None:
    write_manifest(tmp_path, [{**_media(tmp_path), "sample_rate": None}], {})
    assert ManifestDataset(tmp_path, frozenset({"waveform"}), sample_rate=8000)[0].waveform.shape == (1, 8000)
    with pytest.raises(MediaError, match="sample_rate"):
        ManifestDataset(tmp_path, frozenset({"waveform"}))[0]


def test_channels_are_mixed_only_where_one_is_asked_for(tmp_path) -> None:
    left, right = torch.full((2, 8000), 0.2).unbind()
    write_wav(tmp_path / "a.wav", torch.stack([left, right * -0.5]).numpy(), 8000)
    write_manifest(tmp_path, [{**ROW, "audio_path": "a.wav", "sample_rate": 8000}], {})
    stereo, mono = (ManifestDataset(tmp_path, frozenset({"waveform"}), mono=mono)[0].waveform for mono in (False, True))
    assert stereo.shape == (2, 8000)
    assert mono.shape == (1, 8000)
    assert mono.numpy() == pytest.approx(0.05, abs=1e-3)
