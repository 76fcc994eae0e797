"""A plot of a soundtrack: the requested timing above, the generated sound below."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soxr
import torch

from .features.envelope import ENVELOPE_RATE, frame_rms
from .features.onsets import pick_onsets
from .features.spectrogram import audioldm, audioldm_log_mel, mel_filters
from .media.output import whole_file
from .timing.timing import Timing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ANALYSIS_RATE = 16000
TICKS_HZ = (125, 250, 500, 1000, 2000, 4000)


def plot_soundtrack(waveform: np.ndarray, sample_rate: int, timing: Timing, path: Path, *, title: str,
                    requested: bool) -> None:
    """A timing with its onsets, RMS of a waveform (C, N), and its log-mel spectrogram, as a PNG.

    `requested`: the timing was given, not measured on the waveform. Raises MediaError where `path` cannot be written.
    """
    from matplotlib.figure import Figure

    mono = soxr.resample(waveform.mean(axis=0), sample_rate, ANALYSIS_RATE)
    sound = torch.from_numpy(np.ascontiguousarray(mono, dtype=np.float32))
    rms = frame_rms(sound, ANALYSIS_RATE, ENVELOPE_RATE)
    made = pick_onsets(rms, ENVELOPE_RATE)
    log_mel = audioldm_log_mel(sound[None])[0]

    figure = Figure(figsize=(10, 5), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.6])
    values, scale = timing.envelope.values, 1.0
    if requested:
        top.plot(np.arange(len(values)) / ENVELOPE_RATE, values.numpy(), label="requested envelope")
        scale = float(values.max()) / max(float(rms.max()), 1e-9)
    top.plot(np.arange(len(rms)) / ENVELOPE_RATE, (rms * scale).numpy(), lw=0.8,
             label="loudness of the soundtrack" + (" (scaled)" if scale != 1.0 else ""))
    for t in timing.onsets_s.tolist():
        top.axvline(t, color="0.8", lw=0.8, zorder=0)
    top.set(ylabel="RMS", title=title.encode("utf-8", "replace").decode("utf-8"))  # file names may be no text
    top.legend(loc="upper right", fontsize=8)
    bottom.imshow(log_mel.T.numpy(), origin="lower", aspect="auto", cmap="magma", vmin=-11, vmax=1,
                  extent=(0.0, log_mel.shape[0] / 100, 0, log_mel.shape[1]))
    bottom.plot(made.numpy(), np.full(len(made), 2.0), "w^", ms=4)
    bottom.set(xlabel="seconds (triangles: onsets of the soundtrack)", ylabel="Hz",
               xlim=(0, waveform.shape[1] / sample_rate))
    bottom.set_yticks(mel_position(TICKS_HZ), [f"{hz:g}" for hz in TICKS_HZ])
    save_figure(figure, path)


def mel_position(hz: Sequence[float]) -> np.ndarray:
    """Where frequencies lie on the axis of the log-mel spectrogram: in bands, the centre of the first one at 0.5."""
    filters = mel_filters(audioldm()).numpy()
    centres = filters.argmax(axis=1) * ANALYSIS_RATE / 2 / (filters.shape[1] - 1)
    return np.interp(hz, centres, np.arange(len(centres)) + 0.5)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, atomically; raises MediaError if it cannot be written."""
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
