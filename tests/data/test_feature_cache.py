"""The cache of a manifest's features under attack: changed files, changed extractors, broken entries, kills, races."""

from __future__ import annotations

import importlib
import os
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from postsync.data import feature_cache
from postsync.data.extractor_version import extractor_version
from postsync.data.feature_cache import FeatureCache, fill, read_entry, remove_stale
from postsync.data.manifest import ManifestDataset, read_manifest, write_manifest
from postsync.errors import ConditionError
from postsync.media.audio import write_wav
from postsync.protocols.clip import Clip
from postsync.protocols.objective import Batch, ClipRequest, Objective


class Loudness(Objective):
    """Prepares a clip's mean level times a frozen gain; trains another number."""

    def __init__(self, gain: float = 1.0, power: float = 1.0, trained: float = 0.0) -> None:
        super().__init__()
        self.frozen_gain = nn.Parameter(torch.tensor(gain), requires_grad=False)
        self.trained = nn.Parameter(torch.tensor(trained))
        self.power = power
        self._prepared: list[str] = []

    @property
    def wants(self) -> ClipRequest:
        return ClipRequest(None, 8000, 0.5)

    def forward(self, batch: Batch, *, step: int, teacher: nn.Module | None = None,
                generator: torch.Generator | None = None) -> Batch:
        raise AssertionError("nothing is trained here")

    def export(self, folder: Path) -> None:
        raise AssertionError("nothing is exported here")

    def prepare(self, clip: Clip) -> Batch:
        if clip.label == "refused":
            raise ConditionError(f"clip {clip.clip_id} is refused")
        self._prepared.append(clip.clip_id)
        return {"level": self.frozen_gain * clip.waveform.abs().mean() ** self.power, "flag": torch.tensor(True)}


def row(name: str, **more) -> dict:
    return {"clip_id": f"set.{name}.0", "dataset": "set", "source_id": name, "split": "train", "start": 0.0, "end": 0.5,
            "duration": 0.5, "audio_path": f"{name}.wav", "sample_rate": 8000, **more}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for k, name in enumerate("abc"):
        write_wav(tmp_path / f"{name}.wav", torch.full((1, 4000), 0.1 * (k + 1)), 8000)
    write_manifest(tmp_path, [row(name) for name in "abc"], {})
    return tmp_path


def cache(folder: Path, objective: Objective | None = None, **options) -> FeatureCache:
    dataset = ManifestDataset(folder, frozenset({"waveform"}), **options)
    return FeatureCache(objective or Loudness(), dataset, folder / "features")


def names(clips: FeatureCache) -> list[str]:
    return [clips.path(index).name for index in range(len(clips))]


def test_prepared_once_and_read_again(folder: Path) -> None:
    first = cache(folder)
    levels = [first[index]["level"].item() for index in range(3)]
    assert levels == pytest.approx([0.1, 0.2, 0.3], abs=1e-3)
    again = cache(folder)
    assert [again[index]["level"].item() for index in range(3)] == levels
    assert again[0]["flag"].dtype == torch.bool
    assert again.objective._prepared == []
    assert len(list((folder / "features").iterdir())) == 3


