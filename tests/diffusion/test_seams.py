"""What benchmarks/seams.py measures: a step at a seam is found, and the windows of a pipeline leave none."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "seams.py"


@pytest.fixture(scope="module")
def seams():
    spec = importlib.util.spec_from_file_location("seams", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_step_stands_out_and_noise_does_not(seams):
    noise = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0))
    places = list(range(200, 4000, 200))
    assert 0.3 < np.mean(seams.seam_ranks(noise, places, 10)) < 0.7
    stepped = noise + 2 * (torch.arange(4000) // 200 % 2)[:, None]
    assert min(seams.seam_ranks(stepped, places, 10)) > 0.95


def test_jumps_are_differences_of_means(seams):
    jumps = seams.jumps(torch.tensor([0.0, 0, 0, 1, 1, 3])[:, None], 2)
    assert jumps[2:5].tolist() == pytest.approx([0.5, 1.0, 1.5])
    assert np.isnan(jumps[[0, 1, 5]]).all()


def test_edges_are_those_of_the_windows(seams):
    assert seams.window_edges(24, 16, 4, 4) == [32, 64]
    assert seams.window_edges(16, 16, 4, 4) == []


def test_windows_of_a_pipeline_leave_no_seam(pipe, seams):
    """Random weights, many windows: jumps of the latents at their edges are like those anywhere."""
    latents = pipe(prompt="rain", duration_s=8.0, generator=torch.Generator().manual_seed(0),
                   output_type="latent").audios[0]
    edges = seams.window_edges(200, 16, 4, 1)
    ranks = seams.seam_ranks(latents.T, edges, 2)
    assert len(ranks) > 25
    assert np.mean(ranks) < 0.75
    assert np.mean(np.array(ranks) > 0.95) < 0.2
