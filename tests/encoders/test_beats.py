"""BEATs against the official module: filterbank, features, stages, gradient, layout."""

import json

import pytest
import torch
from safetensors.torch import load_file

from postsync.encoders.beats import (
    Beats,
    BeatsConfig,
    from_official,
    relative_position_buckets,
    scale_gradient,
    to_official,
)
from postsync.errors import WeightsError
from postsync.features.spectrogram import beats_normalise, kaldi_fbank


@pytest.fixture(scope="module")
def case(golden):
    folder = golden("beats_tiny")
    tensors = load_file(folder / "case.safetensors")
    parts = [{k.removeprefix(p): v for k, v in tensors.items() if k.startswith(p)} for p in ("state_dict.", "io.")]
    return parts[0], parts[1], json.loads((folder / "config.json").read_text())


@pytest.fixture(scope="module")
def official(case):
    state, io, cfg = case
    model = Beats(BeatsConfig.from_official(cfg)).eval()
    model.load_state_dict(from_official(state))
    return model, io


def tiny_beats(**changes):
    torch.manual_seed(0)
    sizes = {"embed_dim": 8, "encoder_layers": 2, "encoder_embed_dim": 16, "encoder_ffn_embed_dim": 32,
             "encoder_attention_heads": 2, "conv_pos": 8, "conv_pos_groups": 2, "num_buckets": 16, "max_distance": 32}
    return Beats(BeatsConfig(**{**sizes, **changes}))


@pytest.mark.golden
@torch.no_grad()
def test_features_match_from_filterbank_and_from_sound(official):
    model, io = official
    torch.testing.assert_close(model(io["fbank128_norm"]), io["features_from_fbank128"], atol=2e-5, rtol=0)
    fbank = io["fbank64_norm_padded"]
    torch.testing.assert_close(model(fbank), io["features_from_fbank64_padded"], atol=2e-5, rtol=0)
    computed = beats_normalise(kaldi_fbank(io["waveform_16k"], num_mel_bins=128))
    torch.testing.assert_close(model(computed), io["features_from_fbank128"], atol=2e-3, rtol=0)


@pytest.mark.golden
@torch.no_grad()
def test_every_stage_matches(official):
    model, io = official
    seen = {}

    def output(name):
        return lambda _m, _i, out: seen.update({name: out})

    hooks = [model.layer_norm.register_forward_hook(output("patch_layer_norm")),
             model.post_extract_proj.register_forward_hook(output("post_extract_proj")),
             model.encoder.layer_norm.register_forward_hook(output("after_encoder_layer_norm")),
             *(layer.register_forward_hook(output(f"layer_output_{i + 1}"))
               for i, layer in enumerate(model.encoder.layers))]
    model(io["fbank64_norm_padded"])
    for hook in hooks:
        hook.remove()
    for name, value in seen.items():
        torch.testing.assert_close(value, io[f"stage.{name}"], atol=2e-5, rtol=0)
    assert len(seen) == 3 + len(model.encoder.layers)


@pytest.mark.golden
def test_position_bias_and_buckets_match(official):
    model, io = official
    config = model.config
    bias_key, bucket_key = (next(k for k in io if k.startswith(f"stage.relative_position_{name}"))
                            for name in ("bias", "bucket"))
    length = io[bucket_key].shape[0]
    buckets = relative_position_buckets(length, config.num_buckets, config.max_distance)
    assert torch.equal(buckets, io[bucket_key])
    torch.testing.assert_close(model.encoder.position_bias(length).detach(), io[bias_key], atol=1e-6, rtol=0)


@pytest.mark.golden
def test_gradient_carries_the_layer_decay(official):
    model, io = official
    fbank = io["fbank64_norm_padded"].clone().requires_grad_()
    model(fbank).mean(1).square().sum().backward()
    expected = io["grad_fbank64_padded_of_sum_sq_of_time_mean"]
    torch.testing.assert_close(fbank.grad, expected, rtol=1e-3, atol=1e-5 * expected.abs().max().item())


@pytest.mark.golden
def test_keys_go_there_and_back(case):
    state, _, _ = case
    back = to_official(from_official(state))
    assert back.keys() == state.keys()
    assert all(torch.equal(back[k], state[k]) for k in state)


@pytest.mark.golden
def test_the_published_sizes_have_the_official_layout(golden):
    layout = json.loads((golden("beats_tiny") / "full_layout.json").read_text())
    with torch.device("meta"):
        model = Beats(BeatsConfig.from_official(layout["config"], predictor=True))
    assert {k: list(v.shape) for k, v in to_official(model.state_dict()).items()} == layout["state_dict"]


def test_new_weight_norm_names_are_read():
    state = to_official(tiny_beats().state_dict())
    new = {k.replace("weight_g", "parametrizations.weight.original0")
            .replace("weight_v", "parametrizations.weight.original1"): v for k, v in state.items()}
    assert new.keys() != state.keys()
    assert to_official(from_official(new)).keys() == state.keys()


def test_layers_that_do_not_share_their_table_are_refused():
    state = to_official(tiny_beats().state_dict())
    key = "encoder.layers.1.self_attn.relative_attention_bias.weight"
    with pytest.raises(WeightsError, match="shares one table"):
        from_official({**state, key: state[key] + 1})


def test_unsupported_variants_are_refused():
    with pytest.raises(WeightsError, match="layer_norm_first=True"):
        BeatsConfig.from_official({"layer_norm_first": True})


@torch.no_grad()
def test_token_order_is_time_major():
    """A change in the top mel patch of the second time patch moves one token: 1 * (mels / 16) + 3."""
    model = tiny_beats().eval()
    seen = []
    model.layer_norm.register_forward_pre_hook(lambda _m, args: seen.append(args[0]))
    fbank = torch.zeros(1, 48, 64)
    model(fbank)
    fbank[:, 16:32, 48:] = 1.0
    model(fbank)
    assert (seen[0] - seen[1]).abs().sum(-1).nonzero()[:, 1].tolist() == [1 * 4 + 3]


def test_gradient_scaling_leaves_values_alone():
    x = torch.arange(3.0, requires_grad=True)
    y = scale_gradient(x, 0.25)
    assert torch.equal(y, x)
    y.sum().backward()
    assert x.grad.tolist() == [0.25] * 3
    assert scale_gradient(x, 1.0) is x


def test_predictor_is_optional():
    tokens = torch.rand(2, 5, 16)
    assert tiny_beats(predictor_class=7).classify(tokens).shape == (2, 7)
    with pytest.raises(WeightsError, match="no predictor"):
        tiny_beats().classify(tokens)


@torch.no_grad()
def test_recorded_value():
    fbank = torch.linspace(-1, 1, 64 * 64).view(1, 64, 64)
    assert tiny_beats().eval()(fbank).mean(1)[0, :2].tolist() == pytest.approx(RECORDED, abs=1e-4)


RECORDED = [0.465073, -0.219668]
