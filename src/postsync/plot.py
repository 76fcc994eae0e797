"""A picture of a result: what was asked for above, what was made below."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soxr
import torch

from .features.envelope import ENVELOPE_RATE, frame_rms
from .features.onsets import pick_onsets
from .features.spectrogram import audioldm_log_mel
from .media.output import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .generation import Result

ANALYSIS_RATE = 16000


def plot_result(result: Result, path: Path) -> None:
    """Envelope asked for (if one was) with its onsets, RMS of the soundtrack, and its log-mel spectrogram, as a PNG.

    Raises MediaError where `path` cannot be written.
    """
    from matplotlib.figure import Figure

    mono = soxr.resample(result.waveform.mean(axis=0), result.sample_rate, ANALYSIS_RATE)
    waveform = torch.from_numpy(np.ascontiguousarray(mono, dtype=np.float32))
    rms = frame_rms(waveform, ANALYSIS_RATE, ENVELOPE_RATE)
    made = pick_onsets(rms, ENVELOPE_RATE)
    log_mel = audioldm_log_mel(waveform[None])[0]

    figure = Figure(figsize=(10, 5), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.6])
    timing, scale = result.timing, 1.0
    if result.recipes[0].timing is not None:
        top.plot(np.arange(len(timing.envelope)) / ENVELOPE_RATE, timing.envelope.numpy(), label="envelope asked for")
        scale = float(timing.envelope.max()) / max(float(rms.max()), 1e-9)
    top.plot(np.arange(len(rms)) / ENVELOPE_RATE, (rms * scale).numpy(), lw=0.8,
             label="loudness of the soundtrack" + (" (scaled)" if scale != 1.0 else ""))
    for t in timing.onsets_s.tolist():
        top.axvline(t, color="0.8", lw=0.8, zorder=0)
    said = [f"“{result.prompt}”"] if result.prompt else []
    top.set(ylabel="RMS", title="   ".join([result.video.path.name, *said, f"seed {result.seed}"]))
    top.legend(loc="upper right", fontsize=8)
    bottom.imshow(log_mel.T.numpy(), origin="lower", aspect="auto", cmap="magma", vmin=-11, vmax=1,
                  extent=(0.0, log_mel.shape[0] / 100, 0, log_mel.shape[1]))
    bottom.plot(made.numpy(), np.full(len(made), 2.0), "w^", ms=4)
    bottom.set(xlabel="seconds (triangles: onsets of the soundtrack)", ylabel="mel band", xlim=(0, result.duration_s))
    save_figure(figure, path)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all; raises MediaError where it cannot be written."""
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
