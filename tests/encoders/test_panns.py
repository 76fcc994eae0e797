"""Cnn14 against official numbers, and the Cnn14 that it must not be taken for."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from postsync.encoders.panns import Cnn14, from_official
from postsync.errors import WeightsError
from postsync.features.spectrogram import mel_filters, panns
from recipe_weights import recipe_state


def tiny() -> Cnn14:
    torch.manual_seed(0)
    model = Cnn14((2, 3, 4, 5, 6, 8), classes=7).eval()
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_()
    return model


def official(model: Cnn14) -> dict[str, torch.Tensor]:
    state = {k.replace("blocks.", "conv_block"): v for k, v in model.state_dict().items()}
    return state | {"logmel_extractor.melW": mel_filters(panns()).T.float(),
                    "spectrogram_extractor.stft.conv_real.weight": torch.zeros(257, 1, 512)}


@pytest.mark.golden
def test_official_numbers(golden):
    folder = golden("eval_extractors")
    case = load_file(folder / "panns_cnn14_16k.safetensors")
    shapes = json.loads((folder / "state_dict_shapes.json").read_text())["panns_cnn14_16k"]
    kept = {k: case["mel_matrix"] if k.endswith("melW") else torch.zeros(s) for k, s in shapes.items()
            if k.startswith(("spectrogram_extractor.", "logmel_extractor."))}
    model = from_official(recipe_state(folder, "panns_cnn14_16k", kept))
    found = model.features(case["waveform_16k"][None])
    for name, key in (("embedding", "embedding_2048"), ("logits", "logits")):
        torch.testing.assert_close(found[name], case[key], atol=1e-4 * float(case[key].abs().max()), rtol=0)


@pytest.mark.golden
def test_official_layout(golden):
    shapes = json.loads((golden("eval_extractors") / "state_dict_shapes.json").read_text())["panns_cnn14_16k"]
    model = from_official({k: torch.empty(s, device="meta") for k, s in shapes.items()})
    assert model.config["widths"] == [64, 128, 256, 512, 1024, 2048]
    assert len(model.state_dict()) == len(shapes) - 3


def test_the_published_size_has_80_million_values():
    with torch.device("meta"):
        assert sum(p.numel() for p in Cnn14().parameters()) == 80_753_615


def test_saved_and_loaded_it_says_the_same(tmp_path):
    model = from_official(official(tiny()))
    waveform = torch.rand(2, 8000, generator=torch.Generator().manual_seed(1)) - 0.5
    found = model.features(waveform)
    assert (found["embedding"].shape, found["logits"].shape) == ((2, 8), (2, 7))
    torch.testing.assert_close(found["logits"], model.fc_audioset(found["embedding"]))
    model.save_pretrained(tmp_path)
    again = Cnn14.from_pretrained(tmp_path).eval().features(waveform[1:])
    torch.testing.assert_close(again["embedding"], found["embedding"][1:])


def test_too_short_a_sound_is_refused():
    assert tiny().features(torch.zeros(1, 4960))["logits"].isfinite().all()
    with pytest.raises(ValueError, match="needs 4960"):
        tiny().features(torch.zeros(1, 4959))


def test_the_cnn14_of_another_rate_is_refused():
    state = official(tiny())
    with pytest.raises(WeightsError, match="another front end"):
        from_official(state | {"logmel_extractor.melW": torch.zeros(513, 64)})
    with pytest.raises(WeightsError, match="another front end"):
        from_official(state | {"logmel_extractor.melW": state["logmel_extractor.melW"].flip(1)})
    with pytest.raises(WeightsError, match=r"first 'fc1\.bias'"):
        from_official({k: v for k, v in state.items() if k != "fc1.bias"})
