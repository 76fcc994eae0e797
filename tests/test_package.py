"""The package itself: light to import, public names there, typed."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata, resources

import pytest

import postsync
from postsync.weights import ROOT


def test_import_needs_no_heavy_module() -> None:
    code = ("import sys, postsync\n"
            "heavy = {'torch', 'numpy', 'diffusers', 'transformers', 'av', 'matplotlib'} & set(sys.modules)\n"
            "sys.exit(', '.join(heavy) or 0)")
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", postsync.__all__)
def test_public_names_exist(name: str) -> None:
    assert getattr(postsync, name) is not None
    assert name in dir(postsync)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'genrate'"):
        postsync.genrate  # noqa: B018


def test_version_is_the_installed_one() -> None:
    assert postsync.__version__ == metadata.version("postsync")


def test_package_is_typed() -> None:
    assert resources.files("postsync").joinpath("py.typed").is_file()


def test_bundled_weights_name_no_folder_of_the_machine_that_trained_them() -> None:
    files = [path for path in ROOT.rglob("*.json") if path.name != "tokenizer.json"]  # which knows the word "/"
    assert len(files) > 20
    for path in files:
        assert not re.search(r'"(_name_or_path": "[^"]|/|[A-Z]:\\\\)', path.read_text(encoding="utf-8")), path
