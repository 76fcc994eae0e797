"""VGGish against official numbers, and what does not belong to it."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from postsync.encoders.vggish import Vggish, from_official
from postsync.errors import WeightsError
from recipe_weights import recipe_state


def tiny() -> Vggish:
    torch.manual_seed(0)
    return Vggish((2, 3, 4, 5), hidden=8, outputs=6).eval()


def official(model: Vggish) -> dict[str, torch.Tensor]:
    return {k.replace("convolutions.", "features."): v for k, v in model.state_dict().items()}


@pytest.mark.golden
def test_official_numbers(golden):
    folder = golden("eval_extractors")
    case = load_file(folder / "vggish.safetensors")
    model = from_official(recipe_state(folder, "vggish", {}))
    found = model.features(case["waveform_16k"][None])
    for name, key in (("embedding", "embedding_pre_relu"), ("activation", "embedding_relu")):
        expected = case[key]
        torch.testing.assert_close(found[name][0], expected, atol=1e-4 * float(expected.abs().max()), rtol=0)


@pytest.mark.golden
def test_official_layout(golden):
    shapes = json.loads((golden("eval_extractors") / "state_dict_shapes.json").read_text())["vggish"]
    model = from_official({k: torch.empty(s, device="meta") for k, s in shapes.items()})
    assert model.config["widths"] == [64, 128, 256, 512]
    assert len(model.state_dict()) == len(shapes)


def test_the_published_size_has_72_million_values():
    with torch.device("meta"):
        assert sum(p.numel() for p in Vggish().parameters()) == 72_141_184


def test_saved_and_loaded_it_says_the_same(tmp_path):
    model = from_official({f"module.{k}": v for k, v in official(tiny()).items()} | {"pproc.pca_means": torch.ones(3)})
    waveform = torch.rand(2, 32000, generator=torch.Generator().manual_seed(1)) - 0.5
    found = model.features(waveform)
    assert found["embedding"].shape == (2, 2, 6)
    assert torch.equal(found["activation"], found["embedding"].clamp_min(0))
    model.save_pretrained(tmp_path)
    again = Vggish.from_pretrained(tmp_path).features(waveform[1:, :15600])
    torch.testing.assert_close(again["embedding"], found["embedding"][1:, :1])


def test_a_short_sound_has_no_row():
    assert tiny().features(torch.zeros(1, 9600))["embedding"].shape == (1, 0, 6)


@pytest.mark.parametrize("change", [{"features.0.weight": None}, {"surprise": torch.zeros(1)},
                                    {"embeddings.2.bias": torch.zeros(9)}])
def test_another_layout_is_refused(change):
    state = {k: v for k, v in (official(tiny()) | change).items() if v is not None}
    with pytest.raises(WeightsError, match="not a checkpoint of VGGish"):
        from_official(state)
