"""Checkpoints of the SiT family: names, signs, containers, and what does not fit."""

from __future__ import annotations

import argparse
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from postsync.errors import WeightsError
from postsync.systems.mgaudio import presets
from postsync.systems.mgaudio.checkpoint import from_official, read_official, to_official, without_projector
from postsync.systems.mgaudio.transformer import FBDT
from tiny_pipeline import draw_weights

PRESET = presets.tiny()


@pytest.fixture(scope="module")
def model():
    model = FBDT(**PRESET.transformer).eval()
    draw_weights(model, 0)
    return model


@torch.no_grad()
def velocity(model):
    g = torch.Generator().manual_seed(1)
    x, features = torch.randn(1, 8, 16, 16, generator=g), torch.randn(1, 2, 12, generator=g)
    return model(x, torch.tensor([0.3]), model.pool_features(features))[0]


def test_there_and_back_with_either_sign(model):
    ours, ignored = from_official(to_official(model), PRESET)
    assert torch.equal(velocity(ours), velocity(model))
    assert {k.split(".")[0] for k in ignored} == {"projectors"}
    paper = to_official(model, sign="paper")
    torch.testing.assert_close(velocity(from_official(paper, PRESET)[0]), -velocity(model))
    torch.testing.assert_close(velocity(from_official(paper, PRESET, sign="paper")[0]), velocity(model))


def test_wrapped_names_and_the_projector_to_train_on(model):
    wrapped = {f"module._orig_mod.{k}": v for k, v in to_official(model).items()}
    whole, ignored = from_official(wrapped, PRESET, projector=True)
    assert ignored == {}
    assert whole.state_dict().keys() == model.state_dict().keys()
    assert [n for n, p in whole.named_parameters() if not p.requires_grad] == ["pos_embed"]
    assert torch.equal(velocity(without_projector(whole)), velocity(model))


def test_files_are_read_averaged_weights_first(model, tmp_path):
    state = to_official(model)
    torch.save({"model": {"a": torch.zeros(1)}, "ema": state, "args": argparse.Namespace(lr=1.0), "steps": 3},
               tmp_path / "repa.pt")
    torch.save(state, tmp_path / "plain.pt")
    save_file(state, tmp_path / "state.safetensors")
    for name in ("repa.pt", "plain.pt", "state.safetensors"):
        assert read_official(tmp_path / name).keys() == state.keys()


class Foreign:
    pass


def test_other_files_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="no checkpoint at"):
        read_official(tmp_path / "absent.pt")
    torch.save({"model": Foreign()}, tmp_path / "code.pt")
    (tmp_path / "cut.safetensors").write_bytes(b"cut short")
    for name in ("code.pt", "cut.safetensors"):
        with pytest.raises(WeightsError, match="plain tensors"):
            read_official(tmp_path / name)
    torch.save({"steps": 3}, tmp_path / "empty.pt")
    with pytest.raises(WeightsError, match="no state dict"):
        read_official(tmp_path / "empty.pt")


def test_another_size_or_model_is_named(model):
    state = to_official(model)
    with torch.device("meta"):
        small = FBDT(**presets.paper("S").transformer).state_dict()
    with pytest.raises(WeightsError, match="width 384 and depth 12 are those of paper size S"):
        from_official(small, presets.paper("B"))
    deeper = replace(PRESET, transformer=PRESET.transformer | {"depth": 3})
    with pytest.raises(WeightsError, match=r"'blocks\.2.*absent.*none of the paper's sizes"):
        from_official(state, deeper)
    with pytest.raises(WeightsError, match=r"y_embedder.*network absent"):
        from_official(state | {"y_embedder.embedding_table.weight": torch.zeros(3, 32)}, PRESET)
    with pytest.raises(WeightsError, match="another model's checkpoint"):
        from_official({"conv.weight": torch.zeros(1)}, PRESET)
