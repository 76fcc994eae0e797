"""The transformer against numbers of SiT, REPA and MDSGen, its published layout, and what must hold at any size."""

from __future__ import annotations

import json

import pytest
import torch
import torch._dynamo  # slow: not within a test
from safetensors.torch import load_file
from torch import nn

from postsync.errors import ConditionError
from postsync.systems.mgaudio import presets
from postsync.systems.mgaudio.transformer import FBDT, TimestepEmbedder, sincos_table

CLOSE = {"atol": 1e-5, "rtol": 1e-4}
TINY = {"channels": 4, "latent_frames": 6, "latent_bins": 4, "hidden_size": 16, "depth": 2, "num_heads": 2,
        "feature_dim": 5, "num_features": 3, "encoder_depth": 1, "align_dim": 7, "projector_dim": 9}


def randomised(model: nn.Module, seed: int = 0) -> nn.Module:
    """The model with every trained parameter drawn anew, so that no zero start hides a part."""
    generator = torch.Generator().manual_seed(seed)
    for p in model.parameters():
        if p.requires_grad:
            p.data = torch.randn(p.shape, generator=generator) * (0.3 if p.dim() < 2 else p[0].numel() ** -0.5)
    return model.eval()


def class_conditional(folder):
    """SiT with class labels, composed of our blocks: model, label table and the recorded numbers."""
    config = json.loads((folder / "config.json").read_text())
    state, data = load_file(folder / "weights.safetensors"), load_file(folder / "io.safetensors")
    z_dims = config.get("z_dims", [None])
    model = FBDT(config["in_channels"], config["input_size"], config["input_size"], [config["patch_size"]] * 2,
                 config["hidden_size"], config["depth"], config["num_heads"], feature_dim=1, num_features=1,
                 encoder_depth=config.get("encoder_depth", 1), align_dim=z_dims[0],
                 projector_dim=config.get("projector_dim", 1)).eval()
    labels = state.pop("y_embedder.embedding_table.weight")
    if config.get("learn_sigma", False):  # the model drops the second half of each patch's channels, and so do we here
        for name in ("final_layer.linear.weight", "final_layer.linear.bias"):
            rows = state[name].unflatten(0, (config["patch_size"] ** 2, 2 * config["in_channels"]))
            state[name] = rows[:, :config["in_channels"]].flatten(0, 1)
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    assert {name.split(".")[0] for name in missing} == {"mlp_feat", "conv1d_feat"}
    return model, labels, data


@pytest.mark.golden
@torch.no_grad()
def test_official_sit(golden):
    model, labels, data = class_conditional(golden("sit_tiny"))
    tokens = model.x_embedder(data["in.x"]) + model.pos_embed
    torch.testing.assert_close(tokens, data["mid.tokens"], **CLOSE)
    torch.testing.assert_close(TimestepEmbedder.features(data["in.t"]), data["mid.t_freq"], **CLOSE)
    torch.testing.assert_close(model.t_embedder(data["in.t"]), data["mid.t_emb"], **CLOSE)
    c = model.t_embedder(data["in.t"]) + labels[data["in.y"]]
    torch.testing.assert_close(c, data["mid.c"], **CLOSE)
    torch.testing.assert_close(model.blocks[0].attn(tokens), data["mid.attn0_of_tokens"], **CLOSE)
    torch.testing.assert_close(model.blocks[0](tokens, c), data["mid.block0"], **CLOSE)
    torch.testing.assert_close(model(data["in.x"], data["in.t"], labels[data["in.y"]])[0], data["out"], **CLOSE)


@pytest.mark.golden
@torch.no_grad()
def test_official_repa(golden):
    model, labels, data = class_conditional(golden("repa_sit_tiny"))
    v, projected = model(data["in.x"], data["in.t"], labels[data["in.y"]], project=True)
    torch.testing.assert_close(v, data["out.v"], **CLOSE)
    torch.testing.assert_close(projected, data["out.z_tilde"], **CLOSE)


@pytest.mark.golden
def test_official_positions(golden):
    folder = golden("pos_embed_102x8")
    config = json.loads((folder / "config.json").read_text())
    table = sincos_table(config["dim"], config["rows"], config["cols"])
    torch.testing.assert_close(table, load_file(folder / "io.safetensors")["out.pos_embed"], atol=1e-5, rtol=0)


