"""CondFoleyGen's onset scores, and the frame-wise ones of Video-Foley and SyncFusion."""

from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors.torch import load_file

from postsync.metrics.onset_protocols import (
    FrameOnsetAccuracy,
    FrameOnsetAveragePrecision,
    OnsetAccuracy,
    OnsetAveragePrecision,
    OnsetCountAccuracy,
    balanced_accuracy,
    balanced_average_precision,
    frame_onsets,
    onset_confidences,
    onset_hits,
    onset_number_accuracy,
    score_hits,
    suppress_weaker,
    take_strongest,
    weighted_bce,
)


def clicks(times: tuple[float, ...], levels: tuple[float, ...], sample_rate: int = 22050) -> torch.Tensor:
    """2 s of faint noise with short bursts."""
    generator = torch.Generator().manual_seed(0)
    waveform = 1e-4 * torch.randn(2 * sample_rate, generator=generator)
    decay = torch.exp(-torch.arange(2000) / 300)
    for time, level in zip(times, levels):
        start = round(time * sample_rate)
        waveform[start : start + 2000] += level * decay * torch.randn(2000, generator=generator)
    return waveform


@pytest.mark.golden
def test_official_onsets_of_waveforms(golden):
    pytest.importorskip("librosa")
    from postsync.features.onsets import librosa_onsets

    case = load_file(golden("eval_metrics") / "av.safetensors")
    expected = json.loads((golden("eval_metrics") / "expected_av.json").read_text())["condfoley_onsets"]
    for side in ("target", "gen"):
        found = (librosa_onsets(case[f"onset_{side}_wav"], 22050, delta=0.3) * 22050).round().long()
        assert found.tolist() == case[f"onset_{side}_samples"].tolist()
    hits = onset_hits(case["onset_target_wav"], case["onset_gen_wav"])
    assert hits.same_count == expected["count_match"]
    assert [int(hit) for hit in hits.generated_hits] == expected["hit_flags"]  # of the generated onsets
    assert hits.accuracy == pytest.approx(expected["detection_acc"])
    assert hits.average_precision == pytest.approx(expected["detection_ap"])


def test_waveforms_with_known_clicks():
    pytest.importorskip("librosa")
    target, generated = clicks((0.3, 0.9, 1.5), (0.5, 0.5, 0.5)), clicks((0.33, 0.9, 1.3), (0.3, 0.6, 0.5))
    hits = onset_hits(target, generated)
    assert hits.same_count
    assert hits.hits == (True, True, False)
    same = onset_hits(target, target)
    assert (same.accuracy, same.average_precision) == (1, 1)
    silent = onset_hits(target, torch.zeros(44100))
    assert (silent.same_count, silent.accuracy, silent.average_precision) == (False, 0, 0)


def test_the_strongest_near_onset_is_taken_and_the_walk_ends_when_none_is_left():
    assert take_strongest([1.0, 2.0], [0.95, 1.05, 1.98], [0.2, 0.9, 0.5], 0.1) == [1, 2]
    assert take_strongest([1.0, 1.02, 3.0], [1.0], [1.0], 0.1) == [0]
    assert take_strongest([1.0, 2.0], [1.1], [1.0], 0.05) == [None, None]
    # missed onsets after the end lower the accuracy but not the precision
    hits = score_hits([1.0, 2.0, 3.0], [1.0], [0.8], [0.8])
    assert (hits.accuracy, hits.average_precision, hits.hits) == (pytest.approx(1 / 3), 1, (True, False, False))


def test_weaker_neighbours_are_suppressed_only_by_those_that_stay():
    assert suppress_weaker([1.0, 1.04, 1.08], [0.9, 0.8, 0.7], 0.05) == [0, 2]
    assert suppress_weaker([1.0, 1.04, 1.08], [0.7, 0.9, 0.8], 0.05) == [1, 2]  # 0 goes, and the walk steps over 2
    assert suppress_weaker([1.0, 1.01, 1.04, 1.05], [0.7, 0.6, 0.9, 0.8], 0.05) == [1, 2]
    assert suppress_weaker([5, 6], [0.1, 0.2], 1) == [0, 1]


def test_confidence_is_the_greatest_level_near():
    level = torch.zeros(22050)
    level[[5000, 9000]] = torch.tensor([0.4, 0.9])
    assert onset_confidences(level, [5500 / 22050, 7000 / 22050, 9000 / 22050], 22050) == pytest.approx([0.4, 0.0, 0.9])


