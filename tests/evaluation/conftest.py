"""A few rendered scenes with their sound, and generated sounds made from it, for the tests of evaluation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from postsync.data.manifest import read_manifest
from postsync.evaluation.job import Settings, run
from postsync.evaluation.suites import scenes
from postsync.media.audio import read_audio
from postsync.scenes.export import export
from postsync.scenes.render import clean_scenes
from synthetic_clips import RATE, late


@pytest.fixture(scope="session")
def real(tmp_path_factory) -> Path:
    """Six clean scenes of separate strikes, 2 s each, with their manifest."""
    folder = tmp_path_factory.mktemp("real")
    families = ("metal_strike", "wood_strike", "drum_strike")
    export(folder, range(20, 26), clean_scenes(duration_s=2.0, size=16, fps=10.0, families=families))
    return folder


@pytest.fixture(scope="session")
def sounds(real) -> dict[str, np.ndarray]:
    """Clip id -> the scene's own sound (N,) at 16 kHz."""
    return {row["clip_id"]: read_audio(real / row["audio_path"], RATE, from_picture=True)[0, :2 * RATE]
            for row in read_manifest(real)}


@pytest.fixture(scope="session")
def write(sounds) -> Callable[..., Path]:
    """`write(folder, change)` writes `change(sound)` of every scene as WAV files; returns the folder."""
    def written(folder: Path, change: Callable[[np.ndarray], np.ndarray]) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for clip_id, sound in sounds.items():
            soundfile.write(folder / f"{clip_id}.wav", change(sound), RATE, subtype="FLOAT")
        return folder
    return written


@pytest.fixture(scope="session")
def made(write, tmp_path_factory) -> Path:
    """The scenes' own sounds, 30 ms late and at half the level."""
    return write(tmp_path_factory.mktemp("made"), lambda sound: 0.5 * late(sound))


@pytest.fixture(scope="session")
def measured(made, real):
    """The run of `made` and of a system that hisses, against the scenes."""
    return run([made], real, scenes(), Settings(resamples=50))
