"""`postsync weights`: the list, a conversion, and exit code 2 with one line where it cannot be done."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from hub_server import COMMIT, Hub, serving
from postsync import cli, registry
from postsync.encoders.cavp import Cavp
from postsync.encoders.published import PUBLISHED
from postsync.encoders.vggish import Vggish
from postsync.systems.mgaudio import presets
from postsync.systems.mgaudio.checkpoint import to_official
from postsync.systems.mgaudio.transformer import FBDT
from tiny_pipeline import draw_weights


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("POSTSYNC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["weights", *map(str, arguments)])
    return int(stopped.value.code or 0)


def test_list_then_convert_then_list(tmp_path, cache, capsys):
    assert run("list") == 0
    told = capsys.readouterr().out
    assert "vggish: not converted" in told
    assert all(text in told for entry in PUBLISHED.values() for text in (entry.file, entry.source, entry.licence))
    state = {k.replace("convolutions.", "features."): v
             for k, v in Vggish((2, 3, 4, 5), hidden=8, outputs=6).state_dict().items()}
    torch.save(state, tmp_path / "file.pth")
    assert run("convert", "vggish", tmp_path / "file.pth") == 0
    assert str(cache / "encoders" / "vggish") in capsys.readouterr().out
    assert run("list", "--json") == 0
    assert [e["name"] for e in json.loads(capsys.readouterr().out) if e["available"]] == ["vggish"]


@pytest.mark.parametrize(("name", "content", "told"), [
    ("vgg", None, "no network named 'vgg'"), ("vggish", None, "no checkpoint at"),
    ("vggish", b"not a checkpoint", "is refused"), ("panns", {"a": torch.zeros(1)}, "Cnn14_16k")])
def test_what_cannot_be_converted_is_one_line(tmp_path, cache, capsys, name, content, told):
    path = tmp_path / "file.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    assert run("convert", name, path) == 2
    errors = capsys.readouterr().err
    assert told in errors
    assert len(errors.splitlines()) == 1
    assert not list(cache.rglob("*")) or not list(cache.rglob("*.*"))


@pytest.fixture
def parts(codec, tmp_path, monkeypatch):
    """Pairs that name a codec and a CAVP, and a checkpoint of the paper's sign; size S is made small here."""
    monkeypatch.setitem(presets.SIZES, "S", {"hidden_size": 32, "depth": 1, "num_heads": 2, "encoder_depth": 1})
    codec.save_pretrained(tmp_path / "codec")
    Cavp(embed_dim=512, video_width=2, video_blocks=(1, 1, 1, 1), audio_widths=(2, 2, 4, 4, 8, 8), image_size=32
         ).save_pretrained(tmp_path / "cavp")
    model = FBDT(**presets.paper("S").transformer)
    draw_weights(model, 0)
    torch.save({"ema": to_official(model, sign="paper")}, tmp_path / "theirs.pt")
    return {"codec": f"codec={tmp_path / 'codec'}", "cavp": f"cavp={tmp_path / 'cavp'}", "size": "size=S"}


def assemble(system, folder, pairs):
    """Exit code of the command with these parts and settings, None left out."""
    options = [word for name, pair in pairs.items() if pair is not None
               for word in ("--part" if name in ("codec", "cavp") else "--set", pair)]
    return run("assemble", system, folder / "theirs.pt", "--out", folder / "pipe", *options)


def test_a_checkpoint_becomes_a_pipeline_that_generates(parts, tmp_path, capsys):
    assert assemble("mgaudio", tmp_path, parts | {"sign": "sign=paper", "scale": "latent_scale=4"}) == 0
    pipe = registry.load_pipeline("mgaudio", str(tmp_path / "pipe"))
    assert pipe.config["latent_scale"] == 4.0
    assert pipe.cavp.image_size == 32
    model = FBDT(**presets.paper("S").transformer)
    draw_weights(model, 0)
    assert torch.equal(pipe.transformer.final_layer.linear.weight, model.final_layer.linear.weight)
    pipe.set_progress_bar_config(disable=True)
    sound = pipe(video=torch.rand(5, 3, 20, 20), num_inference_steps=1, generator=torch.Generator().manual_seed(0))
    assert sound.audios.shape == (1, 1, 130560)
    assert assemble("mgaudio", tmp_path, parts) == 2
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(("system", "changes", "told"), [
    ("foleygram", {}, "foleygram has no part"),
    ("mgaudio", {"size": "size=M"}, "it must be S or B or L or XL"),
    ("mgaudio", {"sign": "sign=plus"}, "it must be velocity or paper"),
    ("mgaudio", {"scale": "latent_scale=0"}, "latent_scale is 0"), ("mgaudio", {"codec": None}, "--part codec=FOLDER"),
    ("mgaudio", {"size": "size=B"}, "width 32 and depth 1 are those of paper size S"),
    ("mgaudio", {"cavp": "cavp=narrow"}, "vectors of 12 values")])
def test_what_cannot_be_assembled_is_one_line(parts, cavp, tmp_path, capsys, system, changes, told):
    cavp.save_pretrained(tmp_path / "narrow")
    named = {name: pair and pair.replace("narrow", str(tmp_path / "narrow")) for name, pair in changes.items()}
    assert assemble(system, tmp_path, parts | named) == 2
    errors = capsys.readouterr().err
    assert told in errors
    assert len(errors.splitlines()) == 1
    assert not (tmp_path / "pipe").exists()


def test_a_system_without_published_parts_says_which_have_some(parts, tmp_path, capsys, monkeypatch):
    known = registry.system("foleygram")
    monkeypatch.setattr(registry, "system", lambda name: replace(known, assembly=None))
    assert assemble("foleygram", tmp_path, parts) == 2
    assert "foleygram cannot be assembled from a checkpoint; these can: " in capsys.readouterr().err


@pytest.fixture
def hub(monkeypatch):
    files = {"vocab.txt": b"[PAD]\n", "config.json": b"{}"}
    with serving(Hub(files, repository="google-bert/bert-base-uncased", licence="apache-2.0")) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


def test_fetch_shows_the_licence_and_asks_before_anything_is_fetched(hub, cache, capsys):
    assert run("fetch", "bert") == 2
    told = capsys.readouterr()
    assert COMMIT in told.out
    assert "1 file, 0.0 MB" in told.out
    assert "its page says: apache-2.0" in told.out
    assert "--accept-licence" in told.err
    assert not (cache / "hub").exists()
    assert run("fetch", "bert", "--accept-licence") == 0
    assert (cache / "hub" / "bert" / "vocab.txt").read_bytes() == b"[PAD]\n"
    capsys.readouterr()
    asked = len(hub.requests)
    assert run("fetch", "bert", "--accept-licence") == 0
    assert "It is there already." in capsys.readouterr().out
    assert len(hub.requests) == asked + 1  # the listing alone


def test_a_fetch_that_cannot_be_done_is_said_in_a_line(hub, capsys, tmp_path):
    assert run("fetch", "nothing") == 2
    assert "choose from: bert" in capsys.readouterr().err
    assert run("fetch", "bert", "--revision", "older", "--to", tmp_path / "x") == 2
    assert "no revision 'older'" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
