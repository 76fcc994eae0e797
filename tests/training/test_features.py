"""Features: stacked in order whatever the number of processes, of one shape, mapped from files that are whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from postsync.errors import PostsyncError
from postsync.protocols.clip import Clip
from postsync.protocols.objective import Batch, ClipRequest, Objective
from postsync.training.features import PreparedFeatures, features_folder, prepare_features


class Numbered:
    """Clip i lasts i + 1 seconds."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Clip:
        return Clip(str(index), index + 1.0)


class Durations(Objective):
    def __init__(self, ragged: bool = False) -> None:
        super().__init__()
        self.ragged = ragged

    @property
    def wants(self) -> ClipRequest:
        return ClipRequest(None, None, 1.0)

    def prepare(self, clip: Clip) -> Batch:
        size = int(clip.duration_s) if self.ragged else 2
        return {"seconds": torch.full((size,), clip.duration_s), "index": torch.tensor(int(clip.clip_id)),
                "half": torch.full((3, 1), clip.duration_s / 2, dtype=torch.float16)}

    def forward(self, batch: Batch, *, step: int, teacher: nn.Module | None = None,
                generator: torch.Generator | None = None) -> Batch:
        raise AssertionError("features are not trained on here")

    def export(self, folder: Path) -> None:
        raise AssertionError("nothing is trained here")


def prepared(root: Path, key: str | None = None, objective: Objective | None = None, **more) -> PreparedFeatures:
    prepare_features(objective or Durations(), Numbered(), root, key=key, **more)
    return PreparedFeatures(features_folder(root, key))


@pytest.mark.parametrize("workers", [0, 2])
def test_features_are_stacked_in_order(workers: int, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    features = prepared(tmp_path, workers=workers, on_sample=lambda *at: seen.append(at))
    assert len(features) == 5
    assert [int(sample["index"]) for sample in features] == [0, 1, 2, 3, 4]
    batch = features.batch(torch.tensor([4, 0, 0]), torch.device("cpu"))
    assert batch["index"].tolist() == [4, 0, 0]
    assert batch["seconds"].tolist() == [[5, 5], [1, 1], [1, 1]]
    assert (batch["half"].dtype, batch["half"].shape) == (torch.float16, (3, 3, 1))
    assert seen[-1] == (5, 5)


def test_features_lie_in_files_and_writing_to_a_sample_leaves_them_alone(tmp_path: Path) -> None:
    features = prepared(tmp_path, "a")
    folder = features_folder(tmp_path, "a")
    assert sorted(path.name for path in folder.iterdir()) == ["half.npy", "index.npy", "seconds.npy"]
    next(iter(features))["seconds"].fill_(-1)
    assert PreparedFeatures(folder).batch(torch.tensor([0]), torch.device("cpu"))["seconds"].tolist() == [[1, 1]]


def test_another_shape_is_refused_with_the_clip(tmp_path: Path) -> None:
    with pytest.raises(PostsyncError, match=r"clip 1: 'seconds' has shape \(2,\).*same duration"):
        prepared(tmp_path, objective=Durations(ragged=True))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("value", "said"), [(None, "has no values"), (torch.tensor(1.0), r"shape \(\) of float32")])
def test_another_feature_or_kind_is_refused(tmp_path: Path, value: torch.Tensor | None, said: str) -> None:
    class Varying(Durations):
        def prepare(self, clip: Clip) -> Batch:
            sample = super().prepare(clip)
            if clip.clip_id == "2":
                del sample["index"]
                sample |= {} if value is None else {"index": value}
            return sample

    with pytest.raises(PostsyncError, match=f"clip 2: 'index' .*{said}"):
        prepared(tmp_path, objective=Varying())


def test_the_folder_is_named_by_the_key_and_read_back(tmp_path: Path) -> None:
    first = prepared(tmp_path, "a")
    again = prepared(tmp_path, "a", Durations(ragged=True))  # would fail if prepared
    assert [s["seconds"].tolist() for s in first] == [s["seconds"].tolist() for s in again]
    prepared(tmp_path, "b")
    assert len(list(tmp_path.iterdir())) == 2


def test_without_a_key_they_are_prepared_each_time(tmp_path: Path) -> None:
    prepared(tmp_path)
    with pytest.raises(PostsyncError, match="same duration"):
        prepared(tmp_path, objective=Durations(ragged=True))
    assert len(PreparedFeatures(features_folder(tmp_path, None))) == 5  # those before are still whole


def test_damaged_features_say_what_to_delete(tmp_path: Path) -> None:
    prepared(tmp_path, "a")
    folder = features_folder(tmp_path, "a")
    data = (folder / "seconds.npy").read_bytes()
    for spoilt in (data[:-3], data[:20], b""):
        (folder / "seconds.npy").write_bytes(spoilt)
        with pytest.raises(PostsyncError, match=r"damaged.*delete the folder"):
            PreparedFeatures(folder)
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(PostsyncError, match="incomplete; delete the folder"):
        PreparedFeatures(folder)


def test_a_disk_without_room_is_said_before_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10}))
    with pytest.raises(PostsyncError, match="the features take 1 MiB, and 0 MiB are free"):
        prepared(tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_killed_processes_left_is_removed(tmp_path: Path) -> None:
    for name in ("old", "young"):
        left = tmp_path / f".features-1.{name}.part"
        left.mkdir()
        (left / "x.npy").write_bytes(b"half")
        if name == "old":
            os.utime(left / "x.npy", (1e9, 1e9))
    prepared(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".features-1.young.part", "features"]
