"""AV-Align: peak lists of official code, cases worked by hand, and the whole way from frames and samples."""

from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors.torch import load_file

from postsync.features.flow import flow_magnitudes, luma, motion_peaks
from postsync.features.onsets import librosa_onsets
from postsync.metrics.av_align import FLOW_THRESHOLD, AVAlign, av_align

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
    trajectory = flow_magnitudes(case["gray_frames"])
    for variant, name in OFFICIAL.items():
        peaks = motion_peaks(trajectory, expected["fps"], FLOW_THRESHOLD[variant])
        assert av_align(onsets, peaks, expected["fps"], variant) == pytest.approx(expected[name], abs=1e-9)
    case, config = (load_file(golden("sv_av_align") / "case.safetensors"),
                    json.loads((golden("sv_av_align") / "config.json").read_text()))
    onsets = librosa_onsets(case["audio"], config["audio_sr"])
    torch.testing.assert_close(onsets, case["audio_peaks"], atol=1e-6, rtol=0)
    peaks = motion_peaks(flow_magnitudes(luma(case["frames_bgr"].flip(-1).permute(0, 3, 1, 2))), config["fps"])
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
