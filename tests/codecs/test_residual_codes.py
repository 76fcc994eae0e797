"""Residual codebooks: nearest entries, k-means, what each codebook adds, the token codec's contract, refusals."""

from __future__ import annotations

import pytest
import torch

from postsync import weights
from postsync.codecs.mel_vae import MelCodec
from postsync.codecs.residual_codes import (
    QuantizedMelCodec,
    ResidualCodesObjective,
    ResidualQuantizer,
    as_vectors,
    k_means,
    nearest,
)
from postsync.errors import ConditionError, WeightsError
from postsync.protocols.clip import Clip
from postsync.protocols.codec import TokenCodec


@pytest.fixture(scope="module")
def mel_codec() -> MelCodec:
    return MelCodec.from_pretrained(weights.bundled("mel_codec"))


@pytest.fixture(scope="module")
def fitted(mel_codec) -> ResidualCodesObjective:
    """Codebooks of noise and tones of eight levels and pitches."""
    objective = ResidualCodesObjective(mel_codec, num_codebooks=3, codebook_size=32)
    objective.fit(objective.prepare(clip(seed)) for seed in range(8))
    return objective


def clip(seed: int, seconds: float = 2.0) -> Clip:
    g = torch.Generator().manual_seed(seed)
    time = torch.arange(round(16000 * seconds)) / 16000
    sound = 0.5 * torch.sin(2 * torch.pi * (200 + 300 * seed) * time) * (time % 0.5 < 0.3)
    return Clip(f"c{seed}", seconds, waveform=(sound + 0.05 * torch.randn(time.shape, generator=g))[None],
                sample_rate=16000)


def test_the_nearest_entry_is_found() -> None:
    g = torch.Generator().manual_seed(0)
    vectors, codebook = torch.randn(50, 6, generator=g), torch.randn(9, 6, generator=g)
    assert torch.equal(nearest(vectors, codebook), torch.cdist(vectors, codebook).argmin(-1))


def test_k_means_finds_clusters_and_serves_fewer_vectors_than_centres() -> None:
    g = torch.Generator().manual_seed(0)
    true = 10 * torch.randn(4, 3, generator=g)
    vectors = true.repeat_interleave(100, 0) + 0.1 * torch.randn(400, 3, generator=g)
    centres = k_means(vectors, 32, torch.Generator().manual_seed(1))
    assert torch.cdist(true, centres).amin(1).max() < 0.2
    assert k_means(vectors[:3], 8, torch.Generator().manual_seed(1)).isfinite().all()


def test_each_codebook_tells_more_of_the_latents(fitted) -> None:
    vectors = fitted.prepare(clip(3))["vectors"].float()
    quantizer, errors = fitted.quantizer, []
    entries = quantizer.encode(vectors)
    normal = (vectors - quantizer.mean) / quantizer.std
    told = torch.zeros_like(normal)
    for k in range(3):
        told = told + quantizer.codebooks[k][entries[:, k]]
        errors.append(float((normal - told).detach().square().mean()))
    assert errors[0] < 0.8 * float(normal.square().mean())
    assert errors == sorted(errors, reverse=True)
    torch.testing.assert_close(quantizer.decode(entries), told * quantizer.std + quantizer.mean)


def test_training_lowers_what_is_left(fitted) -> None:
    batch = {"vectors": torch.stack([fitted.prepare(clip(seed))["vectors"] for seed in (1, 2, 5)])}
    optimiser = torch.optim.Adam(fitted.quantizer.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        loss = fitted(batch, step=0, generator=torch.Generator().manual_seed(0))["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_it_is_a_token_codec_that_keeps_length_batch_and_loudness(mel_codec, fitted, tmp_path) -> None:
    fitted.export(tmp_path)
    codec = QuantizedMelCodec.from_pretrained(tmp_path, mel_codec=mel_codec)
    assert isinstance(codec, TokenCodec)
    assert (codec.frame_rate, codec.num_codebooks, codec.codebooks.shape) == (25.0, 3, (3, 32, 128))
    waveform = torch.stack([clip(1).waveform, clip(6).waveform])
    tokens = codec.encode(waveform)
    assert tokens.shape == (2, 3, 50)
    assert tokens.dtype == torch.int64
    assert torch.equal(codec.encode(waveform[1:])[0], tokens[1])
    sound = codec.decode(tokens, 31000)
    assert sound.shape == (2, 1, 31000)
    assert 0.3 < float(sound.std() / waveform.std()) < 3
    latents = mel_codec.encode(waveform).mean
    assert as_vectors(latents).shape == (2, 50, 128)
    restored = as_vectors(latents).unflatten(-1, (8, 16)).transpose(1, 2)
    assert torch.equal(restored, latents)


def test_what_does_not_fit_is_refused(mel_codec, tmp_path) -> None:
    codec = QuantizedMelCodec(mel_codec, ResidualQuantizer(codebook_size=16))
    for wrong in (torch.zeros(1, 3, 5, dtype=torch.long), torch.full((1, 4, 5), 16), torch.full((1, 4, 5), -1)):
        with pytest.raises(ConditionError, match="4 codebooks of 16"):
            codec.decode(wrong)
    with pytest.raises(ConditionError, match="hold 3200 samples, not 9999"):
        codec.decode(torch.zeros(1, 4, 5, dtype=torch.long), 9999)
    with pytest.raises(ConditionError, match="channel"):
        codec.encode(torch.zeros(1, 2, 3200))
    with pytest.raises(WeightsError, match="holds no readable codebooks"):
        QuantizedMelCodec.from_pretrained(tmp_path, mel_codec=mel_codec)
