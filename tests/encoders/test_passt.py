"""PaSST against official numbers, and the lengths it hears."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from postsync.encoders.passt import Passt, from_official
from postsync.errors import WeightsError


def tiny() -> Passt:
    torch.manual_seed(0)
    return Passt(width=16, depth=2, heads=2, classes=5).eval()


def official(model: Passt) -> dict[str, torch.Tensor]:
    state = {k.replace("patch_embed.", "patch_embed.proj."): v for k, v in model.state_dict().items()}
    return state | {"head_dist.weight": torch.zeros(5, 16), "head_dist.bias": torch.zeros(5)}


@pytest.fixture(scope="module")
def case(golden):
    folder = golden("passt_tiny")
    tensors, sizes = load_file(folder / "case.safetensors"), json.loads((folder / "config.json").read_text())
    state = {k.removeprefix("state_dict."): v for k, v in tensors.items() if k.startswith("state_dict.")}
    io = {k.removeprefix("io."): v for k, v in tensors.items() if k.startswith("io.")}
    return from_official(state, heads=sizes["num_heads"], stride=sizes["stride"]), io


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-5 * float(expected.abs().max()), rtol=0)


@pytest.mark.golden
@torch.no_grad()
def test_official_numbers(case):
    model, io = case
    for mel, prefix in (("mel", ""), ("mel_short", "short.")):
        embedding, logits = model(io[mel])
        close(embedding, io[f"{prefix}embedding"])
        close(logits, io[f"{prefix}logits"])
    embedding, logits = model(io["mel"])
    close(torch.cat([logits, embedding], dim=1), io["all_1295_style"])


@pytest.mark.golden
@torch.no_grad()
def test_official_stages(case):
    model, io = case
    close(model.patch_embed(io["mel"])[..., :6], io["stage.patch_embed_BDFT_first6"])
    x = model.tokens(io["mel"])
    stages = {"tokens": x}
    for block in model.blocks:
        x = block(x)
        stages.setdefault("block0", x)
    for name, value in (stages | {"block_last": x}).items():
        close(torch.cat([value[:, :8], value[:, -4:]], dim=1), io[f"stage.{name}_first8_last4"])


@pytest.mark.golden
def test_official_layout(golden):
    layout = json.loads((golden("passt_tiny") / "full_layout.json").read_text())
    model = from_official({k: torch.empty(s, device="meta") for k, s in layout.items()})
    assert dict(model.config) | {"width": 768, "depth": 12, "heads": 12, "classes": 527, "columns": 99} \
        == dict(model.config)
    assert len(model.state_dict()) == len(layout) - 2


def test_the_published_size_has_86_million_values():
    with torch.device("meta"):
        assert 85.5e6 < sum(p.numel() for p in Passt().parameters()) < 86.5e6


def test_columns_follow_the_frames():
    model = tiny()
    tokens = {frames: model.tokens(torch.zeros(1, 1, 128, frames)).shape[1] for frames in (998, 1000, 400)}
    assert tokens == {998: 2 + 12 * 99, 1000: 2 + 12 * 99, 400: 2 + 12 * 39}
    with pytest.raises(ValueError, match="100 columns"):
        model.tokens(torch.zeros(1, 1, 128, 1006))


def test_every_length_is_heard_as_10_seconds(tmp_path):
    model = from_official(official(tiny()), heads=2)
    waveform = torch.rand(1, 330000, generator=torch.Generator().manual_seed(1)) - 0.5
    found = model.features(waveform[:, :320000])
    assert (found["embedding"].shape, found["logits"].shape) == ((1, 16), (1, 5))
    assert torch.equal(model.features(waveform)["logits"], found["logits"])
    model.save_pretrained(tmp_path)
    short = torch.nn.functional.pad(waveform[:, :9000], (0, 5000))
    again = Passt.from_pretrained(tmp_path).eval().features(short)
    torch.testing.assert_close(again["logits"], model.features(waveform[:, :9000])["logits"])
    assert not torch.allclose(again["logits"], found["logits"])


def test_another_layout_is_refused():
    with pytest.raises(WeightsError, match=r"PaSST-S.*first 'blocks.1.norm1.bias'"):
        from_official({k: v for k, v in official(tiny()).items() if k != "blocks.1.norm1.bias"}, heads=2)
    with pytest.raises(WeightsError, match="PaSST-S"):
        from_official({"surprise": torch.zeros(1)})
