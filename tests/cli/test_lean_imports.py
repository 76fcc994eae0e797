"""The quick way of importing diffusers: what is left out stays out, and what was hidden is whole afterwards."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOAD = """
import sys
from postsync.cli import lean_imports
lean_imports.import_diffusers()
import postsync
pipe = postsync.load()
heavy = [name for name in ("torch._dynamo", "transformers", "peft", "scipy", "sympy") if name in sys.modules]
assert not heavy, heavy
import diffusers, torch
from diffusers.models.transformers import Transformer2DModel
assert diffusers.AutoencoderKL is type(pipe.codec.vae)
from diffusers.models.autoencoders import AutoencoderKL, AutoencoderTiny
assert AutoencoderKL is diffusers.AutoencoderKL
assert issubclass(diffusers.UNet2DModel, diffusers.ModelMixin)
assert torch.compiler.disable.__module__ == "torch.compiler"
import peft, scipy.signal, transformers
"""
INSIST = """
import sys
from postsync.cli import lean_imports
lean_imports.HIDDEN = (*lean_imports.HIDDEN, "huggingface_hub")  # as if a later version could not do without it
lean_imports.import_diffusers()
import huggingface_hub, torch._dynamo
from postsync.systems.foleygram.pipeline import FoleyGRAMPipeline
"""


@pytest.mark.parametrize("code", [LOAD, INSIST], ids=["lean", "whole where it must be"])
def test_in_a_fresh_process(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
