"""The codec's contract: shapes, lengths, levels, chunks, folders; on tiny random weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL

from postsync.codecs import presets
from postsync.codecs.mel_vae import MelCodec
from postsync.errors import ConditionError, WeightsError
from postsync.features.spectrogram import audioldm_log_mel
from postsync.protocols.codec import Codec


def make_codec() -> MelCodec:
    torch.manual_seed(0)
    return presets.tiny().build().eval()


@pytest.mark.parametrize("num_samples", [1, 640, 641, 16000, 20001])
def test_lengths(num_samples: int) -> None:
    codec = make_codec()
    waveform = 0.1 * torch.randn(2, 1, num_samples, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        posterior = codec.encode(waveform)
        assert posterior.mean.shape == posterior.std.shape == (2, *codec.latent_shape(num_samples))
        assert codec.latent_shape(num_samples) == (8, -(-num_samples // 640), 16)
        assert codec.log_mel(waveform[:, 0]).shape == (2, 4 * codec.latent_shape(num_samples)[1], 64)
        assert codec.decode(posterior.mean, num_samples).shape == waveform.shape
    assert codec.latent_rate == 25.0
    assert (codec.sampling_rate, codec.channels) == (16000, 1)
    assert isinstance(codec, Codec)
    with pytest.raises(ConditionError, match=r"\(B, 1, N\)"):
        codec.encode(waveform.expand(2, 2, -1))


def test_log_mel_is_audioldms_without_its_last_frame() -> None:
    waveform = 0.1 * torch.randn(1, 6400, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(make_codec().log_mel(waveform), audioldm_log_mel(waveform)[:, :40])


def test_samples_follow_the_generator_and_the_posterior() -> None:
    codec = make_codec()
    with torch.no_grad():
        posterior = codec.encode(0.1 * torch.randn(1, 1, 6400, generator=torch.Generator().manual_seed(1)))
    draws = [posterior.sample(torch.Generator().manual_seed(s)) for s in (3, 3, 4)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.allclose(draws[0], draws[2])
    standard = (draws[0] - posterior.mean) / posterior.std
    assert abs(float(standard.std()) - 1) < 0.1


def test_the_scaling_factor_scales_latents_and_leaves_the_sound() -> None:
    codec = make_codec()
    waveform = 0.1 * torch.randn(1, 1, 6400, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before = codec.encode(waveform).mean
        sound = codec.decode(before)
        codec.vae.register_to_config(scaling_factor=3.0)
        after = codec.encode(waveform).mean
        torch.testing.assert_close(after, 3 * before)
        torch.testing.assert_close(codec.decode(after), sound, atol=1e-3, rtol=0.01)


def test_pieces_of_the_vocoder_equal_the_whole() -> None:
    codec = make_codec()
    log_mel = torch.randn(1, 1301, 64, generator=torch.Generator().manual_seed(2)) - 5
    with torch.no_grad():
        whole = codec.vocode(log_mel)
        codec.chunk_frames = 64
        assert codec.vocoder.chunk_margin == 22 + 2 * 256  # phases of tones depend on two blocks before
        pieces = codec.vocode(log_mel)
    assert whole.shape == (1, 1301 * 160)
    torch.testing.assert_close(pieces, whole, atol=1e-4 * float(whole.abs().max()), rtol=0)


@pytest.mark.parametrize("length", [33, 64, 70])
def test_long_latents_decoded_in_pieces_equal_one_pass(length: int) -> None:
    codec = make_codec()
    with torch.no_grad():
        for p in codec.vae.parameters():  # norms and biases start as ones and zeros, which would hide mistakes
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
        latents = torch.randn(2, 8, length, 16, generator=torch.Generator().manual_seed(2))
        latents[:, :, length // 2 :] *= 0.1  # what a group norm sees differs from piece to piece
        whole, sound = codec.decode_mel(latents), codec.decode(latents)
        codec.chunk_frames = 128
        pieces = codec.decode_mel(latents)
        assert pieces.shape == (2, 4 * length, 64)
        torch.testing.assert_close(pieces, whole, atol=1e-4, rtol=0)
        torch.testing.assert_close(codec.decode(latents), sound, atol=1e-4 * float(sound.abs().max()), rtol=0)


def test_long_latents_keep_their_gradients() -> None:
    codec = make_codec()
    latents = torch.randn(1, 8, 40, 16, generator=torch.Generator().manual_seed(2))
    gradients = []
    for chunk_frames, checkpointing in ((2048, False), (64, False), (64, True)):
        codec.chunk_frames, codec.checkpointing = chunk_frames, checkpointing
        leaf = latents.clone().requires_grad_(True)
        codec.decode(leaf).square().mean().backward()
        gradients.append(leaf.grad)
    for other in gradients[1:]:
        torch.testing.assert_close(other, gradients[0], atol=1e-4 * float(gradients[0].abs().max()), rtol=0)


def test_with_attention_long_latents_are_cross_faded() -> None:
    torch.manual_seed(0)
    codec = replace(presets.tiny(), mid_block_add_attention=True).build().eval()
    latents = torch.randn(1, 8, 70, 16, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        whole = codec.decode_mel(latents)
        codec.chunk_frames = 128
        pieces = codec.decode_mel(latents)
    assert pieces.shape == whole.shape == (1, 280, 64)
    assert float((pieces - whole).abs().mean()) < 0.2 * float(whole.std())
    assert float(pieces.diff(dim=1).abs().max()) < 1.5 * float(whole.diff(dim=1).abs().max())  # no seam


def test_decode_is_differentiable_and_refuses_too_short_latents() -> None:
    codec = make_codec()
    latents = torch.randn(1, 8, 5, 16, generator=torch.Generator().manual_seed(2)).requires_grad_(True)
    codec.decode(latents, 3000).square().mean().backward()
    assert latents.grad is not None
    assert float(latents.grad[:, :, 2].abs().sum()) > 0
    with pytest.raises(ValueError, match="3200 samples"):
        codec.decode(latents, 3201)


def test_patches_are_folded_and_unfolded() -> None:
    torch.manual_seed(0)
    codec = presets.MelCodecPreset(block_out_channels=(8,), norm_num_groups=4, patch_size=4,
                                   vocoder=presets.tiny().vocoder).build().eval()
    assert codec.latent_shape(6400) == (8, 10, 16)
    seen = {}
    codec.vae.encoder.register_forward_hook(lambda module, args, output: seen.update(x=args[0]))
    log_mel = torch.arange(40 * 64, dtype=torch.float32).reshape(1, 40, 64)
    with torch.no_grad():
        assert codec.decode_mel(codec.encode_mel(log_mel).mean).shape == log_mel.shape
    expected = (log_mel[0, 4:8, 8:12] + 6) / 3  # latent frame 1, bin 2
    torch.testing.assert_close(seen["x"][0, :, 1, 2].reshape(4, 4), expected)


def test_save_and_load(tmp_path: Path) -> None:
    codec = make_codec()
    codec.save_pretrained(tmp_path)
    loaded = MelCodec.from_pretrained(tmp_path)
    waveform = 0.1 * torch.randn(1, 1, 3200, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(loaded.decode(loaded.encode(waveform).mean),
                                   codec.decode(codec.encode(waveform).mean))
    assert loaded.config.mel_mean == -6.0
    assert not loaded.training


def test_audioldms_folder_loads(tmp_path: Path) -> None:
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    torch.manual_seed(0)
    vae = AutoencoderKL(1, 1, ("DownEncoderBlock2D",) * 3, ("UpDecoderBlock2D",) * 3, (8, 8, 8), latent_channels=8,
                        norm_num_groups=4, scaling_factor=0.92)
    vocoder = SpeechT5HifiGan(SpeechT5HifiGanConfig(
        model_in_dim=64, upsample_initial_channel=32, upsample_rates=[5, 4, 2, 2, 2],
        upsample_kernel_sizes=[16, 16, 8, 4, 4], resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1]],
        normalize_before=False)).eval()
    vae.save_pretrained(tmp_path / "vae")
    vocoder.save_pretrained(tmp_path / "vocoder")
    codec = MelCodec.from_pretrained(tmp_path)
    waveform = 0.1 * torch.randn(2, 20000, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        posterior = codec.encode(waveform[:, None])
        assert codec.decode(posterior.mean, 20000).shape == (2, 1, 20000)
        log_mel = audioldm_log_mel(torch.nn.functional.pad(waveform, (0, 480)))[:, :128]
        torch.testing.assert_close(posterior.mean, 0.92 * vae.encode(log_mel[:, None]).latent_dist.mean)
        torch.testing.assert_close(codec.vocode(log_mel), vocoder(log_mel)[:, : 128 * 160], atol=1e-5, rtol=1e-4)
        whole = codec.vocode(log_mel)
        codec.chunk_frames = 40
        torch.testing.assert_close(codec.vocode(log_mel), whole, atol=1e-5, rtol=1e-4)


def test_a_folder_without_parts_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"vae/config\.json"):
        MelCodec.from_pretrained(tmp_path)
    make_codec().save_pretrained(tmp_path)
    (tmp_path / "vocoder" / "config.json").write_text('{"_class_name": "Other"}')
    with pytest.raises(WeightsError, match="Other"):
        MelCodec.from_pretrained(tmp_path)


def test_sizes_of_the_presets() -> None:
    mini = presets.mini().build()
    assert sum(p.numel() for p in mini.parameters()) * 2 < 12e6
    assert mini.latent_shape(130560) == (8, 204, 16)
    with torch.device("meta"):
        assert sum(p.numel() for p in presets.paper().build_vae().parameters()) > 50e6