@pytest.mark.golden
def test_published_layout(golden):
    expected = json.loads((golden("mgaudio_tiny") / "keys_full_B.json").read_text())
    with torch.device("meta"):
        model = FBDT(**presets.paper("B").transformer)
        assert {k: list(v.shape) for k, v in model.state_dict().items()} == expected["keys_B"]
        for size, entry in expected["sizes"].items():
            model = FBDT(**presets.paper(size).transformer)
            projector = sum(p.numel() for p in model.projectors.parameters())
            assert sum(p.numel() for p in model.parameters()) - projector == entry["params_without_projector"]
            assert (projector, model.pos_embed.numel()) == (entry["projector"], entry["pos_embed"])


def test_parameter_counts_of_the_paper():
    with torch.device("meta"):
        counts = {size: sum(p.numel() for p in FBDT(**presets.paper(size).transformer | {"align_dim": None})
                            .parameters()) for size in presets.SIZES}
    assert counts == {"S": 32_998_721, "B": 130_583_105, "L": 458_197_057, "XL": 675_235_649}


def inputs():
    g = torch.Generator().manual_seed(1)
    return (torch.randn(3, 4, 6, 4, generator=g), torch.rand(3, generator=g), torch.randn(3, 3, 5, generator=g))


@torch.no_grad()
def test_recorded_values():
    model = randomised(FBDT(**TINY))
    x, t, features = inputs()
    v, projected = model(x, t, model.pool_features(features), project=True)
    assert v.shape == x.shape
    assert projected.shape == (3, 6, 7)
    assert [float(v.std()), float(projected.std())] == pytest.approx([0.9942498, 0.4480122], rel=1e-4)


def test_a_fresh_model_says_nothing_and_its_positions_are_fixed():
    model = FBDT(**TINY)
    x, t, features = inputs()
    v, projected = model(x, t, model.pool_features(features))
    assert torch.equal(v, torch.zeros_like(x))
    assert projected is None
    assert not model.pos_embed.requires_grad
    assert FBDT(**TINY, train_positions=True).pos_embed.requires_grad
    assert "projectors.0.0.weight" not in FBDT(**TINY | {"align_dim": None}).state_dict()


def test_no_picture_is_a_vector_of_zeros_or_what_features_of_zeros_are_reduced_to():
    model, other = FBDT(**TINY), FBDT(**TINY, null_features=True)
    width = TINY["hidden_size"]
    assert torch.equal(model.null_condition(3), torch.zeros(3, width))
    assert torch.equal(other.null_condition(3), other.pool_features(torch.zeros(3, *other.feature_shape)))


@torch.no_grad()
def test_tokens_are_time_first_and_patches_go_back_where_they_came_from():
    model = FBDT(**TINY | {"patch_size": (2, 4), "hidden_size": 32})
    torch.nn.init.dirac_(model.x_embedder.proj.weight)
    model.x_embedder.proj.weight.copy_(torch.eye(32).reshape(32, 2, 4, 4).permute(0, 3, 1, 2))
    x, _, _ = inputs()
    assert model.grid == (3, 1)
    assert torch.equal(model._unpatchify(model.x_embedder(x)), x)


@torch.no_grad()
def test_half_precision_is_close():
    model = randomised(FBDT(**TINY))
    x, t, features = inputs()
    exact, _ = model(x, t, model.pool_features(features))
    half = model.to(torch.bfloat16)
    out, _ = half(x.bfloat16(), t, half.pool_features(features))
    assert out.dtype == torch.bfloat16
    assert (out.float() - exact).norm() < 0.05 * exact.norm()


@torch.no_grad()
def test_compiles_in_one_graph():
    model = randomised(FBDT(**TINY | {"depth": 1}))
    x, t, features = inputs()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    expected, projected = model(x, t, model.pool_features(features), project=True)
    found = compiled(x, t, model.pool_features(features), project=True)
    assert torch.equal(found[0], expected)
    assert torch.equal(found[1], projected)


def test_other_features_and_sizes_are_refused():
    model = FBDT(**TINY)
    with pytest.raises(ConditionError, match=r"\(4, 5\).*\(3, 5\)"):
        model.pool_features(torch.zeros(1, 4, 5))
    with pytest.raises(ValueError, match="whole patches"):
        FBDT(**TINY | {"latent_frames": 7})
    with pytest.raises(ValueError, match=r"one of 1\.\.2"):
        FBDT(**TINY | {"encoder_depth": 3})
