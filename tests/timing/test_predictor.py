"""The predictor: any length, any rate, silent where nothing moves, the same however it is windowed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from postsync import weights
from postsync.metrics.onsets import onset_scores
from postsync.scenes.render import HELD_OUT_SEED, clean_scenes, render_scene
from postsync.timing import predictor as module
from postsync.timing.motion_features import CELL_CHANNELS, FEATURE_RATE, GLOBAL_CHANNELS, CellFeatures
from postsync.timing.predictor import (
    INPUT_CHANNELS,
    NUM_CELLS,
    OUTPUTS,
    TimingNetwork,
    TimingPredictor,
    active_cells,
    cell_scale,
    plain_cues,
    predict,
)


@pytest.fixture(scope="module")
def tiny() -> TimingPredictor:
    torch.manual_seed(0)
    return TimingPredictor(num_members=2, width=8, hidden=8).eval()


@pytest.fixture(scope="module")
def bundled() -> TimingPredictor:
    return TimingPredictor.from_pretrained(weights.bundled("timing"))


def lively(seconds: float, seed: int = 0, scale: float = 0.1) -> CellFeatures:
    generator = torch.Generator().manual_seed(seed)
    count = round(seconds * FEATURE_RATE)
    beat = (torch.arange(count) % 50 < 20).float()[:, None, None]  # things move in bursts
    cells = scale * (beat + 0.2 * torch.rand(count, CELL_CHANNELS, 144, generator=generator))
    return CellFeatures(cells.half(), torch.zeros(count, GLOBAL_CHANNELS))


def read(predictor: TimingPredictor, seed: int, **scene):
    clip = render_scene(seed, clean_scenes(size=96, **scene))
    reader = predictor.reader()
    for frame, time_s in zip(clip.frames, clip.times.tolist(), strict=True):
        reader.push(frame, time_s)
    return clip, reader.finish(clip.duration_s)


@pytest.mark.parametrize("length", [1, 50, 375])
def test_one_member_answers_at_the_rate_of_its_input(length):
    network = TimingNetwork(width=8, hidden=8).eval()
    cells = torch.rand(2, INPUT_CHANNELS, NUM_CELLS, length)
    answer = network(cells)
    assert answer.shape == (2, len(OUTPUTS), length)
    torch.testing.assert_close(network(cells.flip(2)), answer, atol=1e-5, rtol=1e-4)  # the cells are a set


def test_the_mini_has_about_seventy_thousand_values_a_member():
    assert 50_000 < sum(p.numel() for p in TimingNetwork().parameters()) < 120_000


def test_members_are_averaged(tiny):
    cells = torch.rand(1, INPUT_CHANNELS, NUM_CELLS, 40)
    torch.testing.assert_close(tiny(cells), 0.5 * (tiny.members[0](cells) + tiny.members[1](cells)))


@pytest.mark.parametrize("seconds", [0.03, 1.0, 7.77])
def test_any_length(tiny, seconds):
    result = predict(tiny, lively(seconds), seconds)
    assert result.envelope.values.shape == (round(seconds * 100),)
    assert result.envelope.values.min() >= 0
    assert result.envelope.values.max() <= 1


def test_long_clips_are_read_in_windows_without_a_seam(bundled, monkeypatch):
    whole = predict(bundled, lively(15.9), 15.9).envelope.values
    monkeypatch.setattr(module, "WINDOW", 500)
    monkeypatch.setattr(module, "HOP", 375)
    windowed = predict(bundled, lively(15.9), 15.9).envelope.values
    assert torch.corrcoef(torch.stack([whole, windowed]))[0, 1] > 0.99
    changed = (windowed.diff() - whole.diff()).abs()
    near_seams = torch.zeros(len(changed), dtype=torch.bool)
    for seam in (600, 800, 1200, 1400):
        near_seams[seam - 3:seam + 3] = True
    assert changed[near_seams].max() < changed[~near_seams].max()  # the windows show at their seams no more than inside


def test_cells_are_chosen_by_energy_and_scaled_by_the_clip():
    features = lively(1.0)
    features.cells[:, 1, 40] = 1.0
    cells = active_cells(features)
    assert cells.shape == (INPUT_CHANNELS, NUM_CELLS, round(FEATURE_RATE))
    louder = CellFeatures(features.cells * 2, features.whole)
    torch.testing.assert_close(active_cells(louder)[:3], cells[:3], atol=2e-3, rtol=2e-3)
    quiet = CellFeatures(features.cells / 1000, features.whole)
    assert active_cells(quiet)[1].max() < 0.5  # never lifted beyond the least scale
    assert plain_cues(cells).shape == (3, round(FEATURE_RATE))
    assert cell_scale(louder) == pytest.approx(2 * cell_scale(features), rel=1e-2)


def test_nothing_moves_nothing_sounds(bundled):
    rng = np.random.default_rng(0)
    ground = rng.uniform(60, 200, (96, 96))
    for noise in (0.0, 3.0):
        reader = bundled.reader()
        for k in range(75):
            reader.push((ground + noise * rng.standard_normal(ground.shape)).clip(0, 255).astype(np.uint8), k / 25)
        result = reader.finish(3.0)
        assert result.envelope.values.shape == (300,)
        assert result.envelope.values.abs().max() == 0
        assert len(result.onsets_s) == 0


def test_no_frame_or_one_frame_is_silence(tiny):
    assert tiny.reader().finish().envelope.values.shape == (0,)
    reader = tiny.reader()
    reader.push(np.zeros((20, 30), np.uint8), 0.0)
    assert reader.finish(0.5).envelope.values.tolist() == [0.0] * 50


def test_the_bundled_predictor_finds_hits(bundled):
    clip, result = read(bundled, HELD_OUT_SEED + 1, families=("metal_strike",), fps=30.0)
    truth = [event.t for event in clip.events if event.visible]
    assert onset_scores(result.onsets_s, truth).f1 >= 0.8
    assert torch.corrcoef(torch.stack([result.envelope.values, clip.envelope]))[0, 1] > 0.5
    assert len(result.strengths) == len(result.onsets_s)
    assert not result.estimated


def test_saved_and_loaded_it_says_the_same(tiny, tmp_path):
    tiny.save_pretrained(tmp_path)
    again = TimingPredictor.from_pretrained(tmp_path)
    first, second = predict(tiny, lively(2.0)), predict(again, lively(2.0))
    torch.testing.assert_close(first.envelope.values, second.envelope.values)
