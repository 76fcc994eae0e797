"""Video2RMS against official numbers."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from postsync.errors import ConditionError, WeightsError
from postsync.timing.video2rms import Video2RMS, from_official


@pytest.mark.golden
@pytest.mark.parametrize("name", ["data", "with_onset_head"])
def test_official_numbers(golden, name):
    folder = golden("video2rms_net")
    case, sizes = load_file(folder / f"{name}.safetensors"), json.loads((folder / "config.json").read_text())
    model = from_official({key.removeprefix("sd."): value for key, value in case.items() if key.startswith("sd.")})
    assert model.config["num_lstm"] == sizes["encoder_n_lstm"]
    with torch.no_grad():
        logits, onsets = model(case["in.features"])
    torch.testing.assert_close(logits, case["out.rms_logits"], atol=1e-5, rtol=1e-5)
    if name == "data":
        assert onsets is None
    else:
        torch.testing.assert_close(onsets, case["out.onset_logits"], atol=1e-5, rtol=1e-5)


@pytest.mark.golden
def test_official_layout(golden):
    shapes = json.loads((golden("foleygram_key_shapes") / "video_foley_video2rms.json").read_text())
    model = from_official({key: torch.empty(shape, device="meta") for key, shape in shapes.items()})
    assert model.config["embedding_dim"] == 2048
    assert len(model.state_dict()) == len(shapes)


def test_classes_become_loudness_and_other_lengths_are_refused():
    torch.manual_seed(0)
    model = Video2RMS(16, video_samples=12, rms_samples=50, num_classes=8, num_convolutions=1, num_lstm=1).eval()
    features = torch.randn(2, 12, 16)
    rms = model.rms(features)
    assert rms.shape == (2, 50)
    assert 0 <= float(rms.min()) <= float(rms.max()) <= 1
    with pytest.raises(ConditionError, match=r"takes features \(B, 12, 16\)"):
        model(features[:, :11])
    with pytest.raises(WeightsError, match="Video2RMS"):
        from_official({"x": torch.zeros(3)})
