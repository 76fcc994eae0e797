"""The guide through the command, on systems whose latents are v predictions and flows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from postsync import cli
from postsync.scenes.export import render_mp4
from postsync.scenes.render import clean_scenes, render_scene


def run(*arguments: object) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main([*map(str, arguments), "--quiet"])
    assert not stopped.value.code


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("guided") / "clip.mp4"
    render_mp4(render_scene(3, clean_scenes(duration_s=1.0, families=("bell",))), path)
    return path


@pytest.mark.parametrize(("system", "words"), [("foleygram", ("--prompt", "a bell rings")), ("mgaudio", ())])
def test_it_moves_the_sound_and_repeats(clip: Path, system: str, words: tuple[str, ...]) -> None:
    plain, guided = (clip.with_name(f"{system}.{name}.mp4") for name in ("plain", "guided"))
    common = ("generate", clip, "--system", system, *words, "--seed", 4, "--steps", 4)
    run(*common, "-o", plain)
    run(*common, "--guide", "volume", "--set", "volume.stop=1", "-o", guided)
    records = [json.loads(path.with_name(path.name + ".json").read_text()) for path in (plain, guided)]
    assert records[0]["soundtrack"]["sha256"] != records[1]["soundtrack"]["sha256"]
    assert records[1]["options"]["guides"] == ["volume"]
    again = clip.with_name(f"{system}.again.mp4")
    run("generate", "--from", guided, "-o", again)
    assert again.read_bytes() == guided.read_bytes()