def test_empty_sides():
    assert math.isnan(score_hits([], [], [], []).accuracy)
    assert score_hits([1.0], [], [], []).average_precision == 0
    assert score_hits([], [1.0], [0.5], [0.5]).accuracy == 0


def test_metrics_average_and_merge():
    clips = [score_hits([1.0, 2.0], [1.0, 3.0], [0.9, 0.4], [0.9, 0.4]), score_hits([1.0], [1.0], [0.5], [0.5]),
             score_hits([], [], [], [])]
    expected = {OnsetCountAccuracy: 1.0, OnsetAccuracy: 0.75,
                OnsetAveragePrecision: (clips[0].average_precision + 1) / 2}
    for metric_class, value in expected.items():
        first, second = metric_class(), metric_class()
        first.update(clips[0])
        second.update(clips[1])
        second.update(clips[2])
        first.merge_state(second)
        assert float(first.compute()) == pytest.approx(value)


@pytest.mark.golden
def test_official_frame_onsets(golden):
    case = load_file(golden("video2rms_quant") / "data.safetensors")
    found = frame_onsets(case["onset.prob"], case["onset.gt"], fps=30)
    torch.testing.assert_close(found.labels, case["onset.y_gt"].long())
    torch.testing.assert_close(found.scores, case["onset.y_pred"], atol=1e-6, rtol=0)
    torch.testing.assert_close(found.kept, case["onset.nms_result"].long())
    assert found.accuracy == pytest.approx(float(case["onset.OnsetACC"]), abs=1e-6)
    assert found.average_precision == pytest.approx(float(case["onset.OnsetAP"]), abs=1e-6)


@pytest.mark.golden
def test_official_scores_of_syncfusion(golden):
    case = load_file(golden("video2rms_quant") / "data.safetensors")
    logits, labels = case["syncfusion.logits"], case["syncfusion.labels"]
    for function, name, tolerance in ((weighted_bce, "weighted_bce", 1e-5), (balanced_average_precision, "AP", 1e-6),
                                      (balanced_accuracy, "Acc", 1e-6), (onset_number_accuracy, "OnsNumAcc", 1e-6)):
        assert float(function(logits, labels)) == pytest.approx(float(case[f"syncfusion.{name}"]), abs=tolerance), name


def test_frame_onsets_by_hand():
    probabilities, labels = torch.full((60,), 0.1), torch.zeros(60)
    probabilities[[10, 20, 40]] = torch.tensor([0.9, 0.6, 0.7])
    labels[[11, 30, 42]] = 1
    found = frame_onsets(probabilities, labels, fps=30)
    # 11 takes 10; nothing is near 30; 42 takes 40; 20 is invented
    assert found.labels.tolist() == [1, 1, 1, 0]
    torch.testing.assert_close(found.scores, torch.tensor([0.9, 0.1, 0.7, 0.6]))
    assert found.accuracy == 0.5
    first, second = FrameOnsetAccuracy(), FrameOnsetAccuracy()
    first.update(probabilities, labels, 30)
    second.update(labels * 0.9, labels, 30)
    first.merge_state(second)
    assert float(first.compute()) == pytest.approx(0.75)
    precision = FrameOnsetAveragePrecision()
    precision.update(labels * 0.9, labels, 30)
    precision.update(labels * 0, labels * 0, 30)
    assert (float(precision.compute()), int(precision.num_undefined)) == (1, 1)
    with pytest.raises(ValueError, match=r"\(F,\)"):
        frame_onsets(probabilities, labels[:9], 30)


def test_balanced_scores_by_hand():
    labels = torch.tensor([[0, 1, 0, 0, 1, 0]])
    logits = torch.tensor([[9.0, 9.0, -9.0, 9.0, -9.0, -9.0]])
    assert balanced_accuracy(logits, labels) == 0.5  # positives 1 of 2, first two negatives 1 of 2
    assert onset_number_accuracy(logits, labels) == 1  # hits at 0 and 3, the one at 1 is cleared
    assert onset_number_accuracy(0 * logits, labels) == 0
    # the negative that beats a positive is the third, which is not looked at
    assert balanced_average_precision(torch.tensor([[-9.0, 1, -8, 5, 2, 5]]), labels) == 1
    with pytest.raises(ValueError, match="with and without"):
        balanced_accuracy(logits, labels * 0)
