"""A preview sheet: frames, waveform, envelope and onsets of clips, one below the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..features.spectrogram import audioldm_log_mel
from ..media.output import whole_file
from ..protocols.clip import Clip

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SAMPLING_RATE = 16_000  # of the spectrogram


def preview(clips: Sequence[Clip], path: Path | str, num_frames: int = 16, *, spectrogram: bool = False) -> Path:
    """Draw clips that have frames, waveform and envelope as a PNG. Onsets are lines: solid if visible, dotted if not.
    The envelope is drawn twice its height, the waveform fills its row; `spectrogram`: the log-mel in their place.

    Each strip shows the frames at even times, above the sound of the same times. Raises ValueError without a clip,
    MediaError if the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not clips:
        raise ValueError("a preview needs at least one clip")
    path = Path(path)
    figure = Figure(figsize=(14, 2.1 * len(clips)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2 * len(clips), 1, squeeze=False, height_ratios=[1.15, 1] * len(clips))[:, 0]
    for clip, strip, sound in zip(clips, axes[::2], axes[1::2]):
        _draw_strip(strip, clip, num_frames)
        (_draw_spectrogram if spectrogram else _draw_sound)(sound, clip)
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=90, format="png")
    return path


def strip_frames(clip: Clip, num_frames: int) -> np.ndarray:
    """The frames shown in the middle of `num_frames` even slots, side by side: (H, num_frames * W, 3) uint8."""
    if clip.frames is None or clip.times is None:
        raise ValueError(f"clip {clip.clip_id} has no frames; render it with needs={{'frames', 'waveform'}}")
    middles = (np.arange(num_frames) + 0.5) * clip.duration_s / num_frames
    index = np.maximum(np.searchsorted(clip.times.numpy(), middles, side="right") - 1, 0)
    return np.concatenate(list(clip.frames[index].permute(0, 2, 3, 1).numpy()), axis=1)


def _draw_strip(axis: Axes, clip: Clip, num_frames: int) -> None:
    strip = strip_frames(clip, num_frames)
    axis.imshow(strip, aspect="auto", extent=(0, clip.duration_s, 0, 1), interpolation="nearest")
    axis.set(yticks=[], xticks=[], xlim=(0, clip.duration_s))
    caption = clip.captions[0] if clip.captions else ""
    axis.set_title(f"{clip.clip_id}   {clip.label}   \"{caption}\"", fontsize=8, loc="left", pad=2)


def _draw_spectrogram(axis: Axes, clip: Clip) -> None:
    if clip.waveform is None or clip.sample_rate != SAMPLING_RATE:
        raise ValueError(f"clip {clip.clip_id} has no sound at {SAMPLING_RATE} Hz to draw")
    log_mel = audioldm_log_mel(clip.waveform.mean(0, keepdim=True))[0]
    axis.imshow(log_mel.T.numpy(), origin="lower", aspect="auto", cmap="magma", vmin=-11, vmax=1,
                extent=(0, clip.duration_s, 0, 1))
    for event in clip.events:
        axis.axvline(event.t, color="white", linewidth=0.5 + event.strength, linestyle="-" if event.visible else ":")
    axis.set(xlim=(0, clip.duration_s), yticks=[])
    axis.tick_params(labelsize=6)


def _draw_sound(axis: Axes, clip: Clip) -> None:
    loudest = 1e-3
    if clip.waveform is not None and clip.sample_rate is not None:
        wave = clip.waveform.mean(0).numpy()
        loudest = max(loudest, float(np.abs(wave).max()))
        axis.plot(np.arange(len(wave)) / clip.sample_rate, wave, color="0.7", linewidth=0.3)
    if clip.envelope is not None:
        axis.plot(np.arange(len(clip.envelope)) / 100, 2 * clip.envelope.numpy(), color="tab:blue", linewidth=1)
    for event in clip.events:
        axis.axvline(event.t, color="tab:red", linewidth=0.5 + event.strength,
                     linestyle="-" if event.visible else ":")
    axis.set(xlim=(0, clip.duration_s), ylim=(-loudest, loudest), yticks=[])
    axis.tick_params(labelsize=6)
