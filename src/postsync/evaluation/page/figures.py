"""Pictures of an evaluation by matplotlib: distributions of clip values, and sounds over time.

On the page they are `data:` URIs: SVG, drawn once for light and once for dark, and PNG for spectrograms. `--plot`
writes PNG files.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from torch import Tensor

from ...errors import MediaError
from ...features.envelope import ENVELOPE_RATE
from ...media.container import one_line
from ...plot import save_figure
from .results import Evaluation, clip_metrics, clip_values, column_names, evaluations_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 24
FLOOR_DB = -60.0
_WIDTH, _DPI = 360, 100  # pixels of a picture on the page; pixels per inch
_STRIP, _FOOT, _MARGIN = 66, 20, 12  # heights of a histogram's strip and of a line of text; its margin at both sides
_TOP, _CURVE, _AXIS, _MEL = 10, 70, 16, 72  # heights of a timeline's parts, from the top
_COLUMNS = 600  # of a spectrogram's picture at most
_LOG_MEL_RANGE = (-11.0, 1.0)
_FONT = 8.5  # points
_PLOT_SCALE = 1.6  # of a PNG file, against the page


@dataclass(frozen=True)
class Theme:
    """Colours of a picture; its ground is transparent."""

    ink: str
    soft: str
    line: str
    truth: str
    series: tuple[str, ...]


LIGHT = Theme("#1d1f23", "#5c626b", "#dcdad5", "#19804f",
              ("#2f6fb3", "#c2601b", "#19804f", "#7c4dab", "#a8326a", "#6b6f1d"))
DARK = Theme("#e9e7e2", "#a3a8b0", "#363b42", "#5cc796",
             ("#7fb2ea", "#f0a36a", "#5cc796", "#bd9bea", "#ec86b4", "#c9cd6c"))


@dataclass(frozen=True)
class Picture:
    """A picture as `data:` URIs for light and dark, with its alternative text."""

    light: Markup
    dark: Markup
    alt: str


@dataclass(frozen=True)
class Timeline:
    """A sound over `seconds`: its loudness, and its mel spectrogram (PNG, the same for light and dark)."""

    level: Picture
    spectrogram: Markup
    seconds: float


@dataclass(frozen=True)
class SoundPlot:
    """The plot data of a sound."""

    envelope: Tensor  # (M,) linear RMS at 100 Hz
    onsets_s: list[float]
    log_mel: Tensor  # (T, 64) at 100 Hz
    duration_s: float


def data_uri(kind: str, data: bytes) -> Markup:
    """Bytes inside the page."""
    return Markup(f"data:{kind};base64,{base64.b64encode(data).decode()}")


def picture(draw: Callable[[Theme], Figure], alt: str) -> Picture:
    """`draw` in both themes; the same figure gives the same bytes."""
    return Picture(data_uri("image/svg+xml", _svg(draw(LIGHT))), data_uri("image/svg+xml", _svg(draw(DARK))), alt)


def _svg(figure: Figure) -> bytes:
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "postsync"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()


def histograms(evaluations: Sequence[Evaluation], metric: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """(edges (BINS + 1,), counts (BINS,) per evaluation) over the range that all evaluations span together."""
    values = [np.array([*clip_values(e, metric).values()]) for e in evaluations]
    pooled = np.concatenate(values)
    if not len(pooled):
        raise ValueError(f"{metric} has no finite value of a single clip")
    low, high = float(pooled.min()), float(pooled.max())
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # all equal: one bar in the middle
        low, high = low - 0.5 * max(abs(low), 1.0), high + 0.5 * max(abs(high), 1.0)
    edges = np.linspace(low, high, BINS + 1)
    return edges, [np.histogram(v, edges)[0] for v in values]


def histogram(evaluations: Sequence[Evaluation], metric: str, names: Sequence[str]) -> Picture:
    """The picture of a metric's distribution, with the median of each evaluation in its text."""
    edges, counts = histograms(evaluations, metric)
    facts = []
    for evaluation, name, count in zip(evaluations, names, counts):
        values = [*clip_values(evaluation, metric).values()]
        facts.append(f"{name}: {count.sum()} clips, median {np.median(values):.4g}" if values else f"{name}: no values")
    alt = f"Distribution of {metric} from {edges[0]:.4g} to {edges[-1]:.4g}. {'; '.join(facts)}"
    return picture(lambda theme: histogram_figure(evaluations, metric, names, theme), alt)


