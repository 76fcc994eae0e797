"""Resizing against Pillow, and where crops lie."""

import numpy as np
import pytest
import torch
from PIL import Image

from postsync.features.resize import centre_crop, resize_pictures, short_side_size


@pytest.mark.parametrize(("mode", "filter_"), [("bilinear", Image.Resampling.BILINEAR),
                                               ("bicubic", Image.Resampling.BICUBIC)])
@pytest.mark.parametrize("size", [(20, 31), (60, 90)])
def test_resizing_is_pillows(mode, filter_, size):
    frames = torch.randint(64, 192, (2, 3, 48, 37), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = resize_pictures(frames, size, mode)
    for frame, resized in zip(frames, found):
        picture = Image.fromarray(frame.permute(1, 2, 0).numpy()).resize(size[::-1], filter_)
        difference = np.abs(np.asarray(picture).astype(int) - resized.permute(1, 2, 0).numpy().astype(int))
        assert difference.max() <= 1


def test_sizes_and_crops():
    assert short_side_size(90, 64, 224) == (315, 224)
    assert short_side_size(60, 80, 224) == (224, 298)
    grid = torch.arange(5 * 8).view(1, 1, 5, 8)
    assert centre_crop(grid, 3)[0, 0, 0].tolist() == [10, 11, 12]


def test_bad_pictures_are_refused():
    with pytest.raises(ValueError, match="give uint8"):
        resize_pictures(torch.zeros(1, 3, 4, 4), (2, 2))
    with pytest.raises(ValueError, match="no middle of 4 x 4"):
        centre_crop(torch.zeros(3, 3, 8), 4)
