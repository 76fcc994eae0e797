"""EnCodec: official numbers, the token codec's contract, AudioCraft's layout, refusals."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import EncodecModel

from postsync.codecs.encodec import EncodecCodec, audiogen_config, from_audiocraft, pad_mode_of
from postsync.errors import ConditionError, WeightsError
from postsync.protocols.codec import TokenCodec

TINY = {"num_filters": 2, "hidden_size": 8, "codebook_dim": 8, "codebook_size": 16, "target_bandwidths": [0.8]}


@pytest.fixture(scope="module")
def tiny() -> EncodecCodec:
    torch.manual_seed(0)
    model = EncodecModel(audiogen_config(**TINY)).eval()
    for layer in model.quantizer.layers:
        layer.codebook.embed.normal_(std=0.02)
    return EncodecCodec(model)


def noise(samples: int, size: int = 2) -> torch.Tensor:
    return 0.3 * torch.randn(size, 1, samples, generator=torch.Generator().manual_seed(0))


@pytest.mark.golden
def test_codes_and_sound_are_audiocrafts(golden) -> None:
    folder = golden("vatt_encodec16k")
    config, io = json.loads((folder / "config.json").read_text()), load_file(folder / "io.safetensors")
    bits = config["bins"].bit_length() - 1
    ours = audiogen_config(config["pad_mode"], num_filters=config["n_filters"], hidden_size=config["dimension"],
                           codebook_dim=config["dimension"], codebook_size=config["bins"],
                           target_bandwidths=[config["n_q"] * 50 * bits / 1000])
    codec, skipped = from_audiocraft(load_file(folder / "state_dict.safetensors"), ours)
    assert set(skipped.values()) <= {"needed in training only"}
    tokens = codec.encode(io["in.wav"])
    assert torch.equal(tokens, io["out.codes"])
    torch.testing.assert_close(codec.decode(tokens, io["in.wav"].shape[-1]), io["out.wav"], atol=2e-5, rtol=0)


def test_it_is_a_token_codec(tiny) -> None:
    assert isinstance(tiny, TokenCodec)
    assert (tiny.sampling_rate, tiny.channels, tiny.num_codebooks, tiny.codebook_size) == (16000, 1, 4, 16)
    assert (tiny.frame_rate, tiny.codebooks.shape) == (50.0, (4, 16, 8))
    tokens = tiny.encode(noise(3300))
    assert tokens.shape == (2, 4, 11)
    assert tokens.dtype == torch.int64
    assert len(tokens.unique()) > 3
    sound = tiny.decode(tokens, 3300)
    assert sound.shape == (2, 1, 3300)
    torch.testing.assert_close(tiny.decode(tokens[1:], 3300), sound[1:], atol=1e-5, rtol=0)


def test_the_first_codebooks_alone(tiny) -> None:
    two = EncodecCodec(tiny.model, num_codebooks=2)
    assert torch.equal(two.encode(noise(3200)), tiny.encode(noise(3200))[:, :2])
    assert two.decode(two.encode(noise(3200))).shape == (2, 1, 3200)
    with pytest.raises(ConditionError, match="4 codebooks, not 5"):
        EncodecCodec(tiny.model, num_codebooks=5)


def test_it_is_saved_and_found_again(tiny, tmp_path) -> None:
    tiny.save_pretrained(tmp_path)
    again = EncodecCodec.from_pretrained(tmp_path)
    assert torch.equal(again.encode(noise(3200)), tiny.encode(noise(3200)))
    with pytest.raises(WeightsError, match="holds no EnCodec"):
        EncodecCodec.from_pretrained(tmp_path / "nothing")


def test_audiocrafts_layout_is_used_to_the_last_key(tiny) -> None:
    official = {}
    for key, value in tiny.model.state_dict().items():
        name = key.replace(".layers.", ".model.", 1) if not key.startswith("quantizer") else key
        name = name.replace("quantizer.layers.", "quantizer.vq.layers.").replace(".codebook.", "._codebook.")
        if ".conv." in name:
            name = name.replace(".conv.", ".conv.conv.")
        name = name.replace("parametrizations.weight.original0", "weight_g")
        official[name.replace("parametrizations.weight.original1", "weight_v")] = value
    codec, _ = from_audiocraft(official, audiogen_config(**TINY))
    assert torch.equal(codec.encode(noise(3200)), tiny.encode(noise(3200)))
    with pytest.raises(WeightsError, match="differ, first"):
        from_audiocraft(official | {"extra": torch.zeros(1)}, audiogen_config(**TINY))
    with pytest.raises(WeightsError, match="differ, first"):
        from_audiocraft(official, audiogen_config(**TINY | {"num_filters": 4}))


def test_padding_is_named_by_the_configuration() -> None:
    assert pad_mode_of("seanet:\n  dimension: 128\n  pad_mode: reflect\n  norm: weight_norm\n") == "reflect"
    assert pad_mode_of("other:\n  pad_mode: reflect\nseanet:\n  dimension: 8\n") == "constant"
    with pytest.raises(WeightsError, match="'circular'"):
        pad_mode_of("seanet:\n  pad_mode: 'circular'\n")


@pytest.mark.parametrize(("tokens", "message"), [
    (torch.zeros(1, 3, 5, dtype=torch.long), "has 4 codebooks"), (torch.full((1, 4, 5), 16), "0 to 15"),
    (torch.full((1, 4, 5), -1), "tokens from -1")])
def test_tokens_of_another_codec_are_refused(tiny, tokens, message) -> None:
    with pytest.raises(ConditionError, match=message):
        tiny.decode(tokens)
    with pytest.raises(ConditionError, match="do not hold 9999 samples"):
        tiny.decode(torch.zeros(1, 4, 5, dtype=torch.long), 9999)
    with pytest.raises(ConditionError, match="channel"):
        tiny.encode(torch.zeros(1, 2, 3200))
