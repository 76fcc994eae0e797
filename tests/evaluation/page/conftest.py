"""A small evaluation with its files."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from postsync.data.manifest import write_manifest
from postsync.media.audio import write_wav
from postsync.protocols.clip import Clip
from postsync.scenes.export import render_mp4

RATE = 16000


def click(at_s: float, duration_s: float = 0.8) -> np.ndarray:
    """(1, N): quiet noise, and a burst from `at_s` on."""
    rng = np.random.default_rng(int(at_s * 1000))
    wave = 0.001 * rng.standard_normal(round(duration_s * RATE))
    wave[round(at_s * RATE):] += 0.3 * rng.standard_normal(len(wave) - round(at_s * RATE))
    return wave[None].astype(np.float32)


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> dict:
    """Three clips whose references are small videos with a known onset; values 0.9, 0.1 and 0.5."""
    root = tmp_path_factory.mktemp("sides")
    (root / "real" / "clips").mkdir(parents=True)
    (root / "made").mkdir()
    times = torch.arange(8, dtype=torch.float64) / 10
    rows, clips = [], []
    for name, value, onset in (("a", 0.9, 0.2), ("b", 0.1, 0.3), ("c", 0.5, 0.4)):
        frames = torch.randint(0, 255, (8, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
        clip = Clip(name, 0.8, frames, times, torch.from_numpy(click(onset)), RATE)
        render_mp4(clip, root / "real" / "clips" / f"{name}.mp4")
        write_wav(root / "made" / f"{name}.wav", click(onset + 0.1), RATE)
        rows.append({"clip_id": name, "dataset": "test", "source_id": name, "split": "test", "start": 0.0, "end": 0.8,
                     "duration": 0.8, "video_path": f"clips/{name}.mp4", "audio_path": f"clips/{name}.mp4",
                     "events": [{"t": onset, "end": 0.8, "label": "hit", "visible": name != "c", "strength": 1.0}]})
        clips.append({"clip_id": name, "generated": f"{name}.wav", "reference": f"clips/{name}.mp4",
                      "video": f"clips/{name}.mp4", "video_of": "reference", "label": "hit", "caption": "a hit",
                      "values": {"Onset-F1@50ms": value, "E-L1@16k": 1 - value, "Onset-lag-ms": 100.0}})
    write_manifest(root / "real", rows, {})
    metrics = [{"name": name, "value": value, "higher_is_better": higher, "unit": unit, "count": 3,
                "interval": [0.25, 0.75], "extractor": extractor, "settings": {"tolerance_s": 0.05}, "note": None}
               for name, value, higher, unit, extractor in (
                   ("FAD-VGGish", 3.2171, False, None, {"name": "vggish", "weights_sha256": "ab" * 32,
                                                        "licence": "Apache-2.0"}),
                   ("E-L1@16k", 0.5, False, None, None), ("Onset-F1@50ms", 0.5123, True, None, None),
                   ("Onset-lag-ms", None, None, "ms", None))]
    return {"schema": 1, "suite": "scenes", "postsync": "1.2.3", "versions": {"numpy": "2.0"}, "seed": 7,
            "command": "postsync evaluate made", "protocol": {"duration_s": 4.0, "fps": None},
            "generated": {"path": str(root / "made"), "count": 3},
            "reference": {"path": str(root / "real"), "count": 4},
            "missing": [{"clip_id": "d", "side": "generated", "reason": "no such file", "used": False}],
            "metrics": metrics, "not_computed": [{"name": "FD-PaSST", "reason": "weights absent"}], "clips": clips}
