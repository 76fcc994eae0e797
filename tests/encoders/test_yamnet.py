"""YAMNet: TensorFlow's padding, windows and weights; its file, and the names of its classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from postsync.encoders import published
from postsync.encoders.yamnet import LAYERS, Yamnet, _Convolution, from_official
from postsync.errors import WeightsError
from postsync.features.spectrogram import log_mel_spectrogram, yamnet

h5py = pytest.importorskip("h5py")


@pytest.fixture
def model() -> Yamnet:
    torch.manual_seed(0)
    made = Yamnet(4, [(stride, 4 + i) for i, (stride, _) in enumerate(LAYERS)], classes=6).eval()
    for name, buffer in made.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(std=0.1)
    return made


def write(model: Yamnet, folder: Path, names: int = 6) -> Path:
    """The files as they are published: Keras's layout, and the table of classes beside it."""
    folder.mkdir(exist_ok=True)
    with h5py.File(folder / "yamnet.h5", "w") as file:
        for number, stage in model.stages.items():
            for part, convolution in stage.items():
                place = f"layer{number}/{part}"
                depthwise = part == "depthwise_conv"
                kernel = convolution.conv.weight.detach().permute(2, 3, *((0, 1) if depthwise else (1, 0)))
                file[f"{place}/{place}/{'depthwise_kernel' if depthwise else 'kernel'}:0"] = kernel.numpy()
                for ours, theirs in (("bias", "beta"), ("running_mean", "moving_mean"),
                                     ("running_var", "moving_variance")):
                    file[f"{place}/bn/{place}/bn/{theirs}:0"] = getattr(convolution.bn, ours).detach().numpy()
        file["dense/dense/kernel:0"] = model.logits.weight.detach().T.numpy()
        file["dense/dense/bias:0"] = model.logits.bias.detach().numpy()
    rows = "".join(f'{i},/m/{i},"Class {i}, or so"\n' for i in range(names))
    (folder / "yamnet_class_map.csv").write_text("index,mid,display_name\n" + rows)
    return folder / "yamnet.h5"


def test_padding_is_tensorflows() -> None:
    layer = _Convolution(1, 1, 3, 2).eval()
    torch.nn.init.ones_(layer.conv.weight)
    picture = torch.zeros(1, 1, 4, 4)
    picture[0, 0, 0, 0] = 1.0
    found = layer(picture)[0, 0].detach()
    assert found.shape == (2, 2)
    assert float(found[0, 0]) > 0.9  # padded at the end alone: the first window starts at the first pixel
    assert float(found.flatten()[1:].abs().max()) == 0


def test_the_published_file_is_converted_and_its_classes_named(model, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("POSTSYNC_CACHE", str(tmp_path / "cache"))
    published.convert("yamnet", write(model, tmp_path / "official"))
    again = published.load("yamnet")
    sound = 0.1 * torch.randn(2, 40000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(again.features(sound), model.features(sound))
    assert published.class_names("yamnet")[2] == "Class 2, or so"


@pytest.mark.parametrize("names", [None, 5])
def test_names_that_are_missing_or_anothers_are_refused(model, tmp_path, monkeypatch, names) -> None:
    monkeypatch.setenv("POSTSYNC_CACHE", str(tmp_path / "cache"))
    file = write(model, tmp_path / "official", names or 6)
    if names is None:
        file.with_name("yamnet_class_map.csv").unlink()
    published.convert("yamnet", file)
    with pytest.raises(WeightsError, match=r"put (its own )?yamnet_class_map\.csv"):
        published.class_names("yamnet")


def test_damaged_and_foreign_files_are_refused(model, tmp_path) -> None:
    damaged = tmp_path / "yamnet.h5"
    damaged.write_bytes(b"no HDF5")
    with pytest.raises(WeightsError, match="no Keras file"):
        published.convert("yamnet", damaged)
    with pytest.raises(WeightsError, match="not a checkpoint of YAMNet"):
        from_official({"dense/dense/kernel:0": torch.zeros(3, 4)})


def test_scores_are_of_the_fifth_where_a_class_is_strongest(model) -> None:
    torch.manual_seed(1)
    sound = torch.randn(1, 16000 * 6) * torch.linspace(0.001, 0.5, 16000 * 6)
    mel = log_mel_spectrogram(sound, yamnet())
    windows = torch.stack([mel[0, i:i + 96] for i in range(0, mel.shape[1] - 95, 48)])
    scores = np.sort(model(windows)[1].sigmoid().detach().numpy(), axis=0)[-max(1, len(windows) // 5):].mean(0)
    np.testing.assert_allclose(model.features(sound)["scores"][0].numpy(), scores, atol=1e-5)


def test_silence_is_heard_as_nothing_and_short_sounds_are_padded(model) -> None:
    assert not model.features(torch.zeros(1, 16000))["scores"].any()
    assert model.features(torch.rand(1, 100))["scores"].shape == (1, 6)
