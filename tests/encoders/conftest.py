"""Random GRAM encoders of toy size, and clips drawn for them."""

from dataclasses import replace

import pytest
import torch

from postsync.encoders.gram import GramEncoder, tiny
from postsync.encoders.text import WordPieceTokenizer
from postsync.protocols.clip import Clip

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "bell", "dog", "hammer", "hits", "metal", "rings", "bark",
         "##s", "##ing", ",")


@pytest.fixture(scope="session")
def tokenizer():
    return WordPieceTokenizer(WORDS)


@pytest.fixture
def make_encoder(tokenizer):
    def build(**changes):
        torch.manual_seed(0)
        return GramEncoder.from_preset(replace(tiny(len(WORDS)), **changes), tokenizer).eval()

    return build


@pytest.fixture
def make_clip():
    def build(seed=0, label="bell", captions=("a bell rings",), sample_rate=16000):
        generator = torch.Generator().manual_seed(seed)
        colour, pitch = torch.randint(0, 200, (3, 1, 1), generator=generator), 300.0 * 2 ** (seed % 4)
        frames = (colour + torch.randint(0, 56, (10, 3, 16, 16), generator=generator)).to(torch.uint8)
        tone = torch.sin(2 * torch.pi * pitch * torch.arange(8000) / 16000)
        waveform = 0.2 * tone + 0.01 * torch.randn(1, 8000, generator=generator)
        return Clip(f"clip{seed}", 0.5, frames=frames, times=torch.arange(10) / 20, waveform=waveform,
                    sample_rate=sample_rate, label=label, captions=captions)

    return build
