"""A bank of labelled recordings: a second source of sound for the scenes, and material for the codec.

Two layouts: a folder with `sounds.jsonl` (one JSON object a line: file, label, kind, fold), or any folder whose
subfolders are labels. Recordings are read when first drawn and kept as float16 mono at 16 kHz.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import MediaError
from .families import FAMILIES

Rng = np.random.Generator
SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff")
MANIFEST = "sounds.jsonl"

FAMILY_OF_LABEL = {  # recorded label -> family it belongs to
    "dog bark": "bark", "sea waves": "waves", "fire crackling": "fire", "chime": "bell", "gong": "bell",
    "cowbell": "metal_strike", "triangle": "metal_strike", "wood block": "wood_strike", "door": "door_knock",
    "hi-hat": "cymbal", "ride cymbal": "cymbal", "snap": "clap", "bass drum": "drum_strike",
    "snare drum": "drum_strike", "tabla": "drum_strike", "low tom": "drum_strike", "mid tom": "drum_strike",
    "high tom": "drum_strike", "boom": "bang", "tick": "clock_tick", "pop": "water_strike",
    "glass rub": "glass_scrape", "swash": "splash", "clapping": "clap", "hand clap": "clap", "church bells": "bell",
    "door knock": "door_knock", "crackling fire": "fire",
}


@dataclass(frozen=True)
class Recording:
    """One file of the bank. `family`: its scene family (its own label if none fits)."""

    path: Path
    label: str
    family: str
    kind: str  # "impact" | "event" | "texture"
    fold: int


class RecordingBank:
    """Recordings by family, from the given folds (fold 5 of the shared layout is for validation).

    A folder without a manifest has no folds of its own: each label's files, in order of name, go to folds 1 to 5 in
    turn, so that one in five is kept for validation there too. Raises MediaError when the folder is missing, its
    manifest cannot be read, a listed file is missing, or the folds are empty.
    """

    sample_rate = 16000

    def __init__(self, folder: str | Path, folds: Sequence[int] = (1, 2, 3, 4)) -> None:
        self.folder, self.folds = Path(folder), tuple(folds)
        if not self.folder.is_dir():
            raise MediaError(f"{self.folder}: no such folder of recordings; give one with {MANIFEST} or a subfolder "
                             "for each label")
        listed = _from_manifest(self.folder) if (self.folder / MANIFEST).is_file() else _from_subfolders(self.folder)
        self.recordings = tuple(r for r in listed if r.fold in self.folds)
        if not self.recordings:
            raise MediaError(f"{self.folder}: no recordings in folds {self.folds} ({len(listed)} in all); "
                             f"put {', '.join(SUFFIXES)} files into one subfolder for each label")
        self._cache: dict[Path, np.ndarray] = {}
        self._by_family: dict[str, list[Recording]] = {}
        for recording in self.recordings:
            self._by_family.setdefault(recording.family, []).append(recording)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the recordings in these folds, sorted."""
        return tuple(sorted({r.label for r in self.recordings}))

    @property
    def families(self) -> tuple[str, ...]:
        """The names that `draw` accepts: scene families, and labels that fit none, sorted."""
        return tuple(sorted(self._by_family))

    def load(self, recording: Recording) -> np.ndarray:
        """The whole recording: (L,) float32 mono at 16 kHz in -1..1. Raises MediaError if the file cannot be read."""
        if recording.path not in self._cache:
            self._cache[recording.path] = _read_mono(recording.path, self.sample_rate).astype(np.float16)
        return self._cache[recording.path].astype(np.float32)

    def draw(self, family: str, rng: Rng) -> np.ndarray | None:
        """A recording (L,) float32 of the family, or None if the bank has none.

        Impacts and events begin at the onset of one of their sounds and end before the next; textures are stretches
        of the whole with silence at the ends cut off.
        """
        choice = self._by_family.get(family)
        if not choice:
            return None
        recording = choice[int(rng.integers(len(choice)))]
        waveform = self.load(recording)
        pick = int(rng.integers(1 << 30))
        if recording.kind == "texture":
            return _trim(waveform)
        sounds = _separate(waveform, self.sample_rate)
        return sounds[pick % len(sounds)]

    def excerpt(self, rng: Rng, seconds: float) -> np.ndarray:
        """A random stretch (round(16000 * seconds),) float32 of any recording, short ones padded with silence."""
        waveform = self.load(self.recordings[int(rng.integers(len(self.recordings)))])
        n, place = round(seconds * self.sample_rate), rng.random()
        if len(waveform) >= n:
            first = int(place * (len(waveform) - n + 1))
            return waveform[first:first + n]
        first = int(place * (n - len(waveform) + 1))
        return np.pad(waveform, (first, n - len(waveform) - first))

    def __len__(self) -> int:
        return len(self.recordings)


