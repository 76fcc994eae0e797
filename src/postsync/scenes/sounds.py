"""From a score to its sound: the family's own synthesis or recordings, in a room, over background noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from . import modal, rooms, signals
from .event_sounds import EVENT_SOUNDS
from .events import LENGTHS_S, Score, plan_score
from .families import KNOWN, RECORDED
from .textures import TEXTURES

Rng = np.random.Generator


@dataclass(frozen=True)
class SoundConfig:
    """How sounds are made. `noise` and `room` grade background and reverberation from 0 (none) to 1 (full range).

    `recordings`: probability that a clip's sound comes from the bank, if the bank has the family.
    """

    noise: float = 1.0
    room: float = 1.0
    recordings: float = 0.0
    stretches: float = 0.0  # probability that a clip's sound is a stretch of any recording, whatever its family
    quietest_peak: float = 0.3  # the mix is scaled to a random peak between this and 1


class Bank(Protocol):
    """Interface of a bank of recordings for `render_sound` (see `recordings.RecordingBank`)."""

    sample_rate: int

    def draw(self, family: str, rng: Rng) -> np.ndarray | None:
        """A recording (L,) of the family, or None if there is none."""

    def excerpt(self, rng: Rng, seconds: float) -> np.ndarray:
        """A stretch (round(seconds * sample_rate),) of any recording."""


def without_noise() -> dict[str, SoundConfig]:
    """Arguments of SceneConfig for what makes sound: half of it recorded, and no background noise, which would be
    learnt as part of every sound."""
    return {"sound": SoundConfig(noise=0.0, room=0.5, recordings=0.5)}


def render_sound(score: Score, rng: Rng, sample_rate: int = 16000, bank: Bank | None = None,
                 config: SoundConfig | None = None) -> np.ndarray:
    """The sound of a score: (N,) float32, N = round(duration_s * sample_rate), peak 1 at most."""
    return render_tracks(score, rng, sample_rate, bank, config)[1]


def render_tracks(score: Score, rng: Rng, sample_rate: int = 16000, bank: Bank | None = None,
                  config: SoundConfig | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(foreground, mix), each (N,) float32: the score's own sound in its room, and the same with background noise.

    Both carry the same gain. At each event's onset the foreground's energy rises within 2 ms (the direct sound is not
    delayed); amplitudes are in proportion to strength and activity. The same generator state gives the same physical
    sound at any sample rate.
    """
    config = config or SoundConfig()
    dry_rng, room_rng, noise_rng, mix_rng, bank_rng = rng.spawn(5)
    foreground = None
    if bank is not None and config.stretches > 0 and bank_rng.random() < config.stretches:
        sound = _at_rate(bank.excerpt(bank_rng, score.duration_s), bank, sample_rate)
        sound = (mix_rng.uniform(config.quietest_peak, 1.0) * signals.unit_peak(sound)).astype(np.float32)
        return sound, sound
    share = 1.0 if KNOWN[score.family].recordings_first or score.family in RECORDED else config.recordings
    if bank is not None and bank_rng.random() < share:
        foreground = _from_recordings(score, bank, bank_rng, sample_rate)
    if foreground is None:
        foreground = render_dry(score, dry_rng, sample_rate)
    if config.room > 0:
        foreground = signals.convolve(foreground, rooms.room_response(room_rng, sample_rate, config.room))
    mix = foreground
    if config.noise > 0:
        level = config.noise * 10 ** (mix_rng.uniform(-50, -30) / 20) * _loudness(foreground)
        mix = foreground + level * rooms.background(noise_rng, len(foreground), sample_rate)
    gain = mix_rng.uniform(config.quietest_peak, 1.0) * 0.999 / max(float(np.max(np.abs(mix))), 1e-9)
    return (gain * foreground).astype(np.float32), (gain * mix).astype(np.float32)


def recorded_sounds(family: str, bank: Bank, count: int, duration_s: float = 8.16) -> Iterator[np.ndarray]:
    """A family's recordings placed on `count` scores, each (N,) float32 at the bank's rate, without noise; always the
    same ones."""
    config = SoundConfig(noise=0.0, room=0.3, recordings=1.0)
    for seed in range(count):
        score = plan_score(family, duration_s, np.random.default_rng(seed))
        yield render_sound(score, np.random.default_rng(seed), bank.sample_rate, bank, config)


