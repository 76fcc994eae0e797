"""Scenes as files: one mp4, or an ordinary data set with its manifest."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..data.manifest import write_manifest
from ..errors import MediaError
from ..media.container import sha256_of
from ..media.encode import Encoding, encode_pictures
from ..media.mux import ENCODED_RATE
from ..media.output import whole_file
from ..protocols.clip import Clip
from .render import HELD_OUT_SEED, SceneConfig, render_scene
from .sounds import Bank

_logger = logging.getLogger(__name__)


def render_mp4(clip: Clip, path: Path | str, with_audio: bool = True, crf: int = 18) -> Path:
    """Write a clip as H.264 (frames at their true times, variable rates included) with AAC.

    Raises MediaError if the clip has no frames, or no waveform if sound is requested, or the file cannot be written.
    """
    path = Path(path)
    if clip.frames is None or clip.times is None or (with_audio and clip.waveform is None):
        raise MediaError(f"{path}: clip {clip.clip_id} lacks its {'frames' if clip.frames is None else 'waveform'}; "
                         "render it with needs={'frames', 'waveform'}")
    if path.suffix.lower() not in (".mp4", ".mov", ".mkv"):
        raise MediaError(f"{path}: scenes are written as .mp4, .mov or .mkv; change the suffix")
    encoding = Encoding(crf=crf, exact_size=True, sound_rate=clip.sample_rate or ENCODED_RATE, sound_bit_rate=96_000)
    return encode_pictures(clip.frames.permute(0, 2, 3, 1).contiguous().numpy(), clip.times.tolist(), clip.duration_s,
                           path, clip.waveform if with_audio else None, encoding.sound_rate, encoding=encoding)


def export(folder: Path | str, seeds: Iterable[int], config: SceneConfig | None = None, bank: Bank | None = None,
           on_clip: Callable[[int], None] | None = None) -> Path:
    """Render the scenes of `seeds` into `folder` as clips/*.mp4, envelopes/*.npy and the manifest; returns its path.

    `on_clip(seed)` is called after each clip. Raises MediaError if the folder cannot be written. The manifest is
    written last: a folder without one is incomplete.
    """
    folder, config = Path(folder), config or SceneConfig()
    try:
        for part in ("clips", "envelopes"):
            (folder / part).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(f"{folder}: cannot be created ({error.strerror}); choose another folder") from error
    rows = []
    for seed in seeds:
        clip = render_scene(seed, config, bank=bank)
        render_mp4(clip, folder / "clips" / f"{clip.clip_id}.mp4")
        if clip.envelope is not None:  # always, as sound was rendered
            with whole_file(folder / "envelopes" / f"{clip.clip_id}.npy") as path:
                np.save(path, clip.envelope.numpy())
        rows.append(manifest_row(clip, seed, folder, licence=None if bank else "Apache-2.0"))
        if on_clip is not None:
            on_clip(seed)
    _logger.info("%d scenes written to %s", len(rows), folder)
    return write_manifest(folder, rows, {"command": "postsync scenes export", "config": asdict(config),
                                         "recordings": bank is not None, "filters": []})


def manifest_row(clip: Clip, seed: int, folder: Path, licence: str | None) -> dict[str, Any]:
    """The manifest row of an exported clip; its file must exist."""
    if clip.frames is None or clip.waveform is None or clip.envelope is None:
        raise ValueError(f"clip {clip.clip_id} is not complete; render it with needs={{'frames', 'waveform'}}")
    video = f"clips/{clip.clip_id}.mp4"
    level = clip.waveform.square().mean().sqrt().item()
    step = clip.frames.float().mean(1).diff(dim=0).abs().mean().item() if len(clip.frames) > 1 else 0.0
    return {
        "clip_id": clip.clip_id, "dataset": "scenes", "source_id": str(seed),
        "split": "train" if seed < HELD_OUT_SEED else "test", "video_path": video, "audio_path": video,
        "start": 0.0, "end": clip.duration_s, "duration": clip.duration_s,
        "fps": len(clip.frames) / clip.duration_s, "width": clip.frames.shape[3], "height": clip.frames.shape[2],
        "sample_rate": clip.sample_rate, "channels": len(clip.waveform), "label": clip.label,
        "captions": list(clip.captions), "caption_source": "label", "events": [asdict(e) for e in clip.events],
        "stats": {"rms_db": round(20 * float(np.log10(max(level, 1e-9))), 2),
                  "silence_ratio": round((clip.envelope < 10 ** (-55 / 20)).float().mean().item(), 4),
                  "motion": round(step, 4), "av_score": None},
        "sha256": sha256_of(folder / video), "license": licence,
        "features": {"envelope": f"envelopes/{clip.clip_id}.npy"},
    }
