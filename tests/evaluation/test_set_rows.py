"""Rows of sets: FAVD's with optical flow from files or computed, and what is done with few rows."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from postsync.data.manifest import write_manifest
from postsync.encoders.i3d import I3d
from postsync.encoders.published import PROVENANCE, cache_folder
from postsync.encoders.vggish import Vggish
from postsync.evaluation import set_rows as sets
from postsync.evaluation.observation import Pair
from postsync.evaluation.set_rows import picture_and_sound_rows
from postsync.evaluation.sides import Skipped, read_side
from synthetic_clips import RATE, clicks, observed, pair_of

STEP = 4  # pixels a picture, to the right


@pytest.fixture(autouse=True)
def networks(tmp_path_factory, monkeypatch):
    """Small networks of random weights in the published ones' places."""
    monkeypatch.setenv("POSTSYNC_CACHE", str(tmp_path_factory.mktemp("cache")))
    torch.manual_seed(0)
    made = {"i3d": I3d(num_classes=5, shrink=16), "i3d_flow": I3d(in_channels=2, num_classes=5, shrink=16),
            "vggish": Vggish((2, 3, 4, 5), hidden=8, outputs=6)}
    for name, model in made.items():
        model.save_pretrained(cache_folder(name))
        said = {"sha256": "0", "class": type(model).__name__, "postsync": "0", "files": {}}
        (cache_folder(name) / PROVENANCE).write_text(json.dumps(said))
    return {name: model.eval() for name, model in made.items()}


def sliding(count: int = 25) -> torch.Tensor:
    """Pictures (count, 3, 256, 256) of a smooth texture that slides."""
    noise = torch.randn(1, 1, 256, 256 + STEP * count, generator=torch.Generator().manual_seed(0))
    texture = torch.nn.functional.avg_pool2d(noise, 9, 1, 4)[0, 0]
    texture = ((texture - texture.min()) / (texture.max() - texture.min()) * 255).byte()
    shown = [texture[:, STEP * (count - k):STEP * (count - k) + 256] for k in range(count)]
    return torch.stack(shown)[:, None].expand(-1, 3, -1, -1)


def with_flow(pictures: torch.Tensor, file: Path | None) -> Pair:
    """A pair whose generated side has these pictures at 25 fps and this file of flow."""
    clip = observed(clicks(0.3), pictures, 25.0)
    clip.decoded = dataclasses.replace(clip.decoded, files=dataclasses.replace(clip.decoded.files, flow=file))
    return dataclasses.replace(pair_of(clicks(0.3)), made=clip, shown=clip)


def saved(folder: Path, flow: torch.Tensor) -> Path:
    path = folder / f"{len(list(folder.iterdir()))}.npy"
    np.save(path, flow.numpy())
    return path


def test_the_stream_of_the_flow_in_a_file_is_added_to_that_of_the_pictures(tmp_path, networks):
    pictures = torch.zeros(25, 3, 16, 16, dtype=torch.uint8)
    flow = torch.randn(24, 2, 256, 256, generator=torch.Generator().manual_seed(0)).half() * 5
    pair = with_flow(pictures, saved(tmp_path, flow))
    alone, both = (picture_and_sound_rows(pair, "generated", source) for source in (None, "files"))
    expected = networks["i3d_flow"].features(flow.float())["features"]
    assert both.shape == (1, expected.shape[1] + 6)
    torch.testing.assert_close(both[:, :-6] - alone[:, :-6], expected, atol=1e-5, rtol=1e-4)
    assert torch.equal(both[:, -6:], alone[:, -6:])


def test_computed_flow_sees_what_slides(tmp_path):
    known = torch.zeros(24, 2, 256, 256)
    still = with_flow(sliding(), saved(tmp_path, known))
    known[:, 0] = STEP
    moving = with_flow(sliding(), saved(tmp_path, known))
    found = picture_and_sound_rows(moving, "generated", "Farneback")
    right, wrong = (picture_and_sound_rows(pair, "generated", "files") for pair in (moving, still))
    assert (found - right).norm() < 0.3 * (wrong - right).norm()


def test_flow_that_does_not_fit_is_named(tmp_path):
    pictures = torch.zeros(26, 3, 16, 16, dtype=torch.uint8)
    for shape in ((23, 2, 256, 256), (24, 3, 256, 256), (24, 2, 224, 256), (24, 256, 256)):
        pair = with_flow(pictures, saved(tmp_path, torch.zeros(shape)))
        with pytest.raises(Skipped, match="24 pairs of pictures at 25 fps"):
            picture_and_sound_rows(pair, "generated", "files")
    (tmp_path / "cut.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(Skipped, match=r"cannot be read: cut\.npy"):
        picture_and_sound_rows(with_flow(pictures, tmp_path / "cut.npy"), "generated", "files")
    with pytest.raises(Skipped, match="no file of optical flow"):
        picture_and_sound_rows(with_flow(pictures, None), "generated", "files")


def test_flow_lies_beside_the_clips_or_where_the_manifest_says(tmp_path):
    (tmp_path / "flow").mkdir()
    for name in ("a.wav", "b.wav", "flow/a.npy"):
        (tmp_path / name).touch()
    assert [clip.flow for clip in read_side(tmp_path, "reference").clips.values()] == [tmp_path / "flow/a.npy", None]
    row = {"dataset": "x", "source_id": "x", "split": "test", "start": 0.0, "end": 1.0, "duration": 1.0}
    write_manifest(tmp_path, [{**row, "clip_id": name, "audio_path": f"{name}.wav", "sample_rate": RATE,
                               "features": {"flow": "other.npy"} if name == "b" else {}} for name in "ab"], {})
    assert [clip.flow for clip in read_side(tmp_path, "reference").clips.values()] == [tmp_path / "flow/a.npy",
                                                                                     tmp_path / "other.npy"]


def test_few_rows_are_named_beside_their_figures():
    rows = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    assert "of 8 features: with so few" in sets.frechet_note(rows, rows)
    many = rows.repeat(4, 1)
    assert sets.frechet_note(many, many) == "24 rows against 24"
    assert sets.kid_note(rows, rows, subset_size=6) == "6 rows against 6"
    assert sets.kid_note(rows[:5], rows, subset_size=6).endswith("for subsets of 6 there are too few")
    assert sets.inception_note(rows, None) == "6 clips: splits of few clips lower the score"
