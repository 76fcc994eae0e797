"""Features: stacked in order whatever the number of processes, one shape, read back from their file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from postsync.training.feature_cache import prepare_features
from torch import Tensor, nn

from postsync.data.clip import Clip
from postsync.errors import PostsyncError


class Numbered:
    """Clip i lasts i + 1 seconds."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Clip:
        return Clip(str(index), index + 1.0)


class Durations(nn.Module):
    def __init__(self, ragged: bool = False) -> None:
        super().__init__()
        self.ragged = ragged

    def prepare(self, clip: Clip) -> dict[str, Tensor]:
        size = int(clip.duration_s) if self.ragged else 2
        return {"seconds": torch.full((size,), clip.duration_s), "index": torch.tensor(int(clip.clip_id))}


@pytest.mark.parametrize("workers", [0, 2])
def test_features_are_stacked_in_order(workers: int) -> None:
    seen: list[tuple[int, int]] = []
    features = prepare_features(Durations(), Numbered(), workers=workers, on_sample=lambda *at: seen.append(at))
    assert features["index"].tolist() == [0, 1, 2, 3, 4]
    assert features["seconds"].shape == (5, 2)
    assert features["seconds"][:, 1].tolist() == [1, 2, 3, 4, 5]
    assert seen[-1] == (5, 5)


def test_another_shape_is_refused_with_the_clip() -> None:
    with pytest.raises(PostsyncError, match=r"clip 1: 'seconds' has shape \(2,\).*same duration"):
        prepare_features(Durations(ragged=True), Numbered())


def test_file_is_named_by_the_key_and_read_back(tmp_path: Path) -> None:
    first = prepare_features(Durations(), Numbered(), folder=tmp_path, key="a")
    again = prepare_features(Durations(ragged=True), Numbered(), folder=tmp_path, key="a")  # would fail if prepared
    assert all(torch.equal(first[name], again[name]) for name in first)
    prepare_features(Durations(), Numbered(), folder=tmp_path, key="b")
    assert len(list(tmp_path.glob("features-*.safetensors"))) == 2
    assert not list(tmp_path.glob("*.partial"))