def histogram_figure(evaluations: Sequence[Evaluation], metric: str, names: Sequence[str], theme: Theme,
                     label: str = "") -> Figure:
    """One strip an evaluation over a shared axis, heights as shares of its clips; a line marks the median.

    Several strips are labelled with their names. `label` is below the axis.
    """
    from matplotlib.figure import Figure

    edges, counts = histograms(evaluations, metric)
    height, foot = len(counts) * _STRIP + _FOOT * (1 + bool(label)), _FOOT * (1 + bool(label))
    figure, last = Figure((_WIDTH / _DPI, height / _DPI)), None
    for row in reversed(range(len(counts))):  # the lowest carries the shared axis
        bottom = foot + (len(counts) - 1 - row) * _STRIP
        axes = figure.add_axes((_MARGIN / _WIDTH, bottom / height, 1 - 2 * _MARGIN / _WIDTH, (_STRIP - _FOOT) / height),
                               sharex=last, sharey=last)
        _bare(axes, theme, labelled=last is None)
        last = last or axes
        share = counts[row] / max(counts[row].sum(), 1)
        axes.stairs(share, edges, fill=True, color=theme.series[row % len(theme.series)])
        values = [*clip_values(evaluations[row], metric).values()]
        if values:
            axes.axvline(float(np.median(values)), color=theme.ink, lw=1.2)
        if len(names) > 1:
            axes.set_title(_printable(names[row]), fontsize=_FONT, color=theme.soft, loc="left", pad=2,
                           parse_math=False)
    assert last is not None
    last.locator_params(axis="x", nbins=5)
    if label:
        last.set_xlabel(_printable(label), fontsize=_FONT, color=theme.ink, parse_math=False)
    return figure


def _bare(axes: Axes, theme: Theme, labelled: bool) -> None:
    """Keep only the base line, with ticks and, if `labelled`, their values."""
    axes.set_yticks([])
    axes.tick_params(axis="x", labelsize=_FONT, labelcolor=theme.soft, color=theme.line, labelbottom=labelled)
    axes.patch.set_visible(False)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(theme.line)


def timeline(sound: SoundPlot, what: str, seconds: float, events: Sequence[tuple[float, bool]] | None = None,
             other: Tensor | None = None) -> Timeline:
    """The pictures of a sound over `seconds`.

    Args:
        what: names the sound in the alternative text.
        events: when it should sound (seconds) and whether the cause is visible; None if not annotated.
        other: an envelope (M,) at 100 Hz to compare with, drawn dashed.
    """
    seconds = max(seconds, 1e-3)
    shown = [(t, visible) for t, visible in events or () if 0 <= t <= seconds]
    alt = f"Loudness of {what} over {seconds:.1f} s: {len(sound.onsets_s)} onsets found"
    if events is not None:
        alt += f", {len(shown)} true onsets {', '.join(f'{t:.2f}' for t, _ in shown[:20])}"
    level = picture(lambda theme: level_figure(sound, seconds, shown, other, theme), alt)
    buffer = io.BytesIO()
    spectrogram_figure(sound, seconds, shown).savefig(buffer, format="png", dpi=_COLUMNS * _DPI / _WIDTH,
                                                      transparent=True)
    return Timeline(level, data_uri("image/png", buffer.getvalue()), seconds)


