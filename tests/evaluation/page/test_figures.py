"""Pictures: what is drawn, where, and that plots are written."""

from __future__ import annotations

import base64
import copy
from xml.etree import ElementTree

import pytest
import torch

from postsync.evaluation.page.figures import (
    DARK,
    LIGHT,
    SoundPlot,
    histogram,
    histogram_figure,
    level_figure,
    spectrogram_figure,
    timeline,
    write_plots,
)

SOUND = SoundPlot(torch.full((80,), 0.1), [0.35], torch.full((80, 64), -5.0), 0.8)


def test_true_onsets_are_drawn_where_they_are() -> None:
    events = [(0.2, True), (0.4, False)]
    level, mel = level_figure(SOUND, 0.8, events, None, DARK), spectrogram_figure(SOUND, 0.8, events)
    for axes in (*level.axes, *mel.axes):
        drawn = [(float(line.get_xdata()[0]), line.get_linestyle()) for line in axes.lines
                 if line.get_color() == DARK.truth]
        assert drawn == [(0.2, "-"), (0.4, "--")]
        left, right = axes.get_position().intervalx  # so that the page can draw where a sound plays
        assert ((left, right), axes.get_xlim()) == ((0.0, 1.0), (0.0, 0.8))
    triangles = [line for line in level.axes[0].lines if line.get_marker() == "v"]
    assert [line.get_xdata().tolist() for line in triangles] == [[0.35]]


def test_the_picture_of_a_sound_says_what_it_shows_and_is_the_same_each_time() -> None:
    drawn = timeline(SOUND, "made, clip a", 0.8, [(0.2, True), (5.0, True)], SOUND.envelope)
    assert drawn.level.alt == "Loudness of made, clip a over 0.8 s: 1 onsets found, 1 true onsets 0.20"
    assert "true" not in timeline(SOUND, "made", 0.8).level.alt
    again = timeline(SOUND, "made, clip a", 0.8, [(0.2, True), (5.0, True)], SOUND.envelope)
    assert drawn == again
    assert drawn.level.light != drawn.level.dark
    content = base64.b64decode(drawn.level.dark.partition("base64,")[2]).decode()
    ElementTree.fromstring(content)
    assert DARK.truth in content
    assert LIGHT.truth not in content
    assert len(content) < 20_000


def test_histograms_share_an_axis_and_mark_medians(result) -> None:
    other = copy.deepcopy(result)
    for clip, value in zip(other["clips"], (0.2, 0.3, float("nan"))):
        clip["values"]["Onset-F1@50ms"] = value
    figure = histogram_figure([result, other], "Onset-F1@50ms", ["made", "a\x00\udcff$x"], LIGHT)
    strips = figure.axes[::-1]  # the lowest comes first
    assert [axes.get_title(loc="left") for axes in strips] == ["made", "a??$x"]
    assert [float(axes.lines[0].get_xdata()[0]) for axes in strips] == [0.5, 0.25]
    heights = [axes.patches[0].get_data().values for axes in strips]
    assert [float(values.sum()) for values in heights] == pytest.approx([1.0, 1.0])
    picture = histogram([result, other], "Onset-F1@50ms", ["made", "other"])
    assert picture.alt == ("Distribution of Onset-F1@50ms from 0.1 to 0.9. made: 3 clips, median 0.5; "
                           "other: 2 clips, median 0.25")


def test_plots_are_one_picture_a_metric(result, tmp_path) -> None:
    odd = copy.deepcopy(result)
    for clip in odd["clips"]:
        clip["values"] = {"Onset-F1@50ms": 1.0, "../../a$b": 1.0, "none": float("nan")}
    paths = write_plots(odd, tmp_path / "plots")
    assert [p.name for p in paths] == ["Onset-F1@50ms.png", "a_b.png"]
    assert all(p.parent == tmp_path / "plots" and p.read_bytes().startswith(b"\x89PNG") for p in paths)
