"""Stable Audio's codec: the official network's numbers, lengths, pieces, gradients, folders."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderOobleck
from safetensors.torch import load_file

from postsync.codecs import load_codec, presets
from postsync.codecs.mel_vae import MelCodec
from postsync.codecs.oobleck import OobleckCodec, from_official, official_to_diffusers, stable_audio_open, tiny
from postsync.errors import ConditionError, WeightsError
from postsync.protocols.codec import Codec

CLOSE = {"atol": 1e-5, "rtol": 1e-4}


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def codec() -> OobleckCodec:
    torch.manual_seed(0)
    codec = tiny().eval()
    for p in codec.parameters():  # activations start at zero, which would hide mistakes
        p.data += 0.1 * noise(p.numel(), *p.shape)
    return codec


@pytest.mark.golden
def test_official_numbers(golden) -> None:
    folder = golden("oobleck_vae")
    config, data = json.loads((folder / "config.json").read_text()), load_file(folder / "data.safetensors")
    state = {k.removeprefix("sd."): v for k, v in data.items() if k.startswith("sd.")}
    assert len(official_to_diffusers(state)) == len(state)
    codec = from_official(state)
    assert (codec.channels, codec.strides) == (config["audio_channels"], tuple(config["strides"]))
    frames = math.ceil(config["length"] / math.prod(config["strides"]))
    assert codec.latent_shape(config["length"]) == (config["latent_dim"], frames)
    with torch.no_grad():
        torch.testing.assert_close(codec.vae.encoder(data["in.wave"]), data["out.encoder_raw"], **CLOSE)
        torch.testing.assert_close(codec.decode(data["out.mean"]), data["out.decoded_mean"], **CLOSE)
        posterior = codec.encode(data["in.wave"])  # padded to whole frames: the official one drops what is over
    inner = frames - codec.context_frames
    assert inner > 0
    torch.testing.assert_close(posterior.mean[..., :inner], data["out.mean"][..., :inner], **CLOSE)
    torch.testing.assert_close(posterior.std[..., :inner], data["out.std"][..., :inner], **CLOSE)


@pytest.mark.golden
def test_every_key_of_the_published_checkpoint_is_used(golden) -> None:
    shapes = json.loads((golden("foleygram_key_shapes") / "stable_audio_open_vae.json").read_text())
    state = {key.removeprefix("pretransform.model."): torch.empty(shape, device="meta")
             for key, shape in shapes.items()}
    ours = {key: tuple(value.shape) for key, value in official_to_diffusers(state).items()}
    with torch.device("meta"):
        assert ours == {key: tuple(value.shape) for key, value in stable_audio_open().vae.state_dict().items()}
        assert from_official(state).vae.config["downsampling_ratios"] == [2, 4, 4, 8, 8]


@pytest.mark.golden
def test_checkpoints_of_other_networks_are_refused(golden) -> None:
    data = load_file(golden("oobleck_vae") / "data.safetensors")
    state = {k.removeprefix("sd."): v for k, v in data.items() if k.startswith("sd.")}
    with pytest.raises(WeightsError, match=r"extra\.weight"):
        from_official(state | {"extra.weight": torch.zeros(1)})
    with pytest.raises(WeightsError, match="1 tensors do not fit"):
        from_official({k: v for k, v in state.items() if k != "encoder.layers.4.alpha"})
    with pytest.raises(WeightsError, match="no encoder"):
        from_official({"weight": torch.zeros(1)})


@pytest.mark.parametrize("num_samples", [1, 64, 65, 3000])
def test_lengths(codec: OobleckCodec, num_samples: int) -> None:
    waveform = 0.1 * noise(1, 2, 2, num_samples)
    with torch.no_grad():
        posterior = codec.encode(waveform)
        assert posterior.mean.shape == posterior.std.shape == (2, *codec.latent_shape(num_samples))
        assert codec.decode(posterior.mean, num_samples).shape == waveform.shape
    assert codec.latent_shape(num_samples) == (4, -(-num_samples // 64))
    assert (codec.sampling_rate, codec.channels, codec.latent_rate) == (16000, 2, 250.0)
    assert isinstance(codec, Codec)
    with pytest.raises(ValueError, match="hold 64 samples"):
        codec.decode(posterior.mean[..., :1], 65)


def test_samples_follow_the_generator(codec: OobleckCodec) -> None:
    with torch.no_grad():
        posterior = codec.encode(0.1 * noise(1, 1, 2, 64000))
    first, again = (posterior.sample(torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)
    assert abs(float(((first - posterior.mean) / posterior.std).std()) - 1) < 0.05


def test_pieces_equal_one_pass_both_ways(codec: OobleckCodec) -> None:
    waveform, latents = 0.1 * noise(1, 1, 2, 64 * 99 + 5), noise(2, 1, 4, 100)
    with torch.no_grad():
        codec.chunk_frames = 1000
        encoded, sound = codec.encode(waveform).mean, codec.decode(latents)
        codec.chunk_frames = 17
        torch.testing.assert_close(codec.encode(waveform).mean, encoded, **CLOSE)
        torch.testing.assert_close(codec.decode(latents), sound, **CLOSE)
        context = codec.context_frames
        part = codec.decode(latents[..., 40 - context:60 + context])[..., 64 * context:64 * (context + 20)]
    torch.testing.assert_close(part, sound[..., 64 * 40:64 * 60], **CLOSE)


def test_the_context_is_what_the_decoder_sees(codec: OobleckCodec) -> None:
    latents = torch.zeros(1, 4, 41)
    latents[..., 20] = 1.0
    with torch.no_grad():
        codec.chunk_frames = 1000
        moved = (codec.decode(latents) - codec.decode(torch.zeros(1, 4, 41))).abs().amax((0, 1)) > 1e-7
    assert 7 <= 20 - int(moved.nonzero().min()) // 64 <= codec.context_frames == 11


def test_published_sizes() -> None:
    with torch.device("meta"):
        codec = stable_audio_open()
    assert sum(p.numel() for p in codec.parameters()) == pytest.approx(156.1e6, rel=0.01)
    assert (codec.channels, codec.sampling_rate, codec.hop_length) == (2, 44100, 2048)
    assert codec.latent_shape(10 * 44100) == (64, 216)
    assert codec.context_frames == 10


def test_gradients_are_the_same_in_pieces_and_with_checkpointing(codec: OobleckCodec) -> None:
    gradients = []
    for codec.chunk_frames, codec.checkpointing in ((1000, False), (16, False), (16, True)):
        latents = noise(2, 1, 4, 50).requires_grad_()
        codec.decode(latents, 3100).square().mean().backward()
        gradients.append(latents.grad)
    codec.checkpointing = False
    assert float(gradients[0].abs().amin(1).max()) > 0
    for other in gradients[1:]:
        torch.testing.assert_close(other, gradients[0])


def test_folders_are_diffusers_own(codec: OobleckCodec, tmp_path: Path) -> None:
    codec.save_pretrained(tmp_path / "codec")
    theirs = AutoencoderOobleck.from_pretrained(tmp_path / "codec").eval()
    ours = load_codec(tmp_path / "codec", torch.bfloat16)
    assert isinstance(ours, OobleckCodec)
    assert next(ours.parameters()).dtype == torch.bfloat16
    latents = noise(2, 1, 4, 10)
    with torch.no_grad():
        torch.testing.assert_close(theirs.decode(latents).sample, codec.decode(latents), **CLOSE)
        assert ours.decode(latents).dtype == torch.float32
    with pytest.raises(WeightsError, match="no readable AutoencoderOobleck"):
        OobleckCodec.from_pretrained(tmp_path)
    presets.tiny().build().save_pretrained(tmp_path / "mel")
    assert isinstance(load_codec(tmp_path / "mel", torch.float32), MelCodec)
    with pytest.raises(WeightsError, match="mel codec"):
        load_codec(tmp_path, torch.float32)


def test_other_channels_and_odd_strides_are_refused(codec: OobleckCodec) -> None:
    with pytest.raises(ConditionError, match=r"\(B, 2, N\)"):
        codec.encode(torch.zeros(1, 1, 64))
    with pytest.raises(ConditionError, match="even"):
        OobleckCodec(AutoencoderOobleck(8, [3, 2], [1, 2], 8, 4))


def test_regression_of_a_decoded_sound() -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        sound = tiny().eval().decode(noise(2, 1, 4, 10))
    assert [float(sound.mean()), float(sound.std())] == pytest.approx([0.300864, 0.172671], rel=1e-3)
