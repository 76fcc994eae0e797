"""The cache of published networks: converted once, whole or not at all, and what is said where they are absent."""

from __future__ import annotations

import hashlib
import importlib.util
import json

import pytest
import torch

from postsync.encoders import published
from postsync.encoders.vggish import Vggish
from postsync.errors import WeightsError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("POSTSYNC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "encoders"


@pytest.fixture
def official(tmp_path):
    """A file in VGGish's published layout, of toy size."""
    torch.manual_seed(0)
    state = Vggish((2, 3, 4, 5), hidden=8, outputs=6).state_dict()
    path = tmp_path / "vggish-10086976.pth"
    torch.save({k.replace("convolutions.", "features."): v for k, v in state.items()}, path)
    return path


def test_twelve_networks_say_where_they_come_from():
    assert list(published.PUBLISHED) == ["vggish", "panns", "yamnet", "passt", "synchformer", "cavp",
                                         "align_classifier", "i3d", "i3d_flow", "imagebind", "clap", "gram"]
    for name, entry in published.PUBLISHED.items():
        assert entry.name == name
        assert entry.source.startswith("https://")
        assert entry.licence
        assert entry.loader.startswith("postsync.encoders.")
        told = published.missing(name)
        assert all(text in told for text in (entry.file, entry.source, entry.licence,
                                             f"postsync weights convert {name} "))


def test_converted_saved_and_loaded(official, cache):
    assert not published.available("vggish")
    folder = published.convert("vggish", official)
    assert folder == published.cache_folder("vggish") == cache / "vggish"
    assert published.available("vggish")
    assert published.weights_hash("vggish") == hashlib.sha256(official.read_bytes()).hexdigest()
    assert [p.name for p in cache.iterdir()] == ["vggish"]
    assert list(folder.glob("*.safetensors"))
    model = published.load("vggish")
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    state = torch.load(official, weights_only=True)
    assert torch.equal(model.embeddings[2].weight, state["embeddings.2.weight"])
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["licence"] == "Apache-2.0"
    assert provenance["converted_from"] == official.name


def test_a_second_conversion_takes_the_place_of_the_first(official, cache):
    published.convert("vggish", official)
    state = torch.load(official, weights_only=True)
    state["embeddings.4.bias"] += 1
    torch.save(state, official)
    published.convert("vggish", official)
    assert torch.equal(published.load("vggish").embeddings[4].bias, state["embeddings.4.bias"])
    assert [p.name for p in cache.iterdir()] == ["vggish"]


def test_a_wrong_file_leaves_what_was_there(official, cache):
    published.convert("vggish", official)
    before = published.weights_hash("vggish")
    state = torch.load(official, weights_only=True)
    del state["embeddings.4.bias"]
    for wrong in (state, {"features.0.weight": torch.zeros(())}, {"something": torch.zeros(2)}):
        torch.save(wrong, official)
        with pytest.raises(WeightsError, match=r"vggish-10086976\.pth: .*torchvggish"):
            published.convert("vggish", official)
    official.write_bytes(official.read_bytes()[:100])
    with pytest.raises(WeightsError, match=r"is refused.*torchvggish"):
        published.convert("vggish", official)
    assert published.weights_hash("vggish") == before
    assert [p.name for p in cache.iterdir()] == ["vggish"]


def test_nothing_is_left_where_writing_fails(official, cache, monkeypatch):
    def full(*_args, **_options):
        raise OSError("no space left on device")

    monkeypatch.setattr(Vggish, "save_pretrained", full)
    with pytest.raises(WeightsError, match="no space left"):
        published.convert("vggish", official)
    assert list(cache.iterdir()) == []
    cache.rmdir()
    cache.write_text("a file in the way")
    with pytest.raises(WeightsError, match="could not be written"):
        published.convert("vggish", official)


def test_absent_and_damaged_networks_say_what_to_do(official):
    with pytest.raises(WeightsError, match=r"download vggish-10086976\.pth from https"):
        published.load("vggish")
    with pytest.raises(WeightsError, match="no network named 'vgg'; choose from vggish"):
        published.load("vgg")
    folder = published.convert("vggish", official)
    weights = next(folder.glob("*.safetensors"))
    content = weights.read_bytes()
    for damaged in (content[:-8], b"\xff" * len(content)):
        weights.write_bytes(damaged)
        with pytest.raises(WeightsError, match=r"is damaged.*postsync weights convert vggish"):
            published.load("vggish")
    (folder / "provenance.json").write_text("{")
    with pytest.raises(WeightsError, match="cannot be read"):
        published.weights_hash("vggish")


@pytest.mark.parametrize("name", published.PUBLISHED)
def test_every_loader_is_there(name):
    module, _, function = published.PUBLISHED[name].loader.partition(":")
    spec = importlib.util.find_spec(module)
    assert spec is not None
    with open(spec.origin, encoding="utf-8") as source:
        assert f"\ndef {function}(" in source.read()