def test_a_file_changed_behind_its_size_and_date(folder: Path) -> None:
    first = cache(folder)
    assert fill(first).made == 3
    before, stat = first[0]["level"].item(), (folder / "a.wav").stat()
    data = bytearray((folder / "a.wav").read_bytes())
    data[-6000:] = bytes(6000)  # silence for half of the samples
    (folder / "a.wav").write_bytes(bytes(data))
    os.utime(folder / "a.wav", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (folder / "a.wav").stat().st_size == stat.st_size
    again = cache(folder)
    assert again[0]["level"].item() == pytest.approx(before / 2, rel=0.01)
    assert again[1]["level"].item() == pytest.approx(0.2, abs=1e-3)
    assert again.objective._prepared == ["set.a.0"]


def test_a_changed_row_or_decoding_is_another_entry(folder: Path) -> None:
    before = names(cache(folder))
    rows = read_manifest(folder)
    write_manifest(folder, [{**rows[0], "captions": ["new"]}, {**rows[1], "end": 0.4, "duration": 0.4},
                            {**rows[2], "flags": ["clipped"], "stats": {"rms_db": -9.0}}], {})
    after = names(cache(folder))
    assert [a == b for a, b in zip(before, after)] == [False, False, True]
    assert not set(names(cache(folder, sample_rate=4000))) & set(after)


def test_another_extractor_is_another_version() -> None:
    version = extractor_version(Loudness())
    assert extractor_version(Loudness(trained=5.0)) == version  # no features can stand on what is trained
    assert extractor_version(Loudness(gain=2.0)) != version
    assert extractor_version(Loudness(power=2.0)) != version
    changed = type("Loudness", (Loudness,), {"prepare": lambda self, clip: {"level": torch.zeros(())}})
    assert extractor_version(changed()) != version
    used = Loudness()
    used._prepared.append("x")
    assert extractor_version(used) == version


class Told(Loudness):
    """Says what its preparation depends on: the gain alone, and a file beside the clip."""

    def __init__(self, side: Path, **rest: float) -> None:
        super().__init__(**rest)
        self._side = side

    def preparation(self) -> tuple[dict, dict[str, nn.Module]]:
        part = nn.Module()
        part.gain = self.frozen_gain
        return {"gain": True}, {"part": part}

    def reads(self, clip_id: str) -> list[Path]:
        return [self._side / f"{clip_id}.txt"]


def test_what_a_preparation_does_not_depend_on_changes_nothing(tmp_path: Path) -> None:
    version = extractor_version(Told(tmp_path))
    assert extractor_version(Told(tmp_path, power=2.0)) == version
    assert extractor_version(Told(tmp_path, gain=2.0)) != version


def test_files_beside_the_clip_are_part_of_the_name(folder: Path, tmp_path: Path) -> None:
    for row in read_manifest(folder):
        (tmp_path / f"{row['clip_id']}.txt").write_text("one")
    before = names(cache(folder, Told(tmp_path)))
    (tmp_path / f"{read_manifest(folder)[1]['clip_id']}.txt").write_text("two")
    assert [a == b for a, b in zip(before, names(cache(folder, Told(tmp_path))))] == [True, False, True]


def test_another_extractor_prepares_anew(folder: Path) -> None:
    assert fill(cache(folder)).made == 3
    louder = cache(folder, Loudness(gain=3.0))
    assert louder[0]["level"].item() == pytest.approx(0.3, abs=1e-3)
    assert fill(cache(folder, Loudness(trained=1.0))).kept == 3


@pytest.mark.parametrize("changed", ["module", "leant on"])
def test_changed_code_is_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str) -> None:
    name = {"module": "own_trainable", "leant on": "own_front_end"}[changed]  # a package is imported once a process
    package = tmp_path / name
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "front.py").write_text("def front(x):\n    return x\n")
    (package / "trainable.py").write_text(
        f"from postsync.protocols.objective import Objective\nfrom {name}.front import front\n\n\n"
        "class Mine(Objective):\n    wants = forward = export = None\n\n    def prepare(self, clip):\n"
        "        return dict(x=front(clip.waveform))\n")
    monkeypatch.syspath_prepend(tmp_path)
    objective = importlib.import_module(f"{name}.trainable").Mine()
    first = extractor_version(objective)
    file = package / {"module": "trainable.py", "leant on": "front.py"}[changed]
    file.write_text(file.read_text() + "\nMORE = 1\n")
    assert extractor_version(objective) != first
    file.write_text(file.read_text().removesuffix("\nMORE = 1\n"))
    assert extractor_version(objective) == first


