"""The vocoder: its noise is that of the place, parts equal the whole, old weights are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from postsync.codecs.mel_vae import MelCodec
from postsync.codecs.presets import tiny
from postsync.codecs.vocoder import NOISE_BLOCK, VocosVocoder, _white_noise
from postsync.errors import WeightsError


@pytest.fixture
def vocoder() -> VocosVocoder:
    torch.manual_seed(0)
    return VocosVocoder(**(tiny().vocoder or {})).eval()


def test_noise_is_white_gaussian_and_does_not_repeat() -> None:
    noise = _white_noise(0, 4 * NOISE_BLOCK, 160, seed=0)
    assert float(noise.std()) == pytest.approx(1.0, abs=0.01)
    assert float(noise.pow(4).mean()) == pytest.approx(3.0, abs=0.1)
    blocks = noise.reshape(4, -1)
    assert float(torch.corrcoef(blocks).fill_diagonal_(0).abs().max()) < 0.02


@pytest.mark.parametrize("first", [-3, 0, 1, NOISE_BLOCK - 1, NOISE_BLOCK, 5 * NOISE_BLOCK + 17])
def test_noise_depends_on_the_place_alone(first: int) -> None:
    whole = _white_noise(-10, 7 * NOISE_BLOCK, 8, seed=3)
    part = _white_noise(first, 20, 8, seed=3)
    torch.testing.assert_close(part, whole[(first + 10) * 8 : (first + 30) * 8], atol=0, rtol=0)
    assert not torch.equal(part, _white_noise(first, 20, 8, seed=4))


def test_a_part_with_its_place_equals_the_whole(vocoder: VocosVocoder) -> None:
    log_mel = torch.randn(1, 300, 64, generator=torch.Generator().manual_seed(2)) - 5
    margin = vocoder.chunk_margin
    with torch.no_grad():
        whole, part = vocoder(log_mel), vocoder(log_mel[:, 100:260], 100)
    inner = slice(margin * 160, (160 - margin) * 160)
    torch.testing.assert_close(part[:, inner], whole[:, 16000:41600][:, inner],
                               atol=1e-4 * float(whole.abs().max()), rtol=0)
    with torch.no_grad():
        elsewhere = vocoder(log_mel[:, 100:260], 0)
    assert float((elsewhere - part).abs().max()) > 0.1 * float(part.abs().max())


def test_weights_that_predict_phases_are_refused(tmp_path: Path, vocoder: VocosVocoder) -> None:
    MelCodec(tiny().build_vae(), vocoder).save_pretrained(tmp_path)
    MelCodec.from_pretrained(tmp_path)
    file = tmp_path / "vocoder" / "diffusion_pytorch_model.safetensors"
    state = load_file(file)
    state |= {name: torch.cat([state[name]] * 3) for name in ("head.weight", "head.bias")}
    save_file(state, file, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match="train it again"):
        MelCodec.from_pretrained(tmp_path)
