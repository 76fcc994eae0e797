"""Recipes: objectives from a preset's name; GRAM learns from training paraphrases only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from postsync.training.manifest_clips import manifest_clips

import postsync.codecs.objective
import postsync.encoders.gram_objective
import postsync.systems.mgaudio.objective  # noqa: F401  (all slow: not within a test)
from postsync import registry
from postsync.data.clip import Clip
from postsync.data.manifest import read_manifest
from postsync.encoders.cavp import Cavp
from postsync.errors import PostsyncError
from postsync.scenes.captions import paraphrases
from postsync.scenes.export import export
from postsync.scenes.render import clean_scenes
from postsync.systems.mgaudio import presets
from postsync.training import recipes


def test_scene_captions_are_the_training_paraphrases() -> None:
    train, held_out = paraphrases("bark")
    assert tuple(recipes.scene_captions(Clip("s", 1.0, label="bark", captions=("one",)))) == train
    assert not set(train) & set(held_out)


def test_captions_of_other_clips_are_their_own() -> None:
    assert recipes.scene_captions(Clip("s", 1.0, label="kazoo", captions=("one",))) == ("one",)


@pytest.mark.parametrize("name", ["vae", "vocoder", "gram", "cavp"])
def test_tiny_objectives_have_parameters_to_train(name: str) -> None:
    objective = getattr(recipes, name)("tiny")
    assert sum(p.numel() for group in objective.parameter_groups() for p in group["params"]) > 100


@pytest.fixture(scope="module")
def folders(codec, tmp_path_factory) -> dict[str, Path]:
    """A codec, and a CAVP as wide as the published one is, both otherwise tiny."""
    folder = tmp_path_factory.mktemp("parts")
    codec.save_pretrained(folder / "codec")
    Cavp(embed_dim=512, video_width=2, video_blocks=(1, 1, 1, 1), audio_widths=(2, 2, 4, 4, 8, 8), image_size=32
         ).save_pretrained(folder / "cavp")
    return {"codec": folder / "codec", "cavp": folder / "cavp"}


def test_mgaudio_of_the_papers_size_stands_on_the_folders_named(folders, tmp_path) -> None:
    objective = recipes.mgaudio("paper-S", **folders)
    trained = sum(p.numel() for group in objective.parameter_groups() for p in group["params"])
    assert trained == pytest.approx(33.0e6 + 6.0e6, rel=0.01)
    assert (objective.preset.guidance.start_step, objective.picture_size) == (100_000, 32)
    assert objective.needs == {"frames", "waveform"}
    config = registry.trainable("mgaudio").config_of("paper-S")
    assert (config.steps, config.batch_size, config.lr_factor(10**6)) == (1_100_000, 64, 1.0)
    mini = registry.trainable("mgaudio").config_of("mini")
    assert mini.schedule == "cosine"
    assert presets.mini().guidance.start_step < mini.steps / 2  # the paper's 100,000 would never switch on
    assert mini.ema_decay < 0.9999


def test_mgaudio_of_the_papers_size_needs_the_published_parts(folders, cavp, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("POSTSYNC_CACHE", str(tmp_path))
    cavp.save_pretrained(tmp_path / "cavp")
    with pytest.raises(PostsyncError, match="AudioLDM's codec; name its folder"):
        recipes.mgaudio("paper")
    with pytest.raises(PostsyncError, match="vectors of 12 values"):
        recipes.mgaudio("paper", codec=folders["codec"], cavp=tmp_path / "cavp")
    with pytest.raises(PostsyncError, match="holds no CAVP that can be read"):
        recipes.mgaudio("mini", cavp=tmp_path)
    with pytest.raises(PostsyncError, match="postsync weights convert cavp"):
        recipes.mgaudio("paper", codec=folders["codec"])


def test_a_manifest_is_prepared_from_files_of_features(folders, tmp_path) -> None:
    export(tmp_path / "clips", range(2), clean_scenes(duration_s=1.0, size=32))
    (tmp_path / "cavp").mkdir()
    for row in read_manifest(tmp_path / "clips"):
        rows = torch.nn.functional.normalize(torch.ones(4, 512), dim=1)
        np.savez(tmp_path / "cavp" / f"{row['clip_id']}.npz", feat=rows.numpy())
    objective = recipes.mgaudio("paper-S", **folders, video_features=tmp_path / "cavp")
    clips = manifest_clips("mgaudio", objective, tmp_path / "clips")
    assert (len(clips), clips.left_out) == (2, "")
    sample = clips[0]
    assert sample["latent_mean"].shape == (8, 204, 16)
    assert torch.allclose(sample["video"].float(), torch.full((32, 512), 512**-0.5), atol=1e-3)
    next((tmp_path / "cavp").iterdir()).unlink()
    clips = manifest_clips("mgaudio", objective, tmp_path / "clips")
    assert (len(clips), clips.left_out) == (1, "1 without a file of features")


def test_gram_reads_the_bundled_vocabulary() -> None:
    objective = recipes.gram("tiny")
    assert objective.encoder.config["text"]["vocab_size"] == len(objective.encoder.tokenizer) == 2048