@pytest.mark.parametrize("spoil", [
    lambda data: data[:-3], lambda data: data[:10], lambda data: b"", lambda data: bytes(len(data)),
    lambda data: data[:-2] + bytes([data[-2] ^ 1, data[-1]])],
    ids=["cut short", "header only", "empty", "zeros", "one bit"])
def test_an_entry_that_is_not_whole_is_made_again(folder: Path, spoil) -> None:
    clips = cache(folder)
    good = clips[1]["level"].item()
    path = clips.path(1)
    path.write_bytes(spoil(path.read_bytes()))
    assert read_entry(path) is None
    assert fill(clips).made == 3  # the other two had not been asked for
    assert read_entry(path)["level"].item() == good
    assert cache(folder)[1]["level"].item() == good


def test_an_entry_in_the_place_of_another_is_made_again(folder: Path) -> None:
    clips = cache(folder)
    levels = [clips[k]["level"].item() for k in (0, 1)]
    assert levels[0] != levels[1]
    clips.path(0).write_bytes(clips.path(1).read_bytes())
    assert cache(folder)[0]["level"].item() == levels[0]


def test_what_cannot_be_prepared_is_named_and_the_rest_goes_on(folder: Path) -> None:
    write_manifest(folder, [row("a"), row("b", label="refused"), row("gone")], {})
    filled = fill(cache(folder))
    assert (filled.made, filled.kept) == (1, 0)
    assert [sentence.split(":")[0] for sentence in filled.failures] == ["set.b.0", "set.gone.0"]
    with pytest.raises(ConditionError, match="refused"):
        cache(folder)[1]


def test_only_old_leavings_are_removed(folder: Path) -> None:
    clips = cache(folder)
    old, young = (clips.folder / f".x.{name}.part.safetensors" for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (1e9, 1e9))
    remove_stale(clips.folder)
    assert not old.exists()
    assert young.exists()


def fill_in_child(folder: Path, die_at: int = 0) -> int:
    """Process id of a child that fills the cache, and kills itself in the middle of writing entry `die_at`."""
    child = os.fork()
    if child:
        return child
    calls: list[Path] = []

    def dying(features: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
        save_file(features, path, metadata=metadata)
        calls.append(path)
        if len(calls) == die_at:
            path.write_bytes(path.read_bytes()[:20])
            os.kill(os.getpid(), signal.SIGKILL)

    feature_cache.save_file = dying
    os._exit(len(fill(cache(folder)).failures))


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and POSIX signals")


def test_the_key_of_all_features_changes_with_rows_files_and_extractor(folder: Path) -> None:
    key = cache(folder).key
    assert cache(folder).key == key
    assert cache(folder, Loudness(trained=2.0)).key == key
    assert cache(folder, Loudness(gain=2.0)).key != key
    assert cache(folder, sample_rate=4000).key != key
    os.utime(folder / "b.wav", (1e9, 1e9))
    touched = cache(folder).key
    assert touched != key
    write_manifest(folder, read_manifest(folder)[:2], {})
    assert cache(folder).key != touched
    (folder / "a.wav").unlink()
    assert cache(folder).key  # what is missing is said when it is read


@needs_fork
def test_a_fill_that_is_killed_is_resumed(folder: Path) -> None:
    status = os.waitpid(fill_in_child(folder, die_at=2), 0)[1]
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    left = sorted((folder / "features").iterdir())
    assert [path.name.endswith(".part.safetensors") for path in left] == [True, False]
    assert read_entry(left[1]) is not None
    resumed = fill(cache(folder))
    assert (resumed.made, resumed.kept, resumed.failures) == (2, 1, [])


@needs_fork
def test_two_processes_fill_one_cache(folder: Path) -> None:
    children = [fill_in_child(folder), fill_in_child(folder)]
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    entries = list((folder / "features").iterdir())
    assert len(entries) == 3
    assert all(read_entry(path) is not None for path in entries)
