"""Pipelines of tiny parts with random weights: a codec, GRAM towers with a vocabulary, a CAVP, and what stands on them.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from postsync.codecs import presets as codec_presets
from postsync.codecs.pictures import picture_codec
from postsync.encoders import gram as gram_module
from postsync.encoders.cavp import Cavp
from postsync.encoders.text import WordPieceTokenizer
from postsync.systems.foleygram import presets
from postsync.systems.foleygram.controlnet import DiTControlNet
from postsync.systems.foleygram.pipeline import FoleyGRAMPipeline
from postsync.systems.mgaudio import presets as mgaudio_presets
from postsync.systems.mgaudio.pipeline import MGAudioPipeline
from postsync.systems.sounding_video import presets as joint_presets
from postsync.systems.sounding_video.pipeline import SoundingVideoPipeline

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hammer", "on", "metal", "rain", "bell", "a"]


def draw_weights(module: torch.nn.Module, seed: int) -> None:
    """Give every trained value of `module` a small random number, so that nothing hides behind a zero start."""
    generator = torch.Generator().manual_seed(seed)
    for p in module.parameters():
        p.data = torch.randn(p.shape, generator=generator) * (0.3 if p.dim() < 2 else p[0].numel() ** -0.5)


@pytest.fixture(scope="session")
def codec():
    torch.manual_seed(0)
    return codec_presets.tiny().build().eval()


@pytest.fixture(scope="session")
def gram():
    torch.manual_seed(1)
    return gram_module.GramEncoder.from_preset(gram_module.tiny(), WordPieceTokenizer(WORDS)).eval()


@pytest.fixture(scope="session")
def pipe(codec, gram):
    """A pipeline with a branch; 16 latent frames are 0.64 s. Not to be changed by a test."""
    pipe = FoleyGRAMPipeline.from_parts(presets.tiny(), codec=codec, gram=gram)
    for seed, part in enumerate((pipe.transformer, pipe.conditioner)):
        draw_weights(part, seed)
    pipe.register_modules(controlnet=DiTControlNet.from_dit(pipe.transformer, 0.5, "frames"))
    draw_weights(pipe.controlnet, 2)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture
def of_scenes(pipe, monkeypatch):
    """The pipeline with weights that know only drawn pictures, as the minis' do."""
    monkeypatch.setattr(type(pipe), "knows_film", property(lambda _: False))
    return pipe


@pytest.fixture(scope="session")
def cavp():
    torch.manual_seed(2)
    return Cavp(embed_dim=12, video_width=2, video_blocks=(1, 1, 1, 1), audio_widths=(2, 2, 4, 4, 8, 8),
                image_size=32).eval()


@pytest.fixture(scope="session")
def mgaudio(codec, cavp):
    """MGAudio; 16 latent frames are 0.64 s. Not to be changed by a test."""
    pipe = MGAudioPipeline.from_parts(mgaudio_presets.tiny(), codec=codec, cavp=cavp)
    draw_weights(pipe.transformer, 0)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="session")
def creating(gram, tmp_path_factory):
    """The folder of a pipeline that makes pictures of 16 x 16 with their sound, from words."""
    torch.manual_seed(4)
    preset = replace(joint_presets.tiny(text_dim=gram.embedding_dim), native_s=2.0)
    made = SoundingVideoPipeline.from_parts(preset, gram=gram, pictures=picture_codec("tiny").codec.eval())
    for parameter in made.connectors.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    folder = tmp_path_factory.mktemp("creating")
    made.save_pretrained(folder)
    return folder
