"""What is measured against known events, on sounds whose answer is plain."""

import numpy as np
import pytest
import torch

from handmade_clips import RATE, clicks, observed, pair_of
from postsync.evaluation import scene_measures as scene
from postsync.evaluation.sides import LeftOut


def seen(*times: float) -> tuple[tuple[float, bool], ...]:
    return tuple((t, True) for t in times)


def test_onsets_on_time_late_missed_and_invented_are_counted():
    pair = pair_of(clicks(0.3, 0.84, 1.7), events=seen(0.3, 0.8, 1.2))
    assert scene.onset_counts(pair, 0.025) == (1, 3, 3)
    assert scene.onset_counts(pair, 0.05) == (2, 3, 3)
    assert scene.missed(pair, 0.1) == (1, 1)
    assert scene.invented(pair, 0.1) == (1, 1)


def test_f1_precision_and_recall_are_ratios_of_pooled_counts():
    sums = np.array([[2.0, 4.0, 3.0], [0.0, 0.0, 0.0]])
    assert scene.precision(sums)[0] == pytest.approx(0.5)
    assert scene.recall(sums)[0] == pytest.approx(2 / 3)
    assert scene.f1(sums)[0] == pytest.approx(4 / 7)
    assert np.isnan(scene.f1(sums)[1])


def test_a_sound_at_an_unseen_event_is_neither_asked_for_nor_invented():
    events = ((0.3, True), (1.0, False))
    assert scene.onset_counts(pair_of(clicks(0.3, 1.0), events=events), 0.05) == (1, 1, 1)
    assert scene.onset_counts(pair_of(clicks(0.3), events=events), 0.05) == (1, 1, 1)
    assert scene.invented(pair_of(clicks(0.3, 1.0, 1.5), events=events), 0.1) == (1, 1)


@pytest.mark.parametrize("shift", [-0.04, 0.04])
def test_the_lag_has_the_sign_of_a_late_sound(shift):
    total, count = scene.lag_ms(pair_of(clicks(0.5 + shift, 1.2 + shift), events=seen(0.5, 1.2)), 0.1)
    assert count == 2
    assert total / count == pytest.approx(1000 * shift, abs=5)
    absolute, _ = scene.lag_ms(pair_of(clicks(0.5 + shift, 1.2 + shift), events=seen(0.5, 1.2)), 0.1, absolute=True)
    assert absolute == pytest.approx(abs(total))


def test_events_past_the_measured_time_do_not_count():
    pair = pair_of(clicks(0.3), events=seen(0.3, 61.0))
    assert scene.onset_counts(pair, 0.05) == (1, 1, 1)


def test_events_that_nobody_wrote_down_leave_the_clip_out():
    pair = pair_of(clicks(0.3))
    unknown = type(pair)(**{**vars(pair), "facts": type(pair.facts)("a", pair.facts.sound, None)})
    with pytest.raises(LeftOut, match="no written events"):
        scene.onset_counts(unknown, 0.05)


def test_loudness_is_compared_in_lu_and_silence_counts_as_the_gate():
    tone = 0.5 * torch.sin(torch.arange(2 * RATE) * 0.4)[None]
    assert scene.loudness_error(pair_of(0.5 * tone, tone))[0] == pytest.approx(6.02, abs=0.05)
    error, _ = scene.loudness_error(pair_of(0 * tone, tone))
    assert 50 < error < 70


def test_envelopes_are_compared_over_the_common_length_whatever_their_level():
    true, short = clicks(0.3, 0.9, 1.4), clicks(0.3, 0.9, duration_s=1.2, level=0.1)
    pair = pair_of(short, true)
    assert scene.envelope_r(pair)[0] == pytest.approx(1.0, abs=1e-4)
    assert scene.envelope_lag(pair)[0] == 0
    assert scene.envelope_error_db(pair, -40.0)[0] == pytest.approx(0.0, abs=0.01)
    late = pair_of(clicks(0.35, 0.95, 1.45), true)
    assert scene.envelope_lag(late)[0] == pytest.approx(50, abs=10)
    assert scene.envelope_r(late)[0] < 0.6
    assert scene.envelope_error_db(late, -40.0)[0] > 1


@pytest.mark.parametrize("silent", ["generated", "reference"])
def test_silence_is_neither_late_nor_on_time(silent):
    sounds = {"generated": clicks(0.5), "reference": clicks(0.5)} | {silent: torch.zeros(1, 2 * RATE)}
    with pytest.raises(LeftOut, match=rf"one loudness throughout \({silent}\)"):
        scene.envelope_lag(pair_of(sounds["generated"], sounds["reference"]))


def test_the_stored_envelope_of_the_foreground_is_the_truth(tmp_path):
    np.save(tmp_path / "a.npy", scene.envelope_of(observed(clicks(0.5))).numpy())
    pair = pair_of(clicks(0.5), clicks(1.5))
    stored = type(pair.facts)(**{**vars(pair.facts), "envelope": tmp_path / "a.npy"})
    assert scene.envelope_r(pair)[0] < 0.1
    assert scene.envelope_r(type(pair)(**{**vars(pair), "facts": stored}))[0] == pytest.approx(1.0)


@pytest.mark.parametrize("content", [None, b"", b"no array", np.zeros((3, 2)), np.array(["loud"])])
def test_a_stored_envelope_that_is_none_leaves_the_clip_out(tmp_path, content):
    path = tmp_path / "a.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    pair = pair_of(clicks(0.5), clicks(0.5))
    stored = type(pair.facts)(**{**vars(pair.facts), "envelope": path})
    with pytest.raises(LeftOut, match=r"a\.npy.*export it again"):
        scene.envelope_r(type(pair)(**{**vars(pair), "facts": stored}))


def test_only_families_of_the_scenes_are_named(measured):
    with pytest.raises(LeftOut, match="'car'"):
        scene.family_hit(pair_of(clicks(0.3), label="car"))
