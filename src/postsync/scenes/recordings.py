"""A bank of labelled recordings: a second source of sound for the scenes, and material for the codec.

Two layouts: a folder with `sounds.jsonl` (one JSON object a line: file, label, kind, fold, and for the credits licence,
source, author, title, edits), or any folder whose subfolders are labels. Recordings are read when first drawn and kept
as float16 mono at 16 kHz; silent and clipped ones are named and left out.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MediaError
from ..media.output import whole_file
from .families import KNOWN

Rng = np.random.Generator
SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff")
MANIFEST = "sounds.jsonl"
QUIETEST = 10 ** (-50 / 20)  # peak below which a recording counts as silent
MOST_CLIPPED = 0.02  # share of samples at full scale
log = logging.getLogger(__name__)

FAMILY_OF_LABEL = {  # recorded label -> family it belongs to
    "dog bark": "bark", "dog": "bark", "sea waves": "waves", "fire crackling": "fire", "crackling fire": "fire",
    "chime": "bell", "gong": "bell", "church bells": "bell", "cowbell": "metal_strike", "triangle": "metal_strike",
    "wood block": "wood_strike", "wood hit": "wood_strike", "metal hit": "metal_strike", "stone hit": "stone_strike",
    "glass hit": "glass_strike", "plastic hit": "plastic_strike", "ceramic hit": "ceramic_strike",
    "door": "door_knock", "door knock": "door_knock", "knock": "door_knock", "door open": "door_creak",
    "ride cymbal": "cymbal", "snap": "clap", "clapping": "clap", "hand clap": "clap", "tabla": "drum_strike",
    "low tom": "drum_strike", "mid tom": "drum_strike", "high tom": "drum_strike",
    "tick": "clock_tick", "clock": "clock_tick", "glass rub": "glass_scrape", "swash": "splash", "blow": "punch",
    "step hard": "footsteps", "step soft": "footsteps", "weapon handling": "gun_handling", "aircraft": "airplane",
    "insect": "insects", "eat": "bite", "swoosh": "whoosh", "crow": "bird", "creature": "roar", "cloth": "cloth_scrape",
    "leaves": "leaves_scrape", "dig": "gravel_strike", "metal scrape": "metal_scrape", "horn": "car_horn",
}

# Of labels that gather several families: words of a caption, and the family that they name; without one of them the
# label stands for itself.
FAMILY_OF_WORDS = {
    "farm animal": {"cow": "cow", "bull": "cow", "neigh": "horse", "snorting": "horse", "goat": "sheep",
                    "sheep": "sheep", "lamb": "sheep", "duck": "duck", "goose": "duck", "chicken": "rooster",
                    "rooster": "rooster"},
    "other animal": {"tiger": "roar", "lion": "roar", "bear": "roar", "gorilla": "roar", "wolf": "roar",
                     "hyena": "laugh"},
    "human effort": {"laugh": "laugh", "scream": "scream", "pain": "scream", "groan": "scream"},
    "explosion": {"firework": "fireworks", "": "explosion"},
    "aircraft": {"helicopter": "helicopter", "": "airplane"},
    "saw": {"chainsaw": "chainsaw", "circular": "chainsaw", "sawmill": "chainsaw"},
    "scrape": {"wood": "door_creak", "tree": "door_creak"},
    "horn": {"horn": "car_horn"},
    "pop": {"balloon": "bang", "a pop": "bang"},
    "creature": {"roar": "roar", "growl": "roar", "beast": "roar", "monster": "roar", "zombie": "roar"},
}


@dataclass(frozen=True)
class Recording:
    """One file of the bank. `family`: its scene family (its own label if none fits)."""

    path: Path
    label: str
    family: str
    kind: str  # "impact" | "event" | "texture"
    fold: int
    credit: str | None = None  # title, author, licence and source, as far as they are known; None without a licence


class RecordingBank:
    """Recordings by family, from the given folds (fold 5 of the shared layout is for validation).

    A folder without a manifest has no folds of its own: each label's files, in order of name, go to folds 1 to 5 in
    turn, so that one in five is kept for validation there too. Raises MediaError when the folder is missing, its
    manifest cannot be read, a listed file is missing, or the folds are empty.
    """

    sample_rate = 16000

    def __init__(self, *folders: str | Path, folds: Sequence[int] = (1, 2, 3, 4)) -> None:
        self.folders, self.folds = tuple(Path(folder) for folder in folders), tuple(folds)
        self.recordings = tuple(chain.from_iterable(map(self._listed, self.folders)))
        if uncredited := [recording for recording in self.recordings if recording.credit is None]:
            log.warning("%s: %d recordings state no licence (the first: %s); before weights trained on them are "
                        "published, add licence, author and source to %s", uncredited[0].path.parent, len(uncredited),
                        uncredited[0].path.name, MANIFEST)
        self._cache: dict[Path, np.ndarray] = {}
        self._unfit: set[Path] = set()
        self._by_family: dict[str, list[Recording]] = {}
        for recording in self.recordings:
            self._by_family.setdefault(recording.family, []).append(recording)

    def _listed(self, folder: Path) -> list[Recording]:
        """The recordings of a folder in these folds."""
        if not folder.is_dir():
            raise MediaError(f"{folder}: no such folder of recordings; give one with {MANIFEST}, or a subfolder for "
                             "each label")
        listed = _from_manifest(folder) if (folder / MANIFEST).is_file() else _from_subfolders(folder)
        kept = [recording for recording in listed if recording.fold in self.folds]
        if not kept:
            raise MediaError(f"{folder}: no recordings in folds {self.folds} ({len(listed)} in all); put "
                             f"{', '.join(SUFFIXES)} files into one subfolder for each label")
        return kept

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
            self._cache[recording.path] = read_mono(recording.path, self.sample_rate).astype(np.float16)
        return self._cache[recording.path].astype(np.float32)

    def draw(self, family: str, rng: Rng) -> np.ndarray | None:
        """A recording (L,) float32 of the family, or None if the bank has none.

        Impacts and events begin at the onset of one of their sounds and end before the next; textures are stretches
        of the whole with silence at the ends cut off.
        """
        choice = self._by_family.get(family)
        if not choice:
            return None
        recording = self._fit(choice, rng)
        if recording is None:
            return None
        waveform = self.load(recording)
        pick = int(rng.integers(1 << 30))
        if recording.kind == "texture":
            return _trim(waveform)
        sounds = _separate(waveform, self.sample_rate)
        return sounds[pick % len(sounds)]

    def _fit(self, choice: Sequence[Recording], rng: Rng) -> Recording | None:
        """A drawn one of the recordings, or where that is silent or clipped the next that is not; None if none is."""
        first = int(rng.integers(len(choice)))
        return next((one for one in (*choice[first:], *choice[:first])
                     if one.path not in self._unfit and not self._flaw(one)), None)

    def _flaw(self, recording: Recording) -> bool:
        """Whether a recording cannot be used, which is said once."""
        waveform = np.abs(self.load(recording))
        clipped = float(np.mean(waveform >= 0.999))
        reason = (f"silent (peak {waveform.max():.4f})" if waveform.max() < QUIETEST else
                  f"clipped ({100 * clipped:.0f} % of its samples at full scale)" if clipped > MOST_CLIPPED else None)
        if reason is not None:
            log.warning("%s: is %s and is left out; record it again, or remove it", recording.path, reason)
            self._unfit.add(recording.path)
        return reason is not None

    def credits(self) -> list[str]:
        """A line for each recording whose licence is known: what whoever publishes weights trained on them lists."""
        return sorted({recording.credit for recording in self.recordings if recording.credit is not None})

    def write_credits(self, folder: Path) -> None:
        """Write `credits.txt` beside weights that were made from these recordings."""
        with whole_file(folder / "credits.txt") as temporary:
            temporary.write_text("\n".join(self.credits()) + "\n", encoding="utf-8")

    def sounds(self, family: str, most: int) -> list[np.ndarray]:
        """The single sounds (L,) of all recordings of a family, `most` of each at most."""
        return [sound for recording in self._by_family.get(family, ())
                for sound in _separate(self.load(recording), self.sample_rate)[:most]]

    def excerpt(self, rng: Rng, seconds: float) -> np.ndarray:
        """A random stretch (round(16000 * seconds),) float32 of any recording; short ones return, with pauses of up to
        0.3 s."""
        recording = self._fit(self.recordings, rng)
        if recording is None:
            raise MediaError(f"{self.folders[0]}: every recording is silent or clipped; give others")
        waveform = self.load(recording)
        n, parts = round(seconds * self.sample_rate), [waveform]
        while sum(map(len, parts)) < n:
            parts += [np.zeros(int(rng.uniform(0.02, 0.3) * self.sample_rate), np.float32), waveform]
        whole = np.concatenate(parts)
        first = int(rng.random() * (len(whole) - n + 1))
        return whole[first:first + n]

    def __len__(self) -> int:
        return len(self.recordings)


def _family(label: str, caption: str = "") -> str:
    """The family of a label, or of the caption's words where the label gathers several; else the label itself."""
    if label in FAMILY_OF_WORDS:
        families = FAMILY_OF_WORDS[label]
        return next((family for word, family in families.items() if word in caption), label)
    name = label.replace(" ", "_").replace("-", "_")
    return FAMILY_OF_LABEL.get(label, name if name in KNOWN else label)


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
        recordings.append(Recording(path, label, _family(label, str(entry.get("caption", ""))), kind, fold,
                                    _credit(entry)))
    return recordings


