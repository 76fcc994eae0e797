"""AV-Align by peak lists of official code, cases worked by hand and whole clips; Align-Acc and DeSync."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from postsync.features.flow import flow_magnitudes, luma, motion_peaks
from postsync.features.onsets import librosa_onsets
from postsync.metrics.alignment import (
    FLOW_THRESHOLD,
    AlignAccuracy,
    AVAlign,
    DeSync,
    align_accuracy,
    av_align,
    desync_s,
    predicted_offset_s,
)

OFFICIAL = {"SVG": "svg_baseline", "TempoTokens-2023": "tempotokens_2023", "TempoTokens-2025": "tempotokens_2025"}


@pytest.mark.golden
@pytest.mark.parametrize("variant", OFFICIAL)
def test_official_peak_lists(golden, variant):
    cases = json.loads((golden("eval_metrics") / "expected_av.json").read_text())["peak_lists"]
    for case in cases:
        found = av_align(case["audio_peaks"], case["video_peaks"], case["fps"], variant)
        expected = case[OFFICIAL[variant]]
        if expected == "ZeroDivisionError":
            assert math.isnan(found)
        else:
            assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.golden
def test_official_peak_lists_of_sounding_video(golden):
    for case in json.loads((golden("sv_av_align") / "peaks_cases.json").read_text()):
        found = av_align(case["audio_peaks"], case["video_peaks"], case["fps"])
        assert found == pytest.approx(case["av_align"], abs=1e-9)


@pytest.mark.golden
def test_official_clips_from_frames_and_samples(golden):
    pytest.importorskip("librosa")
    case = load_file(golden("eval_metrics") / "av.safetensors")
    expected = json.loads((golden("eval_metrics") / "expected_av.json").read_text())["clip"]
    onsets = librosa_onsets(case["audio_22050"], expected["audio_sample_rate_loaded"])
    torch.testing.assert_close(onsets, case["audio_peaks_s"], atol=1e-6, rtol=0)
    trajectory = flow_magnitudes(case["gray_frames"], backend="postsync")
    for variant, name in OFFICIAL.items():
        peaks = motion_peaks(trajectory, expected["fps"], FLOW_THRESHOLD[variant])
        assert av_align(onsets, peaks, expected["fps"], variant) == pytest.approx(expected[name], abs=1e-9)
    case, config = (load_file(golden("sv_av_align") / "case.safetensors"),
                    json.loads((golden("sv_av_align") / "config.json").read_text()))
    onsets = librosa_onsets(case["audio"], config["audio_sr"])
    torch.testing.assert_close(onsets, case["audio_peaks"], atol=1e-6, rtol=0)
    pictures = luma(case["frames_bgr"].flip(-1).permute(0, 3, 1, 2))
    peaks = motion_peaks(flow_magnitudes(pictures, backend="postsync"), config["fps"])
    assert av_align(onsets, peaks, config["fps"]) == pytest.approx(float(case["score"]), abs=1e-9)


def test_variants_differ_where_one_peak_serves_many():
    """Three onsets around one peak: all are matched, or one is, or all are but the union is counted wrongly."""
    audio, video = [0.95, 1.0, 1.05], [1.0]
    assert av_align(audio, video, 8, "SVG") == 1
    assert av_align(audio, video, 8, "TempoTokens-2023") == 3
    assert av_align(audio, video, 8, "TempoTokens-2025") == pytest.approx(1 / 3)


def test_a_whole_frame_apart_is_no_match():
    assert av_align([1.0], [1.125], 8) == 0
    assert av_align([1.0], [1.124], 8) == 1
    assert av_align([1.0], [1.125], 7) == 1


def test_metric_averages_merges_and_counts_what_is_undefined():
    clips = [([0.5, 1.0], [0.5]), ([], []), ([1.0], [1.0])]
    first, second = AVAlign("TempoTokens-2025"), AVAlign("TempoTokens-2025")
    first.update(*map(torch.tensor, clips[0]), fps=8)
    for audio, video in clips[1:]:
        second.update(audio, video, 8)
    first.merge_state(second)
    assert (float(first.compute()), int(first.num_undefined)) == (0.75, 1)


def test_unknown_variant_is_refused():
    with pytest.raises(ValueError, match="TempoTokens-2023"):
        av_align([], [], 8, "2024")


def rows(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.golden
def test_official_offsets(golden):
    case = load_file(golden("eval_metrics") / "logits.safetensors")
    expected = json.loads((golden("eval_metrics") / "expected_features.json").read_text())
    windows = torch.stack([case["desync_logits_first"], case["desync_logits_last"]], 1)
    assert float(desync_s(windows).mean()) == pytest.approx(expected["desync/mean_abs_offset_s"]["value"], abs=1e-6)


def test_a_half_is_not_aligned():
    assert align_accuracy(torch.tensor([0.0, 0.5, 0.51, 1.0])) == 0.5
    with pytest.raises(ValueError, match="sigmoid"):
        align_accuracy(torch.tensor([1.7]))


def test_offsets_of_the_classes():
    logits = torch.eye(21)[[0, 3, 10, 20]]
    np.testing.assert_allclose(predicted_offset_s(logits), [-2.0, -1.4, 0.0, 2.0], atol=1e-12)
    np.testing.assert_allclose(desync_s(torch.stack([logits[:2], logits[2:]], 1)), [1.0, 1.7], atol=1e-12)
    with pytest.raises(ValueError, match="windows"):
        desync_s(logits)


@pytest.mark.parametrize(("metric_class", "arguments", "better"), [
    (AlignAccuracy, (rows(7).sigmoid(),), True), (DeSync, (rows(7, 2, 21),), False)])
def test_metrics_merge(metric_class, arguments, better):
    whole, first, second = metric_class(), metric_class(), metric_class()
    whole.update(*arguments)
    first.update(*(a[:3] for a in arguments))
    second.update(*(a[3:] for a in arguments))
    first.merge_state(second)
    torch.testing.assert_close(first.compute(), whole.compute())
    assert (int(first.count), metric_class.higher_is_better) == (7, better)
