"""Media for data sets: small clips drawn once and put under the names that a test needs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from postsync.media.audio import write_wav
from postsync.protocols.clip import Clip
from postsync.scenes.export import render_mp4

RATE = 16000


def drawn_clip(seconds: float, *, fps: int = 10, size: int = 16, channels: int = 1) -> Clip:
    """A picture that changes with every frame, and noise."""
    generator = torch.Generator().manual_seed(round(1000 * seconds) + channels)
    count = round(seconds * fps)
    frames = torch.randint(0, 256, (count, 3, size, size), generator=generator, dtype=torch.uint8)
    waveform = 0.2 * torch.randn(channels, round(seconds * RATE), generator=generator)
    return Clip("drawn", seconds, frames=frames, times=torch.arange(count, dtype=torch.float64) / fps,
                waveform=waveform.clamp(-0.9, 0.9), sample_rate=RATE)


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`drawn(seconds, sound=True, suffix=".mp4")`: a file of this length, made once; do not write to it."""
    folder, made = tmp_path_factory.mktemp("drawn"), {}

    def get(seconds: float, sound: bool = True, suffix: str = ".mp4") -> Path:
        key = (seconds, sound, suffix)
        if key not in made:
            path, clip = folder / f"{seconds}-{sound}{suffix}", drawn_clip(seconds)
            if suffix == ".wav":
                write_wav(path, clip.waveform, RATE)
            else:
                render_mp4(clip, path, with_audio=sound)
            made[key] = path
        return made[key]

    return get


@pytest.fixture
def put(tmp_path: Path, drawn: Callable[..., Path]) -> Callable[..., Path]:
    """`put("name.mp4", seconds, sound=True)`: a clip in `tmp_path/media`."""

    def place(name: str, seconds: float = 1.0, sound: bool = True) -> Path:
        path = tmp_path / "media" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(drawn(seconds, sound, path.suffix), path)
        return path

    return place