def _family(label: str) -> str:
    name = label.replace(" ", "_")
    return FAMILY_OF_LABEL.get(label, name if name in FAMILIES else label)


def _from_manifest(folder: Path) -> list[Recording]:
    try:
        lines = (folder / MANIFEST).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MediaError(f"{folder / MANIFEST}: cannot be read as UTF-8 text ({error}); write it again") from error
    recordings = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            path, label = folder / entry["file"], str(entry["label"])
            kind, fold = str(entry.get("kind", "event")), int(entry.get("fold", 1))
        except (ValueError, KeyError, TypeError) as error:
            raise MediaError(f"{folder / MANIFEST}, line {number}: not a recording ({error!r}); each line needs a "
                             "JSON object with file and label") from error
        if not path.is_file():
            raise MediaError(f"{folder / MANIFEST}, line {number}: {path} is missing; restore it or delete the line")
        recordings.append(Recording(path, label, _family(label), kind, fold))
    return recordings


def _from_subfolders(folder: Path) -> list[Recording]:
    recordings = []
    for subfolder in sorted(p for p in folder.iterdir() if p.is_dir()):
        label = subfolder.name.replace("_", " ")
        family = subfolder.name if subfolder.name in FAMILIES else _family(label)
        lasting = family in FAMILIES and FAMILIES[family].kind in ("texture", "scrape")
        files = sorted(p for p in subfolder.iterdir() if p.suffix.lower() in SUFFIXES)
        recordings += [Recording(path, label, family, "texture" if lasting else "event", 1 + i % 5)
                       for i, path in enumerate(files)]
    return recordings


def _read_mono(path: Path, sample_rate: int) -> np.ndarray:
    # PyAV for every format: libsndfile refuses some sound Opus files as malformed
    import av

    try:
        with av.open(str(path)) as container:
            resampler = av.AudioResampler("fltp", "mono", sample_rate)
            decoded = [*container.decode(container.streams.audio[0]), None]  # None flushes the resampler
            parts = [out.to_ndarray()[0] for frame in decoded for out in resampler.resample(frame)]
    except (av.FFmpegError, OSError, IndexError) as error:
        raise MediaError(f"{path}: cannot be read as sound ({error}); convert it to WAV or remove it") from error
    mono = np.concatenate([np.zeros(0, np.float32), *parts])
    if not len(mono) or not np.isfinite(mono).all():
        raise MediaError(f"{path}: holds no sound (no samples, or samples that are not numbers); remove it")
    return np.clip(mono, -1, 1)


def _blocks(waveform: np.ndarray, block: int = 80) -> np.ndarray:
    """RMS of blocks of 5 ms."""
    padded = np.pad(waveform, (0, -len(waveform) % block))
    return np.sqrt(np.mean(padded.reshape(-1, block) ** 2, axis=1))


def _trim(waveform: np.ndarray, block: int = 80) -> np.ndarray:
    loud = np.flatnonzero(_blocks(waveform) > 0.01 * np.max(np.abs(waveform), initial=1e-6))
    return waveform[loud[0] * block:(loud[-1] + 1) * block] if len(loud) else waveform


def _separate(waveform: np.ndarray, sample_rate: int, block: int = 80) -> list[np.ndarray]:
    """The single sounds of a recording, each from its onset to 100 ms of quiet or 2.5 s, faded out; one at least."""
    peak = float(np.max(np.abs(waveform), initial=1e-6))
    level = _blocks(waveform)
    loud = np.flatnonzero(level > 0.08 * level.max())
    if not len(loud):
        return [waveform]
    breaks = np.flatnonzero(np.diff(loud) > 20)
    firsts, lasts = loud[np.concatenate([[0], breaks + 1])], loud[np.concatenate([breaks, [len(loud) - 1]])]
    sounds = []
    for i, first in enumerate(firsts):
        stop = int(firsts[i + 1] * block - 80) if i + 1 < len(firsts) else len(waveform)
        stop = min(stop, int(lasts[i] * block + 0.3 * sample_rate), int(first * block + 2.5 * sample_rate))
        sound = waveform[max(first * block - block, 0):stop]
        sound = sound[np.argmax(np.abs(sound) > 0.05 * peak):].copy()
        fade = min(160, len(sound))
        sound[len(sound) - fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
        if np.max(np.abs(sound), initial=0) > 0.25 * peak:
            sounds.append(sound)
    return sounds or [_trim(waveform)]