def render_dry(score: Score, rng: Rng, sample_rate: int = 16000) -> np.ndarray:
    """The synthesised sound alone (N,) float64, no room, no noise; the loudest hit has a peak of about 1.

    Raises ValueError for a family that has no synthesis.
    """
    if score.family in RECORDED:
        raise ValueError(f"{score.family} has no synthesis; give a bank of recordings that holds it")
    family, n = KNOWN[score.family], round(score.duration_s * sample_rate)
    if not score.events:
        return np.zeros(n)
    under_way = _under_way(score)
    if family.kind == "texture":
        texture = TEXTURES[score.family](under_way, rng, sample_rate, n)
        return signals.unit_peak(texture * _gate(score, n, sample_rate))
    if family.kind == "scrape":
        scraped = modal.scrape(str(family.material), under_way, rng, sample_rate, n)
        return signals.unit_peak(scraped * _gate(score, n, sample_rate))
    out = np.zeros(n)
    length_s = max(event.end - event.t for event in score.events)
    object_rng, hit_rng = rng.spawn(2)
    if family.kind == "strike":
        hit = modal.strike(str(family.material), length_s, object_rng, sample_rate)
    else:
        hit = EVENT_SOUNDS[score.family](length_s, object_rng, sample_rate)
    for event in score.events:
        signals.place(out, hit(event.strength, hit_rng), event.t, sample_rate)
    return out


def _under_way(score: Score) -> np.ndarray:
    """The activity as if each event had begun 10 ms before its onset, so that the gate opens on a sound at full
    speed."""
    activity = score.activity.astype(np.float64)
    for event in score.events:
        first = int(np.ceil(event.t * 100))
        if 0 < first < len(activity) - 3:
            activity[first - 1:first + 3] = np.maximum(activity[first - 1:first + 3], activity[first + 3])
    return activity


def _gate(score: Score, n: int, sample_rate: int, rise_s: float = 0.002, release_s: float = 0.12) -> np.ndarray:
    """1 within the events; opens at each onset (not at 0, where the sound is already going), rings on after each end.

    A ring is cut before the next onset, which it would otherwise mask.
    """
    time, gate = np.arange(n) / sample_rate, np.zeros(n)
    for event, next_t in zip(score.events, [*(event.t for event in score.events[1:]), np.inf]):
        opened = np.clip((time - event.t) / rise_s, 0, 1) if event.t > 0 else np.ones(n)
        closed = 1 - np.clip((time - event.end) / min(release_s, max(next_t - event.end - 0.01, 0.01)), 0, 1)
        gate = np.maximum(gate, opened * closed)
    return gate


def _loudness(signal: np.ndarray) -> float:
    """RMS of the louder part of a signal: its samples weighted by their own power."""
    power = signal**2
    return float(np.sqrt(np.sum(power**2) / max(float(np.sum(power)), 1e-12)))


def _from_recordings(score: Score, bank: Bank, rng: Rng, sample_rate: int) -> np.ndarray | None:
    """Recordings triggered on the events, or shaped by the activity; None if the bank lacks the family."""
    recording = bank.draw(score.family, rng)
    if recording is None:
        return None
    recording = _at_rate(recording, bank, sample_rate)
    n = round(score.duration_s * sample_rate)
    if KNOWN[score.family].kind in ("texture", "scrape"):
        loudness = signals.stretch(_under_way(score), n, sample_rate) * _gate(score, n, sample_rate)
        shaped = loudness * _looped(score, recording, rng, sample_rate, n)
        return signals.unit_peak(shaped)
    # a recording may contain more than one sound: it is cut where the family's own sound would have long ended
    once = signals.unit_peak(recording[:int(2.5 * LENGTHS_S[score.family][1] * sample_rate)])
    fade = min(int(0.01 * sample_rate), len(once))
    once[len(once) - fade:] *= np.linspace(1, 0, fade)
    out = np.zeros(n)
    for event in score.events:
        signals.place(out, event.strength * once, event.t, sample_rate)
    return out


def _at_rate(recording: np.ndarray, bank: Bank, sample_rate: int) -> np.ndarray:
    """A recording of the bank (L,) at `sample_rate`."""
    if bank.sample_rate == sample_rate:
        return recording
    import soxr

    return soxr.resample(recording, bank.sample_rate, sample_rate)


def _looped(score: Score, recording: np.ndarray, rng: Rng, sample_rate: int, n: int) -> np.ndarray:
    """The recording looped back and forth over each event, from a loud moment, so that sudden starts are audible."""
    out, there_and_back = np.zeros(n), np.concatenate([recording, recording[::-1]])
    lead = int(0.002 * sample_rate)  # the loud moment coincides with the open gate
    loud = np.flatnonzero(np.abs(recording) >= 0.3 * np.max(np.abs(recording)))
    for event in score.events:
        first = round(event.t * sample_rate)
        out[first:] = np.resize(np.roll(there_and_back, lead - int(rng.choice(loud))), n - first)
    return out
