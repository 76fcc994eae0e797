"""What is written reads back as what was rendered."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from postsync.data.manifest import ManifestDataset, read_manifest
from postsync.errors import MediaError
from postsync.media.audio import read_audio
from postsync.media.video import iter_frames, probe
from postsync.scenes.export import export, render_mp4
from postsync.scenes.render import HELD_OUT_SEED, SceneConfig, clean_scenes, full_scenes, render_scene

SMALL = clean_scenes(duration_s=1.2, size=48, families=("drum_strike", "bell"))


def test_mp4_keeps_frames_times_and_length(tmp_path) -> None:
    clip = render_scene(1, SMALL)
    clip = replace(clip, times=clip.times + torch.tensor([0.0, *np.random.default_rng(0).uniform(0, 0.03, 29)]))
    path = render_mp4(clip, tmp_path / "a.mp4")
    frames = list(iter_frames(path))
    np.testing.assert_allclose([f.time_s for f in frames], clip.times, atol=1e-5)
    shown = np.stack([f.image for f in frames]).astype(int)
    assert np.abs(shown - clip.frames.permute(0, 2, 3, 1).numpy()).mean() < 6
    assert probe(path).duration_s == pytest.approx(1.2, abs=1e-4)


def test_sound_stays_at_its_moment(tmp_path) -> None:
    clip = render_scene(2, SMALL)
    heard = read_audio(render_mp4(clip, tmp_path / "a.mp4"), 16000, from_picture=True)[0][:19200]
    true = clip.waveform[0].numpy()[:len(heard)]
    lags = range(-300, 301, 4)
    best = max(lags, key=lambda lag: float(np.dot(np.roll(heard, lag), true)))
    assert abs(best) <= 4
    assert np.corrcoef(heard, true)[0, 1] > 0.9


def test_silent_files_have_no_sound(tmp_path) -> None:
    clip = render_scene(1, SMALL, needs=frozenset({"frames"}))
    assert not probe(render_mp4(clip, tmp_path / "a.mp4", with_audio=False)).has_audio
    with pytest.raises(MediaError, match="waveform"):
        render_mp4(clip, tmp_path / "b.mp4")
    with pytest.raises(MediaError, match="suffix"):
        render_mp4(clip, tmp_path / "b.gif", with_audio=False)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_odd_sizes_are_written(tmp_path) -> None:
    clip = render_scene(1, replace(SMALL, size=33), needs=frozenset({"frames"}))
    info = probe(render_mp4(clip, tmp_path / "a.mp4", with_audio=False))
    assert (info.width, info.height) == (33, 33)


def test_data_set_reads_back_as_rendered(tmp_path) -> None:
    seeds = [HELD_OUT_SEED, 3]
    config = replace(full_scenes(), duration_s=1.2, size=32)
    done = []
    export(tmp_path / "set", seeds, config, on_clip=done.append)
    assert done == seeds
    data = ManifestDataset(tmp_path / "set")
    assert len(data) == 2
    for clip in data:
        true = render_scene(int(clip.clip_id.split(".")[1]), config)
        assert clip.events == true.events
        assert (clip.label, clip.captions) == (true.label, true.captions)
        torch.testing.assert_close(clip.times, true.times, atol=1e-4, rtol=0)
        assert clip.frames.shape == true.frames.shape
        assert (clip.frames.float() - true.frames.float()).abs().mean() < 12
        assert torch.equal(clip.envelope, true.envelope)
        assert clip.waveform.shape == true.waveform.shape


def test_manifest_tells_what_is_in_the_files(tmp_path) -> None:
    path = export(tmp_path, [HELD_OUT_SEED, 3], SMALL)
    train, test = sorted(read_manifest(path), key=lambda row: row["split"], reverse=True)
    assert (train["source_id"], test["source_id"]) == ("3", str(HELD_OUT_SEED))
    assert test["sha256"] == hashlib.sha256((tmp_path / test["video_path"]).read_bytes()).hexdigest()
    assert {"t", "end", "label", "visible", "strength"} == set(test["events"][0])
    assert (test["width"], test["channels"], test["sample_rate"], test["duration"]) == (48, 1, 16000, 1.2)
    meta = json.loads((tmp_path / "manifest.meta.json").read_text())
    assert meta["counts"] == {"clips": 2, "train": 1, "test": 1}
    assert meta["config"]["duration_s"] == 1.2


def test_a_folder_that_cannot_be_made_is_named(tmp_path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(MediaError, match="file"):
        export(tmp_path / "file" / "set", [1], SceneConfig())