def _credit(entry: Mapping[str, Any]) -> str | None:
    """The credit of a manifest's entry; None where it states no licence."""
    if not entry.get("licence"):
        return None
    title = entry.get("title") or entry.get("caption") or entry["file"]
    by = f" by {entry['author']}" if entry.get("author") else ""
    edits = f"; edited: {entry['edits']}" if entry.get("edits") else ""
    return f'"{title}"{by}, {entry["licence"]}, {entry.get("source_id") or entry.get("source") or entry["file"]}{edits}'


def _from_subfolders(folder: Path) -> list[Recording]:
    recordings = []
    for subfolder in sorted(p for p in folder.iterdir() if p.is_dir()):
        label = subfolder.name.replace("_", " ")
        family = subfolder.name if subfolder.name in KNOWN else _family(label)
        lasting = family in KNOWN and KNOWN[family].kind in ("texture", "scrape")
        files = sorted(p for p in subfolder.iterdir() if p.suffix.lower() in SUFFIXES)
        recordings += [Recording(path, label, family, "texture" if lasting else "event", 1 + i % 5)
                       for i, path in enumerate(files)]
    return recordings


def read_mono(path: Path, sample_rate: int) -> np.ndarray:
    """A sound file (L,) mixed down, at `sample_rate`, in -1..1. Raises MediaError where it cannot be read."""
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
