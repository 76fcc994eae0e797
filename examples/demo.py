"""`make demo`: render a silent scene, put sound on it, and count how many of its true onsets were hit."""

from __future__ import annotations

import time
from pathlib import Path

import soundfile
import torch

import postsync
from postsync.features.onsets import audio_onsets
from postsync.metrics.onsets import onset_scores
from postsync.scenes.export import render_mp4
from postsync.scenes.render import HELD_OUT_SEED, clean_scenes, render_scene

FOLDER = Path("demo")
TOLERANCE_S = 0.05


def main() -> None:
    start = time.perf_counter()
    FOLDER.mkdir(exist_ok=True)
    config = clean_scenes(duration_s=6.0, size=256, families=("metal_strike",))
    clip = render_scene(HELD_OUT_SEED + 3, config)
    silent = FOLDER / "hammer.mp4"
    render_mp4(clip, silent, with_audio=False)
    result = postsync.generate(silent, prompt="a hammer hitting metal", seed=1)
    written = result.save()
    result.save(FOLDER / "hammer.wav")
    result.plot(FOLDER / "hammer.png")
    waveform, rate = soundfile.read(FOLDER / "hammer.wav", dtype="float32")
    made = audio_onsets(torch.from_numpy(waveform), rate)
    true = torch.tensor([event.t for event in clip.events if event.visible])
    score = onset_scores(made, true, TOLERANCE_S)
    print(f"wrote {written} (and hammer.wav, hammer.png beside it)")
    print(f"{score.num_matched} of {score.num_true} true onsets hit within {TOLERANCE_S * 1000:.0f} ms, "
          f"{score.num_found - score.num_matched} invented")
    print(f"{time.perf_counter() - start:.1f} s in all")


if __name__ == "__main__":
    main()
