"""Sounds are true to their score: onsets, strengths, silence, loudness, and families that differ."""

from __future__ import annotations

import numpy as np
import pytest

from postsync.protocols.clip import Event
from postsync.scenes.events import Score, plan_score
from postsync.scenes.families import FAMILIES, MATERIALS
from postsync.scenes.sounds import SoundConfig, render_dry, render_sound, render_tracks

DRY = SoundConfig(noise=0, room=0)
SEPARATE = [f.name for f in FAMILIES.values() if f.kind in ("strike", "event")]


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def envelope(waveform: np.ndarray, rate: int = 16000) -> np.ndarray:
    blocks = waveform[: len(waveform) // (rate // 100) * (rate // 100)].reshape(-1, rate // 100)
    return np.sqrt(np.mean(blocks.astype(np.float64) ** 2, axis=1))


@pytest.mark.parametrize("family", FAMILIES)
def test_shape_peak_and_determinism(family: str) -> None:
    score = plan_score(family, 2.0, rng(1))
    first, again, other = (render_sound(score, rng(s)) for s in (2, 2, 3))
    assert first.shape == (32000,)
    assert first.dtype == np.float32
    assert np.isfinite(first).all()
    assert 0.3 - 1e-3 <= np.abs(first).max() <= 1
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("family", SEPARATE)
def test_a_separate_sound_starts_within_two_milliseconds_of_its_onset(family: str) -> None:
    event = Event(0.5, 0.9, family)
    sound, _ = render_tracks(Score(family, 1.0, (event,), np.zeros(100, np.float32)), rng(4), config=DRY)
    assert not sound[:8000].any()
    assert np.abs(sound[8000:8032]).max() > 0.02 * np.abs(sound).max()


@pytest.mark.parametrize("family", [f.name for f in FAMILIES.values() if f.kind in ("scrape", "texture")])
def test_a_lasting_sound_is_silent_before_its_sudden_start(family: str) -> None:
    activity = np.zeros(100, np.float32)
    activity[51:] = 1
    sound, _ = render_tracks(Score(family, 1.0, (Event(0.5, 1.0, family),), activity), rng(4), config=DRY)
    assert not sound[:8000].any()
    early, later = np.sum(sound[8000:8800] ** 2) / 800, np.mean(sound[8800:] ** 2)
    assert early > 0.02 * later  # within 50 ms it is there


@pytest.mark.parametrize("family", ["wood_strike", "drum_strike", "water_strike", "bark", "bang"])
def test_amplitude_follows_strength(family: str) -> None:
    events = (Event(0.2, 0.4, family, strength=1.0), Event(1.2, 1.4, family, strength=0.4))
    sound = render_dry(Score(family, 2.0, events, np.zeros(200)), rng(5))
    strong, weak = np.abs(sound[3200:8000]).max(), np.abs(sound[19200:24000]).max()
    assert weak / strong == pytest.approx(0.4, rel=0.1)


@pytest.mark.parametrize("family", ["stone_scrape", "cloth_scrape", "rain", "wind", "engine", "crowd"])
def test_loudness_follows_activity(family: str) -> None:
    activity = np.full(300, 0.25)
    activity[150:] = 1.0
    heard = envelope(render_dry(Score(family, 3.0, (Event(0.0, 3.0, family),), activity), rng(6)))
    assert 2.0 < heard[160:].mean() / heard[10:140].mean() < 8.0


def test_a_steered_rate_makes_more_crackles() -> None:
    def snaps(activity: float) -> int:
        score = Score("fire", 4.0, (Event(0.0, 4.0, "fire"),), np.full(400, activity))
        # differences of second order leave the crackles and remove the low roar
        levels = envelope(np.diff(render_dry(score, rng(7)), n=2, prepend=0, append=0))
        return int(np.sum(levels > 0.02 * levels.max()))

    assert snaps(1.0) > 2 * snaps(0.2)


def test_an_empty_score_is_silent_without_noise() -> None:
    score = Score("bell", 1.0, (), np.zeros(100))
    assert not render_sound(score, rng(8), config=DRY).any()


def test_noise_is_graded_and_lies_30_to_50_db_below() -> None:
    score = plan_score("drum_strike", 3.0, rng(9))
    for grade, lowest, highest in ((1.0, -56, -29), (0.1, -76, -49)):
        fore, mix = render_tracks(score, rng(10), config=SoundConfig(noise=grade, room=0))
        noise = np.sqrt(np.mean((mix - fore) ** 2))
        loud = np.sqrt(np.sum(fore**4.0) / np.sum(fore**2.0))
        assert lowest < 20 * np.log10(noise / loud) < highest
    fore, mix = render_tracks(score, rng(10), config=DRY)
    assert np.array_equal(fore, mix)


def test_a_room_rings_after_the_sound_and_does_not_delay_it() -> None:
    score = Score("clap", 1.0, (Event(0.3, 0.36, "clap"),), np.zeros(100))
    dry, _ = render_tracks(score, rng(11), config=DRY)
    wet, _ = render_tracks(score, rng(11), config=SoundConfig(noise=0, room=1))
    after = slice(int(0.5 * 16000), None)
    assert np.sum(wet[after] ** 2) > 3 * np.sum(dry[after] ** 2)
    assert np.abs(wet[:4800]).max() < 1e-4
    assert np.abs(wet[4800:4832]).max() > 0.02 * np.abs(wet).max()


@pytest.mark.parametrize("family", ["wood_strike", "bell", "glass_strike", "engine", "bark"])
def test_the_same_physical_sound_at_44100(family: str) -> None:
    score = plan_score(family, 2.0, rng(12))
    low, high = (envelope(render_dry(score, rng(13), rate), rate) for rate in (16000, 44100))
    assert np.corrcoef(low, high)[0, 1] > 0.97


def signature(family: str, seed: int) -> np.ndarray:
    """Mean, spread and loudest of a log spectrum in bands."""
    g = rng(list(FAMILIES).index(family), seed)
    waveform = render_sound(plan_score(family, 2.0, g), g)
    frames = np.lib.stride_tricks.sliding_window_view(waveform, 512)[::256] * np.hanning(512)
    edges = np.unique(np.geomspace(1, 257, 40).astype(int))
    bands = np.add.reduceat(np.abs(np.fft.rfft(frames)), edges[:-1], axis=1)
    bands = np.log(bands / bands.max() + 0.01)  # 40 dB below the loudest is silence: the noise floor is no clue
    loudest = bands[np.argsort(bands.sum(1))[-8:]].mean(0)
    return np.concatenate([bands.mean(0), bands.std(0), loudest])


def test_families_can_be_told_apart() -> None:
    families = ["wood_strike", "metal_strike", "drum_strike", "leaves_strike", "water_scrape", "bell",
                "bark", "whistle", "cymbal", "rain", "wind", "fire", "engine"]
    centres = np.array([np.mean([signature(f, s) for s in range(3)], axis=0) for f in families])
    named = [np.argmin(np.sum((centres - signature(f, s)) ** 2, axis=1)) == i
             for i, f in enumerate(families) for s in (100, 101)]
    assert np.mean(named) > 0.85


def test_regression_of_seeded_sounds() -> None:
    heard = [float(envelope(render_sound(plan_score(f, 2.0, rng(14)), rng(15))).mean())
             for f in ("wood_strike", "metal_scrape", "bell", "rain")]
    assert heard == pytest.approx([0.0126953, 0.0733255, 0.0273239, 0.0870205], rel=1e-3)


def test_all_materials_can_be_struck_and_scraped() -> None:
    for material in MATERIALS:
        assert {f"{material}_strike", f"{material}_scrape"} <= FAMILIES.keys()
