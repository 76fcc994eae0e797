"""What metrics are given of a clip, on sounds whose answer is plain."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from postsync.evaluation import clip_inputs as clips
from postsync.evaluation.observation import Pair
from postsync.evaluation.sides import Skipped
from postsync.evaluation.suites import suite
from postsync.metrics.signals import RECIPES, e_l1
from synthetic_clips import RATE, clicks, observed, pair_of


def visible(*times: float) -> tuple[tuple[float, bool], ...]:
    return tuple((t, True) for t in times)


def measured_alone(pair: Pair, name: str, of: str = "scenes") -> float:
    """A metric of a suite for one clip."""
    metric = next(m for m in suite(of).metrics if m.name == name)
    return float(metric.metric.value(metric.metric.terms(*metric.inputs(pair, **metric.settings)).double()))


def stored_envelope(pair: Pair, path) -> Pair:
    return dataclasses.replace(pair, facts=dataclasses.replace(pair.facts, envelope=path))


def jumping(*frames: int, count: int = 20, size: int = 32) -> torch.Tensor:
    """Pictures (count, 3, size, size) of a textured square that jumps sideways at the given frames."""
    texture = torch.randint(0, 255, (12, 12), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    pictures, left = torch.full((count, 3, size, size), 60, dtype=torch.uint8), 4
    for k in range(count):
        left += 3 if k in frames else 0
        pictures[k, :, 10:22, left:left + 12] = texture
    return pictures


def shown(pair: Pair, pictures: torch.Tensor, fps: float = 10.0) -> Pair:
    return dataclasses.replace(pair, shown=observed(clicks(0.1), pictures, fps))


def test_onsets_on_time_late_missed_and_invented_are_counted():
    pair = pair_of(clicks(0.3, 0.84, 1.7), events=visible(0.3, 0.8, 1.2))
    assert measured_alone(pair, "Onset-precision@25ms") == pytest.approx(1 / 3)
    assert measured_alone(pair, "Onset-F1@50ms") == pytest.approx(2 / 3)
    assert measured_alone(pair, "Missed-sounds@100ms") == 1
    assert measured_alone(pair, "Invented-sounds@100ms") == 1


def test_a_sound_at_an_invisible_event_is_neither_wanted_nor_invented():
    events = ((0.3, True), (1.0, False))
    for sound in (clicks(0.3, 1.0), clicks(0.3)):
        assert measured_alone(pair_of(sound, events=events), "Onset-F1@50ms") == 1
    pair = pair_of(clicks(0.3, 1.0, 1.5), events=events)
    assert measured_alone(pair, "Invented-sounds@100ms") == 1
    assert measured_alone(pair, "Onset-precision@100ms") == pytest.approx(0.5)


@pytest.mark.parametrize("shift", [-0.04, 0.04])
def test_the_lag_has_the_sign_of_a_late_sound(shift):
    pair = pair_of(clicks(0.5 + shift, 1.2 + shift), events=visible(0.5, 1.2))
    assert measured_alone(pair, "Onset-lag-ms") == pytest.approx(1000 * shift, abs=5)
    assert measured_alone(pair, "Onset-lag-abs-ms") == pytest.approx(abs(measured_alone(pair, "Onset-lag-ms")))


class Recorder:
    """Stands in for the networks; keeps what each was given."""

    device, sample_rate, resampler, fps = "cpu", RATE, "sinc", 4.0

    def __init__(self) -> None:
        self.given: list[tuple] = []
        self.model = self

    def __getitem__(self, name: str) -> Recorder:
        return self

    def run(self, compute):
        return compute()

    def audio_features(self, waveform: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"embedding": torch.zeros(1, 2)}

    def video_features(self, pictures: torch.Tensor, *about) -> dict[str, torch.Tensor]:
        self.given.append((pictures[:, 0, 0, 0].tolist(), *about))
        return {"steps": torch.zeros(len(pictures), 2), "embedding": torch.zeros(2)}

    def probability(self, waveform: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        self.given.append((waveform.shape[1], steps.shape[1]))
        return torch.zeros(len(waveform))


def recorded(duration_s: float, fps: float = 25.0) -> tuple[Recorder, Pair]:
    """A clip of 10 s whose pictures are their number, and the networks that get it."""
    networks = Recorder()
    frames = torch.arange(round(10 * fps)).to(torch.uint8)[:, None, None, None].expand(-1, 3, 4, 4)
    clip = observed(clicks(0.1, duration_s=10.0), frames, fps, duration_s=duration_s)
    clip.networks = networks
    return networks, dataclasses.replace(pair_of(clicks(0.1)), made=clip, shown=clip, networks=networks)


def test_align_accuracy_reads_the_whole_ten_seconds_of_pictures():
    networks, pair = recorded(8.16)
    clips.aligned_probability(pair)
    pictures, = networks.given[0]
    assert pictures[:4] == [3, 9, 15, 21]
    assert networks.given[1] == (round(8.16 * RATE), 40)
    metric = next(m for m in suite("vggsound").metrics if m.name == "Align-Acc")
    assert metric.picture_s == 10


@pytest.mark.parametrize("fps", [8.0, 25.0, 24.999, 30000 / 1001])
def test_imagebind_reads_every_picture_or_one_of_two_seconds_as_ffmpeg_rounds(fps):
    networks, pair = recorded(8.0, fps)
    clips.imagebind_sound_and_picture(pair, "imagebind")
    clips.imagebind_sound_and_picture(pair, "av-benchmark")
    own, sparse = networks.given
    assert own[0] == [k % 256 for k in range(round(8 * fps))]
    assert own[1] == pytest.approx(25 if fps == 24.999 else fps)
    assert sparse[1] == 0.5
    assert sparse[0] == [math.ceil((2 * k + 1) * fps - 1e-6) - 1 for k in range(4)]


def test_events_past_the_measured_time_do_not_count():
    onsets, seen, unseen = clips.onsets_and_events(pair_of(clicks(0.3), events=((0.3, True), (61.0, True))))
    assert (len(onsets), seen, unseen) == (1, [0.3], [])


def test_a_clip_without_annotated_events_is_skipped():
    pair = pair_of(clicks(0.3))
    unknown = dataclasses.replace(pair, facts=type(pair.facts)("a", pair.facts.sound, None))
    with pytest.raises(Skipped, match="no annotated events"):
        clips.onsets_and_events(unknown)


def test_loudness_is_compared_in_lu_and_silence_counts_as_the_gate():
    tone = 0.5 * torch.sin(torch.arange(2 * RATE) * 0.4)[None]
    assert measured_alone(pair_of(0.5 * tone, tone), "Loudness-error-LU") == pytest.approx(6.02, abs=0.05)
    assert 50 < measured_alone(pair_of(0 * tone, tone), "Loudness-error-LU") < 70


def test_identical_sound_in_stereo_and_mono_is_equally_loud():
    tone = 0.5 * torch.sin(torch.arange(2 * RATE) * 0.4)[None]
    for made, real in ((tone.expand(2, -1), tone), (tone, tone.expand(2, -1))):
        assert measured_alone(pair_of(made, real), "Loudness-error-LU") == pytest.approx(0, abs=1e-9)


def test_envelopes_are_compared_over_the_common_length_whatever_their_level():
    true, short = clicks(0.3, 0.9, 1.4), clicks(0.3, 0.9, duration_s=1.2, level=0.1)
    pair = pair_of(short, true)
    assert measured_alone(pair, "Envelope-r") == pytest.approx(1.0, abs=1e-4)
    assert measured_alone(pair, "Envelope-lag-ms") == 0
    assert measured_alone(pair, "Envelope-error-dB") == pytest.approx(0.0, abs=0.01)
    late = pair_of(clicks(0.35, 0.95, 1.45), true)
    assert measured_alone(late, "Envelope-lag-ms") == pytest.approx(50, abs=10)
    assert measured_alone(late, "Envelope-r") < 0.6
    assert measured_alone(late, "Envelope-error-dB") > 1


@pytest.mark.parametrize("silent", ["generated", "reference"])
def test_silence_is_neither_late_nor_on_time(silent):
    sounds = {"generated": clicks(0.5), "reference": clicks(0.5)} | {silent: torch.zeros(1, 2 * RATE)}
    with pytest.raises(Skipped, match=rf"constant loudness \({silent}\)"):
        clips.varying_envelopes(pair_of(sounds["generated"], sounds["reference"]))


def test_the_stored_envelope_of_the_foreground_is_the_truth(tmp_path):
    np.save(tmp_path / "a.npy", clips.envelope_of(observed(clicks(0.5))).numpy())
    pair = pair_of(clicks(0.5), clicks(1.5))
    assert measured_alone(pair, "Envelope-r") < 0.1
    assert measured_alone(stored_envelope(pair, tmp_path / "a.npy"), "Envelope-r") == pytest.approx(1.0)


@pytest.mark.parametrize("content", [None, b"", b"no array", np.zeros((3, 2)), np.array(["loud"])])
def test_a_clip_with_an_unreadable_stored_envelope_is_skipped(tmp_path, content):
    path = tmp_path / "a.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    with pytest.raises(Skipped, match=r"a\.npy.*export it again"):
        clips.envelopes(stored_envelope(pair_of(clicks(0.5), clicks(0.5)), path))


def test_only_families_of_the_scenes_are_named():
    with pytest.raises(Skipped, match="'car'"):
        clips.families(pair_of(clicks(0.3), label="car"))
    (named,), (own,) = clips.families(pair_of(clicks(0.3), label="wood_strike"))
    assert own == "wood_strike"
    assert named in pair_of(clicks(0.3)).networks["scene_classifier"].model.families


def test_av_align_finds_sounds_where_the_picture_jumps():
    pictures = jumping(5, 12)
    on_time, off = (shown(pair_of(sound), pictures) for sound in (clicks(0.5, 1.2), clicks(0.8, 1.55)))
    assert measured_alone(on_time, "AV-Align-SVG", "sounding-video") > 0.6
    assert measured_alone(off, "AV-Align-SVG", "sounding-video") < measured_alone(
        on_time, "AV-Align-SVG", "sounding-video")
    with pytest.raises(Skipped, match="one picture"):
        clips.audio_and_video_peaks(shown(pair_of(clicks(0.5)), pictures[:1]), "SVG")


def test_onsets_of_the_real_sound_are_hit_or_not():
    same = pair_of(clicks(0.5, 1.2), clicks(0.5, 1.2))
    assert measured_alone(same, "Onset-Acc", "greatest-hits") == 1
    assert measured_alone(same, "Onset-count-Acc", "greatest-hits") == 1
    other = pair_of(clicks(0.5, 1.7), clicks(0.5, 1.2))
    assert measured_alone(other, "Onset-Acc", "greatest-hits") == pytest.approx(0.5)
    with pytest.raises(Skipped, match="shorter than the onset window"):
        clips.hits(pair_of(clicks(0.0, duration_s=0.05), clicks(0.5)))


@pytest.mark.parametrize("recipe", RECIPES)
def test_e_l1_is_taken_at_the_rate_of_its_recipe_and_only_at_44k_past_the_shorter(recipe):
    made, real = clicks(0.3, 0.9, duration_s=1.5), clicks(0.3, 0.8)
    value = measured_alone(pair_of(made, real), f"E-L1@{recipe}", "greatest-hits")
    rate = RECIPES[recipe].sample_rate
    first, second = observed(made).sound(rate), observed(real).sound(rate)
    if recipe == "44k":
        first = torch.cat([first, torch.zeros(len(second) - len(first))])
    assert value == pytest.approx(float(e_l1(first, second[:len(first)], RECIPES[recipe])))
    assert value > 0
    with pytest.raises(Skipped, match=r"shorter than 0\.1 s"):
        clips.waveforms(pair_of(clicks(0.0, duration_s=0.05), real), recipe)
