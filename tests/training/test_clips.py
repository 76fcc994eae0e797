"""The clips that trainables learn from: the scenes that an objective wants, and manifests."""

from __future__ import annotations

from pathlib import Path

import pytest

from postsync import registry
from postsync.errors import PostsyncError
from postsync.protocols.objective import ClipRequest
from postsync.scenes.export import export
from postsync.scenes.families import FAMILIES
from postsync.scenes.nuisances import clean
from postsync.scenes.render import NATIVE_S, SPARSE_FRAMES, clean_scenes, full_scenes
from postsync.timing.objective import timing_scenes
from postsync.training.clips import manifest_clips, scene_clips

SOUND = ClipRequest(None, 16000, 4.1)
SCENES = {"vae": (4.1, 64, None), "vocoder": (4.1, 64, None), "scene_classifier": (NATIVE_S, 64, None),
          "recording_classifier": (NATIVE_S, 64, None), "audioldm": (NATIVE_S, 64, None),
          "codebooks": (NATIVE_S, 64, None), "mel_ear": (NATIVE_S, 64, None),
          "timing": (4.0, 96, None), "picture_codec": (4.0, 64, 8.0),
          "hit_reader": (4.0, 64, 8.0), "animatediff": (4.0, 64, 8.0),
          "sounding_video": (4.0, 64, 8.0)}  # duration, size and rate


@pytest.mark.parametrize("name", sorted(registry.TRAINABLES))
def test_the_scenes_of_a_mini_stay_what_they_were(name: str) -> None:
    wants = registry.load_objective(name, "mini").wants
    config = scene_clips(wants, 0, 1).config
    expected = SCENES.get(name, (8.16, 64, 4.0))
    assert (config.duration_s, config.size, config.fps, config.sample_rate) == (*expected, 16000)
    assert config == full_scenes(duration_s=expected[0], size=expected[1], fps=expected[2])


def test_timing_learns_from_a_world_of_its_own() -> None:
    wants = registry.load_objective("timing", "tiny").wants
    world = registry.resolve(registry.trainable("timing").world)()
    assert world == timing_scenes()
    config = scene_clips(wants, 0, 5, world=world).config
    assert set(config.families) == set(FAMILIES)
    impacts = sum(FAMILIES[name].kind == "strike" for name in config.families)
    assert impacts > 0.3 * len(config.families)
    assert config.silent > 0
    assert config.fps is None
    cleaned = scene_clips(wants, 0, 5, world=world, clean=True).config
    assert cleaned.nuisances == clean()
    assert (cleaned.fps, cleaned.silent) == (25.0, config.silent)


def test_only_training_scenes_are_trained_on() -> None:
    with pytest.raises(PostsyncError, match="training scenes"):
        scene_clips(SOUND, 5000, 6000)
    clips = scene_clips(SOUND, 1, 3, duration_s=2.0)
    assert [clips.seeds[i] for i in range(3)] == [3, 4, 5]
    assert (clips.config.duration_s, clips.needs) == (2.0, {"waveform"})


def test_a_manifest_is_read_as_the_objective_wants_it(tmp_path: Path) -> None:
    export(tmp_path / "clips", range(2), clean_scenes(duration_s=2.0, size=32))
    seeing = registry.load_objective("cavp", "tiny")
    clips = manifest_clips("cavp", seeing, tmp_path / "clips")
    dataset = clips.dataset
    assert (dataset.size, dataset.fps, dataset.sample_rate) == ((64, 64), SPARSE_FRAMES.fps, 16000)
    assert clips.folder == tmp_path / "clips" / "features" / "cavp"
    assert clips[0]["pictures"].shape == (8, 3, 32, 32)
    hearing = manifest_clips("vae", registry.load_objective("vae", "tiny"), tmp_path / "clips", folder=tmp_path / "f")
    assert hearing.dataset.needs == {"waveform"}
    assert hearing.folder == tmp_path / "f"
    with pytest.raises(PostsyncError, match="no clip of the val split"):
        manifest_clips("cavp", seeing, tmp_path / "clips", "val")
