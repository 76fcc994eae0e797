"""The bank of recordings: layouts, folds, drawing, and errors that name the file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from postsync.errors import MediaError
from postsync.protocols.clip import Event
from postsync.scenes.events import Score, plan_score
from postsync.scenes.recordings import RecordingBank
from postsync.scenes.sounds import SoundConfig, render_sound, render_tracks

ONLY_RECORDINGS = SoundConfig(noise=0, room=0, recordings=1.0)


def blip(pitch: float, starts_s: tuple[float, ...], seconds: float, rate: int) -> np.ndarray:
    time = np.arange(int(seconds * rate)) / rate
    return sum(np.where(time >= s, np.exp(-(time - s) / 0.02), 0) * np.sin(2 * np.pi * pitch * (time - s))
               for s in starts_s)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A manifest with two barks in one file, a rain, a rooster, and a validation bark."""
    noise = np.random.default_rng(0).normal(0, 0.1, 48000)
    sounds = {"bark.wav": (blip(500, (0.4, 1.2), 2, 48000), 48000), "rain.flac": (noise, 24000),
              "crow.wav": (blip(900, (0.1,), 1, 16000), 16000), "held_out.wav": (blip(700, (0.3,), 1, 16000), 16000)}
    for name, (waveform, rate) in sounds.items():
        soundfile.write(tmp_path / name, waveform, rate)
    entries = [("bark.wav", "dog bark", "event", 1), ("rain.flac", "rain", "texture", 2),
               ("crow.wav", "rooster", "event", 3), ("held_out.wav", "dog bark", "event", 5)]
    lines = [json.dumps({"file": f, "label": label, "kind": k, "fold": fold}) for f, label, k, fold in entries]
    (tmp_path / "sounds.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_labels_become_families_where_they_fit(folder: Path) -> None:
    bank = RecordingBank(folder)
    assert bank.labels == ("dog bark", "rain", "rooster")
    assert bank.families == ("bark", "rain", "rooster")
    assert bank.draw("whistle", np.random.default_rng(0)) is None


def test_validation_recordings_stay_apart(folder: Path) -> None:
    training, validation = RecordingBank(folder), RecordingBank(folder, folds=(5,))
    assert not {r.path for r in training.recordings} & {r.path for r in validation.recordings}
    assert [r.path.name for r in validation.recordings] == ["held_out.wav"]
    assert len(training) == 3


def test_an_event_is_cut_out_at_its_onset_and_resampled(folder: Path) -> None:
    bank = RecordingBank(folder)
    for seed in range(6):
        bark = bank.draw("bark", np.random.default_rng(seed))
        assert bark is not None
        assert len(bark) < 0.6 * 16000  # one bark of the two
        assert np.abs(bark[:32]).max() > 0.2 * np.abs(bark).max()
        spectrum = np.abs(np.fft.rfft(bark, 16000))
        assert abs(int(spectrum.argmax()) - 500) < 15  # Hz: the pitch survives the change of rate


def test_recordings_are_kept_small_and_read_once(folder: Path) -> None:
    bank = RecordingBank(folder)
    first = bank.load(bank.recordings[0])
    bank.recordings[0].path.unlink()
    again = bank.load(bank.recordings[0])
    assert np.array_equal(first, again)
    assert first.dtype == np.float32
    assert len(first) == pytest.approx(32000, abs=2)


def test_a_recording_sounds_at_each_event_with_its_strength(folder: Path) -> None:
    events = (Event(0.5, 0.7, "bark"), Event(1.5, 1.7, "bark", strength=0.5))
    sound, _ = render_tracks(Score("bark", 2.5, events, np.zeros(250)), np.random.default_rng(1),
                             bank=RecordingBank(folder), config=ONLY_RECORDINGS)
    assert not sound[:8000].any()
    first, second = np.abs(sound[8000:8160]).max(), np.abs(sound[24000:24160]).max()
    assert second / first == pytest.approx(0.5, rel=0.05)


def test_a_recorded_texture_follows_the_activity_beyond_its_own_length(folder: Path) -> None:
    activity = np.full(600, 0.2)
    activity[300:] = 1.0
    score = Score("rain", 6.0, (Event(0.0, 6.0, "rain"),), activity)
    sound = render_sound(score, np.random.default_rng(2), bank=RecordingBank(folder), config=ONLY_RECORDINGS)
    assert np.std(sound[52000:]) / np.std(sound[:44000]) == pytest.approx(5, rel=0.15)


def test_recordings_are_used_as_often_as_asked_and_only_where_they_exist(folder: Path) -> None:
    bank, score = RecordingBank(folder), plan_score("whistle", 1.0, np.random.default_rng(3))
    plain = render_sound(score, np.random.default_rng(4))
    assert np.array_equal(plain, render_sound(score, np.random.default_rng(4), bank=bank,
                                              config=SoundConfig(recordings=1.0)))
    bank._by_family["waves"] = bank._by_family["rain"]
    for family, low, high in (("waves", 0.25, 0.75), ("rain", 1.0, 1.0)):  # an ear prefers recorded rain
        score = plan_score(family, 0.5, np.random.default_rng(3))
        differ = [not np.array_equal(render_sound(score, np.random.default_rng(s)), render_sound(
            score, np.random.default_rng(s), bank=bank, config=SoundConfig(recordings=0.5))) for s in range(40)]
        assert low <= np.mean(differ) <= high


def test_excerpts_have_the_length_asked_for(folder: Path) -> None:
    bank = RecordingBank(folder)
    for seed in range(5):
        excerpt = bank.excerpt(np.random.default_rng(seed), 1.5)
        assert excerpt.shape == (24000,)
        assert excerpt.any()
        assert np.array_equal(excerpt, bank.excerpt(np.random.default_rng(seed), 1.5))


def test_a_users_folder_of_labels(tmp_path: Path) -> None:
    for label in ("bark", "dog_bark", "kazoo_solo"):
        (tmp_path / label).mkdir()
        for i in range(5):
            soundfile.write(tmp_path / label / f"{i}.wav", blip(400, (0.1,), 0.5, 16000), 16000)
    bank, validation = RecordingBank(tmp_path), RecordingBank(tmp_path, folds=(5,))
    assert bank.families == ("bark", "kazoo solo")
    assert len(bank) == 12
    assert len(validation) == 3
    assert bank.draw("kazoo solo", np.random.default_rng(0)) is not None


def test_bad_folders_are_named(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(MediaError, match="nowhere: no such folder"):
        RecordingBank(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MediaError, match="empty: no recordings"):
        RecordingBank(tmp_path / "empty")
    with pytest.raises(MediaError, match="folds \\(4,\\)"):
        RecordingBank(folder, folds=(4,))
    manifest = folder / "sounds.jsonl"
    good = manifest.read_text()
    manifest.write_text(good + '{"label": "x"}\n')
    with pytest.raises(MediaError, match="line 5: not a recording"):
        RecordingBank(folder)
    manifest.write_text(good + json.dumps({"file": "gone.wav", "label": "x"}))
    with pytest.raises(MediaError, match=r"gone\.wav is missing"):
        RecordingBank(folder)


@pytest.mark.parametrize("content", [b"", b"not a sound at all" * 50])
def test_a_file_that_is_no_sound_is_named_when_it_is_drawn(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bark").mkdir()
    (tmp_path / "bark" / "broken.wav").write_bytes(content)
    with pytest.raises(MediaError, match=r"broken\.wav: cannot be read as sound"):
        RecordingBank(tmp_path).draw("bark", np.random.default_rng(0))


def test_silent_and_clipped_recordings_are_named_once_and_left_out(tmp_path: Path, caplog) -> None:
    (tmp_path / "bark").mkdir()
    bark = blip(500, (0.1,), 0.5, 16000)
    for name, waveform in (("a", 0.001 * bark), ("b", np.clip(50 * bark, -1, 1)), ("c", bark)):
        soundfile.write(tmp_path / "bark" / f"{name}.wav", waveform, 16000)
    bank = RecordingBank(tmp_path)
    with caplog.at_level("WARNING"):
        drawn = [bank.draw("bark", np.random.default_rng(seed)) for seed in range(12)]
    assert all(np.array_equal(sound, drawn[0]) for sound in drawn)
    said = [message.split(".wav: ")[1] for message in caplog.messages if ".wav: " in message]
    assert sorted(sentence.split(" (")[0] for sentence in said) == ["is clipped", "is silent"]
    again = RecordingBank(tmp_path)  # what is drawn does not depend on what was drawn before
    assert np.array_equal(again.draw("bark", np.random.default_rng(11)), drawn[11])


def test_a_family_of_silent_recordings_alone_is_none(tmp_path: Path) -> None:
    (tmp_path / "bark").mkdir()
    soundfile.write(tmp_path / "bark" / "a.wav", np.zeros(8000), 16000)
    bank = RecordingBank(tmp_path)
    assert bank.draw("bark", np.random.default_rng(0)) is None
    with pytest.raises(MediaError, match="every recording is silent or clipped"):
        bank.excerpt(np.random.default_rng(0), 1.0)


def test_recordings_without_a_licence_are_named_and_the_others_credited(folder: Path, caplog) -> None:
    with caplog.at_level("WARNING"):
        assert RecordingBank(folder).credits() == []
    assert "3 recordings state no licence" in caplog.text
    caplog.clear()
    lines = [json.loads(line) for line in (folder / "sounds.jsonl").read_text().splitlines()]
    lines = [line | {"licence": "CC-BY-3.0", "author": "A. Recordist", "title": line["file"], "source_id": "here",
                     "edits": "mono"} for line in lines]
    (folder / "sounds.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    with caplog.at_level("WARNING"):
        credits = RecordingBank(folder).credits()
    assert not caplog.messages
    assert credits[0] == '"bark.wav" by A. Recordist, CC-BY-3.0, here; edited: mono'
    assert len(credits) == 3


def test_labels_that_gather_several_families_are_told_apart_by_their_captions(tmp_path: Path) -> None:
    captions = {"a": "a cow mooing", "b": "a horse neighing", "c": "a camel"}
    for name in captions:
        soundfile.write(tmp_path / f"{name}.wav", blip(500, (0.1,), 0.5, 16000), 16000)
    (tmp_path / "sounds.jsonl").write_text("\n".join(
        json.dumps({"file": f"{name}.wav", "label": "farm animal", "caption": text, "licence": "CC0"})
        for name, text in captions.items()))
    assert RecordingBank(tmp_path).families == ("cow", "farm animal", "horse")


def test_several_folders_make_one_bank(folder: Path, tmp_path_factory) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "cat").mkdir()
    soundfile.write(other / "cat" / "a.wav", blip(500, (0.1,), 0.5, 16000), 16000)
    assert set(RecordingBank(folder, other).families) == {"bark", "cat", "rain", "rooster"}
