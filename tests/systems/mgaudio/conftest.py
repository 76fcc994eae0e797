"""A CAVP of tiny sizes with random weights, and a pipeline with it and the suite's tiny codec."""

from __future__ import annotations

import pytest
import torch

from postsync.encoders.cavp import Cavp
from postsync.systems.mgaudio import presets
from postsync.systems.mgaudio.pipeline import MGAudioPipeline
from tiny_pipeline import draw_weights


@pytest.fixture(scope="session")
def cavp():
    torch.manual_seed(2)
    return Cavp(embed_dim=12, video_width=2, video_blocks=(1, 1, 1, 1), audio_widths=(2, 2, 4, 4, 8, 8),
                image_size=32).eval()


@pytest.fixture(scope="session")
def mgaudio(codec, cavp):
    """16 latent frames are 0.64 s. Not to be changed by a test."""
    pipe = MGAudioPipeline.from_parts(presets.tiny(), codec=codec, cavp=cavp)
    draw_weights(pipe.transformer, 0)
    pipe.set_progress_bar_config(disable=True)
    return pipe