def level_figure(sound: SoundPlot, seconds: float, events: Sequence[tuple[float, bool]], other: Tensor | None,
                 theme: Theme) -> Figure:
    """Loudness in dB with onsets: triangles above for those found, lines for true ones, dotted where the cause is not
    visible. The full width is `seconds`, so that the page can draw the playback position."""
    from matplotlib.figure import Figure

    height = _TOP + _CURVE + _AXIS
    figure = Figure((_WIDTH / _DPI, height / _DPI))
    axes = figure.add_axes((0, _AXIS / height, 1, _CURVE / height), xlim=(0, seconds), ylim=(FLOOR_DB, 0))
    axes.set_axis_off()
    for db in (-20, -40):
        axes.axhline(db, color=theme.line, lw=0.8)
        axes.text(0.005 * seconds, db, f"{db} dB", fontsize=_FONT, color=theme.soft, va="bottom")
    if other is not None:
        axes.plot(*_level_curve(other), color=theme.soft, lw=0.8, ls=(0, (3, 2)))
    axes.plot(*_level_curve(sound.envelope), color=theme.series[0], lw=1.1)
    above = np.full(len(sound.onsets_s), 3.5)
    axes.plot(sound.onsets_s, above, "v", ms=5, mew=0, color=theme.series[1], clip_on=False)
    _draw_events(axes, events, theme)
    for t in _ticks(seconds):
        figure.text(t / seconds + 0.003, 4 / height, f"{t:g} s", fontsize=_FONT, color=theme.soft)
    return figure


def spectrogram_figure(sound: SoundPlot, seconds: float, events: Sequence[tuple[float, bool]]) -> Figure:
    """The mel spectrogram, low bands at the bottom, with lines at true onsets, over the same `seconds`."""
    from matplotlib.figure import Figure

    figure = Figure((_WIDTH / _DPI, _MEL / _DPI))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    low, high = _LOG_MEL_RANGE
    axes.imshow(_columns(sound.log_mel).T, origin="lower", aspect="auto", interpolation="nearest", cmap="magma",
                vmin=low, vmax=high, extent=(0, sound.duration_s, 0, sound.log_mel.shape[1]))
    axes.set_xlim(0, seconds)
    _draw_events(axes, events, DARK)
    return figure


def _draw_events(axes: Axes, events: Sequence[tuple[float, bool]], theme: Theme) -> None:
    for t, visible in events:
        axes.axvline(t, color=theme.truth, lw=0.9, ls="-" if visible else (0, (2, 3)))


def _level_curve(envelope: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Seconds and dB full scale of an envelope (M,)."""
    return np.arange(len(envelope)) / ENVELOPE_RATE, 20 * np.log10(
        np.maximum(envelope.numpy(), 10 ** (FLOOR_DB / 20)))


def _columns(log_mel: Tensor) -> np.ndarray:
    """At most 600 columns of a log-mel spectrogram (T, 64): the loudest of the frames that share one."""
    values = log_mel.numpy()
    edges = np.unique(np.linspace(0, len(values), min(len(values), _COLUMNS) + 1).round().astype(int))[:-1]
    return np.maximum.reduceat(values, edges, axis=0)


def _ticks(seconds: float) -> list[float]:
    step = next((s for s in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0) if seconds / s <= 6), 10.0)
    return [step * k for k in range(int(seconds / step) + 1) if step * k < 0.95 * seconds]


def write_plots(results: Evaluation | Sequence[Evaluation], folder: Path | str) -> list[Path]:
    """One PNG a metric that has values of single clips: its distribution, for several results above each other.

    Files are named after the metric. Returns their paths in the table's order. Raises PostsyncError for a result of
    another schema, MediaError where the folder cannot be made or written.
    """
    evaluations = evaluations_of(results)
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(f"{folder}: the folder could not be made ({one_line(error)}); choose another") from error
    names = [f"{name}   {e['generated']['count']} clips" for name, e in zip(column_names(evaluations), evaluations)]
    written: list[Path] = []
    for metric in clip_metrics(evaluations):
        label = f"{metric}   (height: share of the clips; line: median)"
        figure = histogram_figure(evaluations, metric, names, LIGHT, label)
        width, height = figure.get_size_inches()
        figure.set_size_inches(_PLOT_SCALE * width, _PLOT_SCALE * height)
        written.append(folder / f"{_file_name(metric, written)}.png")
        save_figure(figure, written[-1])
    return written


def _file_name(metric: str, taken: Sequence[Path]) -> str:
    """The metric's name in characters that every file system accepts, unlike the names `taken`."""
    name = re.sub(r"[^A-Za-z0-9@_-]+", "_", metric)[:80].strip("_") or "metric"
    used = {path.stem.lower() for path in taken}
    return name if name.lower() not in used else f"{name}_{len(taken) + 1}"


def _printable(text: str) -> str:
    """The end of a text, at most 60 characters, without characters that XML cannot contain."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[-60:])
