"""A sound over time as one SVG: loudness in dB with onsets above, mel spectrogram below, a line where it plays."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from ..features.envelope import ENVELOPE_RATE
from .excerpt import Sound
from .markup import data_uri, text

FLOOR_DB = -60.0
_COLUMNS = 600  # of a spectrogram's picture at most
_WIDTH, _TOP, _CURVE, _GAP, _MEL, _AXIS = 360, 10, 70, 4, 72, 16
_HEIGHT = _TOP + _CURVE + _GAP + _MEL + _AXIS
_LOG_MEL_RANGE = (-11.0, 1.0)


def timeline_svg(sound: Sound, what: str, seconds: float, events: Sequence[tuple[float, bool]] | None = None,
                 other: Tensor | None = None) -> str:
    """The picture of a sound over `seconds`.

    Args:
        what: names the sound in the text for those who do not see the picture.
        events: when it should sound (seconds, vertical lines) and whether the cause is seen (else the line is dotted);
            None where nobody wrote that down.
        other: an envelope (M,) at 100 Hz to compare with, drawn dashed.
    """
    x = _WIDTH / max(seconds, 1e-3)
    middle = _TOP + _CURVE + _GAP
    parts = [f'<line class="grid-line" x1="0" y1="{_level(db)}" x2="{_WIDTH}" y2="{_level(db)}"/>'
             f'<text x="1" y="{_level(db) - 1.5:.1f}">{db} dB</text>' for db in (-20, -40)]
    shown = [(t, seen) for t, seen in events or () if 0 <= t <= seconds]
    if other is not None:
        parts.append(f'<polyline class="curve other" points="{_points(other, x)}"/>')
    parts.append(f'<polyline class="curve" points="{_points(sound.envelope, x)}"/>')
    parts += [f'<path class="found" d="M{t * x:.1f} {_TOP - 1}l-4 -8h8z"/>' for t in sound.onsets_s]
    picture = data_uri("image/png", spectrogram_png(sound.log_mel))
    parts.append(f'<image x="0" y="{middle}" width="{sound.duration_s * x:.1f}" height="{_MEL}" '
                 f'preserveAspectRatio="none" href="{picture}"/>')
    parts += [f'<line class="onset{"" if seen else " unseen"}" x1="{t * x:.1f}" y1="{_TOP}" x2="{t * x:.1f}" '
              f'y2="{middle + _MEL}"/>' for t, seen in shown]
    parts += [f'<text x="{t * x + 1:.1f}" y="{_HEIGHT - 4}">{t:g} s</text>' for t in _ticks(seconds)]
    parts.append(f'<line class="playhead" x1="0" y1="0" x2="0" y2="{middle + _MEL}"/>')
    label = f"Loudness and mel spectrogram of {what} over {seconds:.1f} s: {len(sound.onsets_s)} onsets found"
    if events is not None:
        label += f", {len(shown)} true onsets {', '.join(f'{t:.2f}' for t, _ in shown[:20])}"
    return (f'<svg class="timeline" role="img" aria-label="{text(label)}" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
            f'data-seconds="{seconds:.4f}">{"".join(parts)}</svg>')


def spectrogram_png(log_mel: Tensor) -> bytes:
    """A colour picture of a log-mel spectrogram (T, 64), low bands at the bottom; at most 600 columns (the loudest of
    the frames that share one)."""
    from matplotlib.image import imsave

    values = log_mel.numpy()
    edges = np.unique(np.linspace(0, len(values), min(len(values), _COLUMNS) + 1).round().astype(int))[:-1]
    columns = np.maximum.reduceat(values, edges, axis=0)
    buffer = io.BytesIO()
    low, high = _LOG_MEL_RANGE
    imsave(buffer, columns.T, vmin=low, vmax=high, cmap="magma", origin="lower", format="png")
    return buffer.getvalue()


def _points(envelope: Tensor, x: float) -> str:
    db = 20 * np.log10(np.maximum(envelope.numpy(), 10 ** (FLOOR_DB / 20)))
    return " ".join(f"{m / ENVELOPE_RATE * x:.1f},{_level(value):.1f}" for m, value in enumerate(db))


def _level(db: float) -> float:
    """The height at which a level is drawn: 0 dB full scale at the top of the curve's field, FLOOR_DB at its foot."""
    return _TOP + _CURVE * min(1.0, max(0.0, db / FLOOR_DB))


def _ticks(seconds: float) -> list[float]:
    step = next((s for s in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0) if seconds / s <= 6), 10.0)
    return [step * k for k in range(int(seconds / step) + 1) if step * k < 0.95 * seconds]
