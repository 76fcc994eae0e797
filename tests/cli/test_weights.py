"""`postsync weights`: the list, a conversion, and exit code 2 with one line where it cannot be done."""

from __future__ import annotations

import json

import pytest
import torch

from postsync import cli
from postsync.encoders.published import PUBLISHED
from postsync.encoders.vggish import Vggish


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
