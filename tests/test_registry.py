"""The registry: complete, honest about what is not there, and quick to import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import postsync.codecs.objective  # noqa: F401  (slow: not within a test)
from postsync import registry
from postsync.errors import PostsyncError


def test_the_five_systems_are_listed_with_their_papers() -> None:
    assert set(registry.SYSTEMS) == {"foleygram", "mdg", "mgaudio", "vatt", "sounding_video"}
    assert {s.arxiv for s in registry.SYSTEMS.values()} == {
        "2510.05829", "2509.24550", "2510.24103", "2411.05679", "2409.17550"}
    assert all(s.public and s.licences for s in registry.SYSTEMS.values())


def test_a_system_is_available_with_a_preset_or_not_at_all() -> None:
    for system in registry.SYSTEMS.values():
        assert system.available == bool(system.presets), system.name


@pytest.mark.parametrize("name", [n for n, s in registry.SYSTEMS.items() if not s.available])
def test_planned_system_says_not_yet(name: str) -> None:
    with pytest.raises(PostsyncError, match=r"not available in this version yet; use foleygram"):
        registry.load_pipeline(name)


def test_unknown_names_list_the_known(tmp_path: Path) -> None:
    with pytest.raises(PostsyncError, match=r"no system 'foley'.*foleygram"):
        registry.load_pipeline("foley")
    with pytest.raises(PostsyncError, match=r"no preset 'huge'.*mini"):
        registry.load_pipeline("foleygram", "huge")
    (tmp_path / "model_index.json").write_text('{"_class_name": "FoleyGRAMPipeline"}')
    with pytest.raises(PostsyncError, match="another system's pipeline, not of MGAudioPipeline"):
        registry.load_pipeline("mgaudio", str(tmp_path))
    with pytest.raises(PostsyncError, match=r"'vocoda'.*vocoder"):
        registry.trainable("vocoda")
    with pytest.raises(PostsyncError, match="there is no such folder"):
        registry.load_objective("foleygram_control", parts={"base": tmp_path / "absent"})
    (tmp_path / "empty").mkdir()
    with pytest.raises(PostsyncError, match="holds no saved pipeline"):
        registry.load_objective("foleygram_control", parts={"base": tmp_path / "empty"})
    with pytest.raises(PostsyncError, match=r"no preset 'huge' to train"):
        registry.load_objective("vae", "huge")
    with pytest.raises(PostsyncError, match="vae has no part codec; it has none"):
        registry.load_objective("vae", "tiny", {"codec": tmp_path})
    with pytest.raises(PostsyncError, match="mgaudio has no part base; its parts are codec, cavp, video_features"):
        registry.load_objective("mgaudio", "mini", {"base": tmp_path})
    with pytest.raises(PostsyncError, match="vae has no option width; it has none"):
        registry.load_objective("vae", "tiny", options={"width": "3"})


@pytest.mark.parametrize("name", registry.TRAINABLES)
def test_objectives_can_be_imported(name: str) -> None:
    assert callable(registry.resolve(registry.TRAINABLES[name].objective))


def test_import_needs_no_torch() -> None:
    code = "import sys, postsync.registry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
